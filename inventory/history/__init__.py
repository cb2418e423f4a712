"""The past of what there is: who changed what, when and why, and what was there before."""

from inventory.history.entries import Change, Entry, History, history, row_of
from inventory.history.names import Names
from inventory.history.removed import removed
from inventory.history.watched import Seen, news, watched

__all__ = ["Change", "Entry", "History", "Names", "Seen", "history", "news", "removed", "row_of", "watched"]
