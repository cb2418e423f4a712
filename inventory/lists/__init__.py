"""Lists of every noun, for people: what each shows, how it is narrowed, and the files it gives."""

from inventory.lists.columns import COLUMNS, ORDER, PLURALS
from inventory.lists.files import FILES
from inventory.lists.tables import Listing, search, table, visible

__all__ = ["COLUMNS", "FILES", "ORDER", "PLURALS", "Listing", "search", "table", "visible"]
