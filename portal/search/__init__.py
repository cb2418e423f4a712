"""Search over everything: what apps let people find, and the one way in which it is looked for.

An app registers a ``Source`` for each table that people search, or ``offers`` for what has no table (pages, plans). How
a table comes to its words is said by its migration (``portal.search.words.searchable``); decision 8 says why.
"""

from portal.search.finding import Found, Group, Hit, find, matching, named, understood, which
from portal.search.sources import Offer, Source, offers, source
from portal.search.words import Query, read

__all__ = [
    "Found", "Group", "Hit", "Offer", "Query", "Source", "find", "matching", "named", "offers", "read", "source",
    "understood", "which",
]  # fmt: skip
