"""What becomes true by itself: sources are read, and what they see is compared with what is declared."""

from inventory.reconcile.estate import compare_estate, compare_in_turn, prune
from inventory.reconcile.findings import find
from inventory.reconcile.sources import read_sources

__all__ = ["compare_estate", "compare_in_turn", "find", "prune", "read_sources"]
