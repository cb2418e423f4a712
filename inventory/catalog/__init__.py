"""The declared estate: read YAML from wherever it is kept, check all of it, and compare it with what is stored.

``source`` reads text into nodes that know their line, ``nouns`` says what can be declared, ``shape`` what a well-formed
file looks like, ``estate`` and ``checks`` put the whole together, ``difference`` and ``standing`` compare it with the
database, ``export`` writes it. ``archive`` unpacks an upload and ``terraform`` reads a state file.
``inventory.actions.apply_catalog`` makes an estate true.
"""

from inventory.catalog.difference import Difference, compare
from inventory.catalog.estate import Estate, load, read
from inventory.catalog.source import CatalogInvalid, Problem
from inventory.writing import Change

__all__ = ["CatalogInvalid", "Change", "Difference", "Estate", "Problem", "compare", "load", "read"]
