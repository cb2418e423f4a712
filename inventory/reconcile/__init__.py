"""What becomes true by itself: sources are read, and what they see is compared with what is declared."""

from inventory.reconcile.estate import compare_estate, prune
from inventory.reconcile.sources import read_sources

__all__ = ["compare_estate", "prune", "read_sources"]
