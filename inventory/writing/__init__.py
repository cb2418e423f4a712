"""The write path of every noun: rows in, everything that is wrong with them out, or all of them stored.

``check`` looks (a dry run ends there), ``store`` writes; the verbs of ``inventory.actions.estate`` do both in one
transaction and record it. A declaration per noun says what is written (``declaration``).
"""

from inventory.writing.batch import Batch, Change, Mistake, Mode, NotThere, Stale, denial
from inventory.writing.check import check
from inventory.writing.declarations import Declaration, Reference, declaration
from inventory.writing.fields import Field
from inventory.writing.rights import APPLY, EDIT, REMOVE, authorize_anywhere, needed
from inventory.writing.store import plain_conflicts, store
from inventory.writing.stored import VIEW

__all__ = [
    "APPLY",
    "EDIT",
    "REMOVE",
    "VIEW",
    "Batch",
    "Change",
    "Declaration",
    "Field",
    "Mistake",
    "Mode",
    "NotThere",
    "Reference",
    "Stale",
    "authorize_anywhere",
    "check",
    "declaration",
    "denial",
    "needed",
    "plain_conflicts",
    "store",
]
