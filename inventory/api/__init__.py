"""REST of the estate: every noun read and written in the same way, and the catalog that declares it.

``shapes`` says what a row looks like, ``narrowing`` by what lists are narrowed, ``reading`` and ``writing`` do it,
``nouns`` are the routes.
"""

from inventory.api import catalog, nouns

__all__ = ["catalog", "nouns"]
