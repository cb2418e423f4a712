"""What a catalog can say about each noun: declared here once.

The schema of the files, the comparison, the writer and the export all read this table, so none of them can forget a
field. Order matters: what is pointed at comes before what points; removal goes the other way.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import models

from identity.models import Team
from inventory.models import (
    Component,
    DataCenter,
    Dependency,
    Endpoint,
    Environment,
    NetworkZone,
    Server,
    ServerGroup,
    Service,
)

Shape = dict[str, Any]
SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*\Z"
KEY = r"^[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+\Z"
EVERYWHERE = {"global": "spans all data centers", "workstation": "is every developer's own machine"}
"""What may stand in a key where a data center stands, for what is in none."""
ARROW, HASH = " → ", "#"
"""What joins the ends of a dependency, and a component with its endpoint, in keys."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Field:
    """One field. ``shape`` is its JSON Schema, ``empty`` what is stored when the catalog does not say it.

    ``to`` is the noun whose key it names. ``tidy`` brings equal values of either side into one form.
    """

    name: str
    shape: Shape
    empty: Any = ""
    to: str = ""
    required: bool = False
    tidy: Callable[[Any], Any] = _same

    @property
    def path(self) -> str:
        """Where its value is read from the database."""
        return f"{self.name}__slug" if self.to else self.name


@dataclass(frozen=True)
class Noun:
    """One noun. ``key`` is the pattern of its keys; a ``placed`` one tells environment and data center by its key."""

    name: str
    section: str
    model: type[models.Model]
    fields: tuple[Field, ...]
    key: str = SLUG
    placed: bool = False
    implied: tuple[Field, ...] = ()
    """What follows from the key and from where the row is written."""

    @property
    def columns(self) -> tuple[Field, ...]:
        """Everything that is compared and written."""
        return (*self.fields, *self.implied)

    @property
    def shape(self) -> Shape:
        """JSON Schema of one row."""
        named = {field.name: field.shape for field in self.fields}
        required = [field.name for field in self.fields if field.required]
        return {"type": "object", "additionalProperties": False, "properties": named, "required": required}

    def keys(self, names: tuple[str, ...]) -> str:
        """The key of a stored row from what ``key_paths`` gave."""
        return {"endpoint": HASH, "dependency": ARROW}.get(self.name, "").join(names)

    @property
    def key_paths(self) -> tuple[str, ...]:
        """Where the parts of a row's key are read from the database."""
        parts = {"endpoint": ("component__slug", "name"), "dependency": ("source__slug", "target__slug")}
        return parts.get(self.name, ("slug",))


def text(longest: int, *, least: int = 0, **more: Any) -> Shape:
    return {"type": "string", "minLength": least, "maxLength": longest, **more}


def whole(least: int = 0, most: int = 2**31 - 1) -> Shape:
    return {"type": "integer", "minimum": least, "maximum": most}


def _percent(value: Any) -> Any:
    return None if value is None else format(Decimal(str(value)).normalize(), "f")


def _address(value: Any) -> Any:
    return str(ipaddress.ip_address(value)) if value else None


_NAME = Field("name", text(120, least=1), required=True)
_SAID = Field("description", text(2000))
_URL = text(200, pattern="^(https?://\\S+)?$")
_LABELLED = (
    _SAID,
    Field("tags", {"type": "array", "maxItems": 50, "uniqueItems": True, "items": text(50, pattern=SLUG)}, []),
    Field("custom", {"type": "object", "maxProperties": 50}, {}),
)
_BY = Field("declared_by", {})
_ENVIRONMENT = Field("environment", text(64, pattern=SLUG), to="environment")
_CENTER = Field("data_center", text(64, pattern=SLUG), None, to="data center")
_PLACED = (_ENVIRONMENT, _CENTER, _BY)


def _one_of(choices: type[models.TextChoices]) -> Shape:
    return {"enum": choices.values}


def _named(name: str, noun: str, pattern: str = KEY, *, required: bool = False) -> Field:
    return Field(name, text(200 if pattern == KEY else 64, pattern=pattern), None, to=noun, required=required)


_SERVICE = _named("service", "service", SLUG, required=True)
ENDPOINT = Noun("endpoint", "components", Endpoint, (
    Field("port", whole(1, 65535), required=True), Field("protocol", text(16, least=1), "tcp"),
    Field("host", text(255)), Field("path", text(255)), Field("tls", {"type": "boolean"}, False),
    _named("zone", "network zone"),
), implied=(Field("component", {}, to="component"), Field("name", {}), _BY))  # fmt: skip
_ALL = (
    Noun("team", "teams", Team, (_NAME,)),
    Noun("data center", "data_centers", DataCenter, (
        _NAME, Field("role", _one_of(DataCenter.Role), required=True),
        *(Field(name, text(120)) for name in ("provider", "region", "location")),
    ), implied=(_BY,)),
    Noun("environment", "environments", Environment, (
        _NAME, Field("kind", _one_of(Environment.Kind), required=True), _SAID,
    ), implied=(_BY,)),
    Noun("service", "services", Service, (
        _NAME, Field("tier", whole(1, 4), required=True), _named("owner", "team", SLUG, required=True),
        Field("language", text(64)), Field("framework", text(64)),
        Field("repository", _URL), Field("runbook", _URL),
        Field("slo", {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100}, None, tidy=_percent),
        *_LABELLED,
    ), implied=(_BY,)),
    Noun("network zone", "network_zones", NetworkZone, (
        _NAME, Field("exposure", _one_of(NetworkZone.Exposure), "private"), Field("cidr", text(64)), _SAID,
    ), key=KEY, placed=True, implied=_PLACED),
    Noun("server group", "server_groups", ServerGroup, (
        _NAME, _SERVICE, Field("least", whole(), 0), Field("most", whole(), None), *_LABELLED,
    ), key=KEY, placed=True, implied=_PLACED),
    Noun("server", "servers", Server, (
        _NAME, _SERVICE, Field("kind", _one_of(Server.Kind), "vm"), Field("status", _one_of(Server.Status), "active"),
        _named("group", "server group"), _named("zone", "network zone"),
        Field("address", text(45), None, tidy=_address), Field("operating_system", text(120)),
        Field("cpus", whole(1), None), Field("memory_mb", whole(1, 2**53), None),
        Field("disk_gb", whole(1, 2**53), None), Field("external_id", text(200)), *_LABELLED,
    ), key=KEY, placed=True, implied=_PLACED),
    Noun("component", "components", Component, (
        _NAME, Field("kind", _one_of(Component.Kind), required=True), _SERVICE,
        Field("status", _one_of(Component.Status), "active"),
        _named("server", "server"), _named("part_of", "component"),
        Field("software", text(64)), Field("version", text(64)), Field("endpoint", text(255)),
        Field("connection", text(200, pattern=KEY)),
        Field("classification", _one_of(Component.Classification)), Field("provenance", _one_of(Component.Provenance)),
        Field("external_id", text(200)), Field("attributes", {"type": "object", "maxProperties": 50}, {}), *_LABELLED,
    ), key=KEY, placed=True, implied=_PLACED),
    ENDPOINT,
    Noun("dependency", "dependencies", Dependency, (
        Field("kind", _one_of(Dependency.Kind), "hard"), Field("relation", _one_of(Dependency.Relation), "uses"),
        Field("group", text(64, pattern=SLUG)), Field("needed", whole(1, 1000), None), Field("protocol", text(32)),
        Field("mode", _one_of(Dependency.Mode)), Field("description", text(255)),
    ), key=KEY, implied=(Field("source", {}, to="component"), Field("target", {}, to="component"), _BY)),
)  # fmt: skip
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
