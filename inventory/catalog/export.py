"""The estate as catalog YAML: what is loaded again differs in nothing.

Rows come in chunks, so that an estate of any size is written without being held. Only what is not said by itself is
written: a field that is empty, or what its key tells, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import batched
from typing import Any

import yaml
from django.db.models import QuerySet

from inventory.catalog import standing
from inventory.catalog.dumping import dump
from inventory.catalog.nouns import NOUNS, Noun
from inventory.models import Component, Dependency, Endpoint
from inventory.writing.fields import KEY

Row = tuple[str, dict[str, Any]]
CHUNK = 500
_WIDTH = 110
BY_HAND = "by-hand"
"""Relied on where rows are named that no catalog declares."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(content: dict[str, Any]) -> str:
    """Plain values as YAML in the form of catalog files: rows as blocks, what is in them on one line."""
    # A mapping of plain values would become one line even when it is the whole file.
    rows = any(isinstance(value, dict) for value in content.values())
    style = {"sort_keys": False, "width": _WIDTH, "default_flow_style": None if rows else False}
    return dump(content, Dumper=_Dumper, **style)


def whole(catalog: str, actor: Any, *, by: str | None = None, **where: str) -> Iterator[str]:
    """The estate that ``actor`` may see as the text of one catalog file, piece by piece.

    ``by``: only rows that this catalog declared (empty: those that none did). ``where`` narrows what stands somewhere
    by the slugs of ``environment``, ``service`` and ``data_center``. Of a part, what it names but does not hold is left
    to the catalogs it relies on, which are named in the head.
    """
    part = {name: value for name, value in where.items() if value}
    rows = {noun.name: _rows(noun, actor, by, part) for noun in NOUNS.values()}
    yield text({"catalog": catalog})
    relied = sorted(_relied(rows, catalog)) if part or by is not None else []
    if relied:
        yield text({"relies_on": relied})
    for noun in NOUNS.values():
        if noun.name in ("endpoint", "dependency") or rows[noun.name] is None:
            continue
        if noun.name == "component":
            yield from _written("components", _components(rows["component"], rows["endpoint"]))
        else:
            yield from _written(noun.section, _plain(noun, rows[noun.name]))
    yield from _written("dependencies", _dependencies(rows["dependency"]))


def lines(component: Component) -> str:
    """One component, its endpoints and what it needs, as a piece of a catalog file."""
    one = Component.objects.filter(pk=component.pk)
    rows = dict(_components(one, Endpoint.objects.filter(component=component)))
    needs = dict(_dependencies(Dependency.objects.filter(source=component)))
    return text({"components": rows} | ({"dependencies": needs} if needs else {}))


def _rows(noun: Noun, actor: Any, by: str | None, part: dict[str, str]) -> QuerySet[Any] | None:
    """The rows of a noun that go into the file; ``None`` when a part of the estate leaves the noun out."""
    manager: Any = noun.declaration.model._default_manager
    if noun.name == "team":
        if by is not None or part:
            return None if part else _teams(manager, by or "")
        return manager.all()  # type: ignore[no-any-return]
    rows: QuerySet[Any] = manager.visible_to(actor)
    if by is not None:
        rows = rows.filter(declared_by=by)
    if not part:
        return rows
    if noun.name in ("endpoint", "dependency"):
        ends = {"endpoint": ("component",), "dependency": ("source", "target")}[noun.name]
        for end in ends:
            rows = rows.filter(**{f"{end}__{name}__slug": value for name, value in part.items()})
        return rows
    if not noun.declaration.placed:
        return None
    known = noun.declaration.references
    return rows.filter(**{f"{name}__slug": value for name, value in part.items() if name in known})


def _teams(manager: Any, by: str) -> QuerySet[Any]:
    """Teams have no declarer: those that own a service which the catalog declared."""
    return manager.filter(services__declared_by=by).distinct()  # type: ignore[no-any-return]


def _relied(rows: dict[str, QuerySet[Any] | None], catalog: str) -> set[str]:
    """The catalogs that declare what these rows name."""
    found: set[str] = set()
    for noun in NOUNS.values():
        queryset = rows[noun.name]
        for name, reference in noun.declaration.references.items() if queryset is not None else ():
            if reference.noun != "team":
                path = f"{name}__declared_by"
                found |= set(queryset.order_by().values_list(path, flat=True).distinct())  # type: ignore[union-attr]
    return {name or BY_HAND for name in found if name not in (None, catalog)}


def _written(section: str, rows: Iterator[Row]) -> Iterator[str]:
    """A section of the file; its name once, then its rows."""
    for place, chunk in enumerate(batched(rows, CHUNK)):
        piece = text({section: dict(chunk)})
        yield piece if place == 0 else piece.partition("\n")[2]


def _plain(noun: Noun, rows: QuerySet[Any] | None) -> Iterator[Row]:
    for key, fields in _read(noun, rows):
        yield key, _said(noun, fields)


def _read(noun: Noun, rows: QuerySet[Any] | None) -> Iterator[Row]:
    if rows is None:
        return
    for _, key, fields in standing.read(noun, rows.order_by(*(noun.paths[part] for part in noun.declaration.key))):
        # What a catalog could not name would make the whole file useless.
        if not noun.declaration.placed or re.match(KEY, key):
            yield key, fields


def _said(noun: Noun, fields: dict[str, Any]) -> dict[str, Any]:
    """What a file has to say of a row."""
    said = {}
    for name, field in noun.fields.items():
        value = fields[name]
        if field.required or value != field.default:
            said[name] = float(value) if isinstance(value, Decimal) else value
    return said


def _components(rows: QuerySet[Any] | None, endpoints: QuerySet[Any] | None) -> Iterator[Row]:
    """Components with their endpoints, which are asked for chunk by chunk."""
    for chunk in batched(_read(NOUNS["component"], rows), CHUNK):
        own: dict[str, dict[str, Any]] = {}
        if endpoints is not None:
            own_endpoints = endpoints.filter(component__slug__among=[key for key, _ in chunk])
            for _, fields in _read(NOUNS["endpoint"], own_endpoints):
                own.setdefault(fields["component"], {})[fields["name"]] = _said(NOUNS["endpoint"], fields)
        for key, fields in chunk:
            yield key, _said(NOUNS["component"], fields) | ({"endpoints": own[key]} if key in own else {})


def _dependencies(rows: QuerySet[Any] | None) -> Iterator[Row]:
    source = ""
    targets: dict[str, Any] = {}
    for _, fields in _read(NOUNS["dependency"], rows):
        if fields["source"] != source:
            if targets:
                yield source, targets
            source, targets = fields["source"], {}
        link = _said(NOUNS["dependency"], fields)
        kind = link.get("kind", "hard")
        targets[fields["target"]] = kind if set(link) <= {"kind"} else link
    if targets:
        yield source, targets
