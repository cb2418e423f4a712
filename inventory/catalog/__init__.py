"""The declared estate: read a folder of YAML, check all of it, and compare it with what is stored.

``source`` reads text into nodes that know their line, ``shape`` says what a well-formed file looks like, ``estate``
checks the whole folder together, ``difference`` compares an estate with the database.
``inventory.actions.apply_catalog`` makes it true.
"""

from inventory.catalog.difference import Change, Difference, compare
from inventory.catalog.estate import Estate, load
from inventory.catalog.source import CatalogInvalid, Problem

__all__ = ["CatalogInvalid", "Change", "Difference", "Estate", "Problem", "compare", "load"]
