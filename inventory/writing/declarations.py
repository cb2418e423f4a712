"""What is written and read of each noun, by which names it points at others, and what tells its rows apart."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from django.db import models

from identity.models import Team
from inventory.models import NOUNS, Declared
from inventory.models.base import Located
from inventory.writing.fields import Field, Wrong, field_of

SENT_ALONG = ("declared_by", "revision", "created_at", "updated_at")
"""What nobody writes. Sent along with what is written, ``revision`` is compared and the others are passed over."""
KEPT = ("id", *SENT_ALONG, "scope")
"""Columns that nobody writes by hand. Rows may hold the first five, as they were read."""
ARROW, HASH = " → ", "#"
"""What joins the ends of a dependency, and a component with its endpoint, in keys."""
WITHIN = {"server", "part_of", "group", "zone"}
"""References that must stay inside the environment."""
_KEYS = {"endpoint": ("component", "name"), "dependency": ("source", "target")}
_SCOPES = {"endpoint": "component", "dependency": "source"}


@dataclass(frozen=True)
class Reference:
    """A field that names a row of another noun by its slug."""

    name: str
    noun: str
    model: type[models.Model]
    required: bool
    default: None = None

    def check(self, value: Any) -> str | None:
        """The slug that is named, or nothing; what it leads to is looked up later."""
        if value in (None, "") and not self.required:
            return None
        if type(value) is not str or not value.isprintable() or not 0 < len(value) <= 200:
            raise Wrong("This must be the slug of what it points at.")
        return value

    @property
    def within(self) -> bool:
        """Whether it must stay inside the environment."""
        return self.name in WITHIN

    @property
    def column(self) -> str:
        return f"{self.name}_id"


@dataclass(frozen=True)
class Declaration:
    """One noun. ``key``: the fields that tell its rows apart by name. ``placed``: see ``inventory.writing.places``.

    ``scope`` is where rights on it hang: ``"scope"`` for its own, the name of a reference whose scope counts, or empty
    when it belongs to no scope, so that the right is needed everywhere.
    """

    noun: str
    model: type[Declared]
    key: tuple[str, ...]
    fields: dict[str, Field]
    references: dict[str, Reference]
    placed: bool
    scope: str

    @functools.cached_property
    def columns(self) -> dict[str, Field | Reference]:
        """Everything that a row may hold a value for, by its name."""
        return {**self.references, **self.fields}

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Every name that a row may hold a value for."""
        return tuple(self.columns)

    @functools.cached_property
    def required(self) -> tuple[str, ...]:
        """What a new row must say, after places were completed."""
        own = [name for name, field in self.fields.items() if field.required]
        return (*(name for name, reference in self.references.items() if reference.required), *own)

    @functools.cached_property
    def paths(self) -> dict[str, str]:
        """Name → path in the database of everything that is read of a row."""
        first = ["slug", "name"] if "slug" in self.fields else []
        plain = [name for name in self.fields if name not in first]
        named = {name: f"{name}__slug" for name in self.references}
        return {"id": "id"} | {name: name for name in first} | named | {name: name for name in (*plain, *SENT_ALONG)}

    @functools.cached_property
    def held(self) -> frozenset[str]:
        """Fields that hold several values: tags, attributes, custom fields."""
        return frozenset(name for name, field in self.fields.items() if field.type in ("list", "object"))

    @property
    def stands_by(self) -> str:
        """The reference that says in which environment it is."""
        return "environment" if self.placed else self.scope

    @functools.cached_property
    def label(self) -> str:
        """What people call it ("data center")."""
        return self.noun.replace("-", " ")

    def label_of(self, values: dict[str, Any]) -> str:
        """A row's key as people read it, from names."""
        parts = [str(values.get(name) or "?") for name in self.key]
        return (ARROW if self.noun == "dependency" else HASH).join(parts)


def _declare(noun: str, model: type[Declared]) -> Declaration:
    names: dict[Any, str] = {Team: "team"} | {each: name for name, each in NOUNS.items()}
    placed = noun == "network-zone" or issubclass(model, Located)
    references: dict[str, Reference] = {}
    fields: dict[str, Field] = {}
    for field in model._meta.concrete_fields:
        if field.name in KEPT or not field.editable:
            continue
        if isinstance(field, models.ForeignKey):
            target = field.related_model
            references[field.name] = Reference(field.name, names[target], target, not field.null)
        else:
            fields[field.name] = field_of(field, placed=placed)
    scope = "scope" if issubclass(model, Located) else _SCOPES.get(noun, "")
    return Declaration(noun, model, _KEYS.get(noun, ("slug",)), fields, references, placed, scope)


@functools.cache
def declaration(noun: str) -> Declaration:
    """The declaration of ``noun``; ``KeyError`` for what is no noun of the estate."""
    return _declare(noun, NOUNS[noun])
