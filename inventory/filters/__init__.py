"""What lists can be narrowed by, on screens and in the API alike; what an address does not name costs nothing.

``declared`` says it for every noun, ``narrowing`` makes the condition of an address and ``screens`` the form of it;
``values`` reads single texts. ``rows``: what may be seen, found and sorted. ``reports``: filters of what is no
noun.
"""

from inventory.filters.declared import Filter, choice, filters, register
from inventory.filters.narrowing import narrowing
from inventory.filters.reports import ChangeFilter, DiscoveryFilter, DriftFilter, FindingFilter
from inventory.filters.rows import search, sortable, visible
from inventory.filters.screens import SHOWN, ListFilters, Picker

__all__ = [
    "SHOWN", "ChangeFilter", "DiscoveryFilter", "DriftFilter", "Filter", "FindingFilter", "ListFilters", "Picker",
    "choice", "filters", "narrowing", "register", "search", "sortable", "visible",
]  # fmt: skip
