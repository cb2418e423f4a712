"""What a catalog says of each noun: its declaration in ``inventory.writing``, and what only files know about it.

Fields are declared nowhere here: one that a model gains is read, compared, written and exported without a change.
Order matters: what is pointed at comes before what points; removal goes the other way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from identity.models import Team
from inventory.models.base import Labelled
from inventory.writing import Declaration, Field, Reference, declaration
from inventory.writing.fields import Check, field_of
from inventory.writing.places import EVERYWHERE

_LABELS = [field.name for field in Labelled._meta.fields]
_TEAM: dict[str, Any] = {
    name: field_of(Team._meta.get_field(name), placed=False)  # type: ignore[arg-type]
    for name in ("slug", "name")
}
TEAM = Declaration("team", Team, ("slug",), _TEAM, {}, placed=False, scope="")  # type: ignore[arg-type]
"""No noun of the estate: teams are only named, outlive their catalog and have no history."""


@dataclass(frozen=True)
class Noun:
    """One noun and the section of the file in which its rows stand."""

    declaration: Declaration
    section: str

    @cached_property
    def name(self) -> str:
        """What people call it ("data center")."""
        return self.declaration.label

    @cached_property
    def fields(self) -> dict[str, Field | Reference]:
        """What a file may say of a row, in the order of exports. All else follows from the key."""
        known = self.declaration
        told = {*known.key, *(("environment", "data_center") if known.placed else ())}
        return {name: known.columns[name] for name in sorted(known.columns.keys() - told, key=self._order)}

    def _order(self, name: str) -> tuple[int, int]:
        """The name, what must be said, the rest, labels; each in the model's order."""
        column = self.declaration.columns[name]
        needed = 3 if not column.required else 2 if isinstance(column, Reference) else 1
        names = [field.name for field in self.declaration.model._meta.concrete_fields]
        return 0 if name == "name" else 4 if name in _LABELS else needed, names.index(name)

    @cached_property
    def paths(self) -> dict[str, str]:
        """Name → where its value is read from the database, of everything that is compared."""
        known = self.declaration
        owner = {} if known is TEAM else {"declared_by": "declared_by"}
        return {name: f"{name}__slug" if name in known.references else name for name in known.columns} | owner

    @cached_property
    def key_check(self) -> Check:
        """What a key must be; that of a link's ends is the component's."""
        of = NOUNS["component"].declaration if self.name == "dependency" else self.declaration
        return of.fields[of.key[-1]].check

    def values(self, row: dict[str, Any], key: tuple[str, ...], catalog: str) -> dict[str, Any]:
        """Everything that is stored of a row, from what a file says and from its key."""
        told: dict[str, Any] = dict(zip(self.declaration.key, key, strict=True))
        if self.declaration.placed:
            told |= dict(zip(("environment", "data_center"), placed(key[0]), strict=True))
        owner = {} if self.declaration is TEAM else {"declared_by": catalog}
        return {name: row.get(name, column.default) for name, column in self.fields.items()} | told | owner


_SECTIONS = {
    "data-center": "data_centers", "environment": "environments", "service": "services",
    "network-zone": "network_zones", "server-group": "server_groups", "server": "servers",
    "component": "components", "endpoint": "components", "dependency": "dependencies",
}  # fmt: skip
_ALL = (Noun(TEAM, "teams"), *(Noun(declaration(name), section) for name, section in _SECTIONS.items()))
NOUNS: dict[str, Noun] = {noun.name: noun for noun in _ALL}
ORDER = tuple(NOUNS)
SECTIONS = tuple(dict.fromkeys(noun.section for noun in _ALL))


def placed(key: str) -> tuple[str, str | None]:
    """Environment and data center (``None``: in none) of a key ``environment/data-center/name``."""
    environment, center, _ = key.split("/")
    return environment, None if center in EVERYWHERE else center


def environment_of(key: str) -> str:
    return key.split("/", 1)[0]


def links(targets: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each dependency of one component in its long form, whichever form it was written in."""
    for target, said in targets.items():
        yield target, {"kind": said} if isinstance(said, str) else said
