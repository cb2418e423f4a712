"""Files of rows: read in any of three formats, checked against the estate part by part, without holding all of it.

``read`` makes a ``Reading`` of a file, ``examine`` says what writing it would change, and what is wrong, line by line.
"""

from inventory.importing.columns import Column, Columns
from inventory.importing.examining import Examination
from inventory.importing.faults import Fault, Faults
from inventory.importing.formats import FORMATS, guess
from inventory.importing.reading import MOST_BYTES, MOST_ROWS, Reading, read

__all__ = [
    "FORMATS",
    "MOST_BYTES",
    "MOST_ROWS",
    "Column",
    "Columns",
    "Examination",
    "Fault",
    "Faults",
    "Reading",
    "guess",
    "read",
]
