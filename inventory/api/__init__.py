"""REST of the estate: every noun read and written in the same way, and the catalog that declares it.

``shapes`` says what a row looks like, ``reading`` and ``writing`` do it, narrowed by ``inventory.filters``;
``nouns`` are the routes; ``drift`` has those of what is seen otherwise than it is declared, ``findings`` those of what
breaks the rules, ``impact`` those of what fails with what, ``imports`` those of files of rows.
"""

from inventory.api import catalog, drift, findings, impact, imports, nouns

__all__ = ["catalog", "drift", "findings", "impact", "imports", "nouns"]
