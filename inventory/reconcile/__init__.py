"""What becomes true by itself: sources are read, the seen is compared with the declared, files are worked off."""

from inventory.reconcile.estate import compare_estate, compare_in_turn, prune
from inventory.reconcile.findings import find
from inventory.reconcile.imports import carry_imports, prune_imports
from inventory.reconcile.sources import read_sources

__all__ = [
    "carry_imports",
    "compare_estate",
    "compare_in_turn",
    "find",
    "prune",
    "prune_imports",
    "read_sources",
]
