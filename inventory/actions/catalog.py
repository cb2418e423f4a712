"""Make the declared estate true."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, models, transaction
from uuid_utils.compat import uuid7

from identity import rights
from identity.models import Scope
from inventory.catalog import Change, Difference, Estate, compare
from inventory.catalog.difference import declared, keyed
from inventory.catalog.nouns import NOUNS, ORDER, Noun
from inventory.models import AppliedCatalog, Component, Dependency, Endpoint, Server, ServerGroup
from inventory.models.base import held
from portal import events
from portal.dispatch import nudge
from portal.errors import Conflict, Denied
from portal.lifecycle import Actor, authorize

PERMISSION = "inventory.apply_catalog"
LISTED = 200
"""How many keys of each kind the event names; the counts are always complete."""
BATCH = 1000
"""Rows of one statement."""
_LOCK = 0x0CA7A106
Fields = dict[str, Any]
SCOPED: dict[str, type[models.Model]] = {"server group": ServerGroup, "server": Server, "component": Component}


@transaction.atomic
def apply_catalog(
    estate: Estate, *, by: Actor, expected: str = "", source: str = "", commit: str = "", reason: str = ""
) -> Difference:
    """Create, change and remove rows until the database equals ``estate``; all of it or nothing.

    ``by`` must hold the right on every scope that is touched, and on all of them when something changes that belongs to
    none, such as an environment. ``expected`` is the digest of the difference a person
    has read: when another one would be made by now, ``Conflict``. Rows of other catalogs, and rows that something
    still points at, refuse the whole with every reason. Scopes are made for new components, so that rights given on
    wider scopes reach them at once. ``source`` and ``commit`` are kept to say where it was read. Returns what was
    changed; when that is nothing, no event is recorded.
    """
    _one_at_a_time()
    difference = compare(estate)
    wanted = declared(estate)
    _authorize(difference, wanted, by)
    if expected and expected != difference.digest:
        raise Conflict("The difference is no longer the one you looked at. Look again, then apply.")
    if difference.problems:
        raise Conflict("The catalog cannot be applied.", [str(problem) for problem in difference.problems])
    if not difference:
        return difference
    try:
        _write(difference, wanted)
    except IntegrityError as error:
        name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or "a rule"
        raise Conflict("The catalog cannot be applied.", [f"The database refuses it: {name} does not hold."]) from None
    facts: Fields = {"digest": difference.digest, "source": source[:300], "commit": commit[:64]}
    facts |= {"applied_by": str(by)[:200], "nouns": difference.by_noun, **difference.counts}
    applied = AppliedCatalog.objects.create(catalog=estate.catalog, **facts)
    events.record(PERMISSION, applied, by=by, reason=reason, after=_summary(difference))
    nudge("inventory.findings")
    return difference


def _one_at_a_time() -> None:
    """Two applies side by side would each see the world before the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _authorize(difference: Difference, wanted: dict[str, dict[str, Fields]], by: Actor) -> None:
    """Of what is changed or moved, the scopes it has and those it will have."""
    authorize(by, PERMISSION)
    if any(change.noun not in (*SCOPED, "endpoint", "dependency") for change in difference.changes):
        authorize(by, PERMISSION, Scope())
    touched: set[Any] = set()
    everything: dict[str, type[models.Model]] = {**SCOPED, "endpoint": Endpoint, "dependency": Dependency}
    for noun, model in everything.items():
        changes = [change for change in difference.changes if change.noun == noun]
        path = {"endpoint": "component__scope", "dependency": "source__scope"}.get(noun, "scope")
        rows = model._default_manager.filter(pk__in=[change.pk for change in changes if change.pk])
        touched |= set(rows.order_by().values_list(path, flat=True).distinct()) if changes else set()
        touched |= _scopes_of(noun, changes, wanted)
    if by.pk is not None and touched - set(held(by, PERMISSION).values_list("scope", flat=True)):
        raise Denied(f"You do not hold the right “{PERMISSION}” here.")


def _scopes_of(noun: str, changes: list[Change], wanted: dict[str, dict[str, Fields]]) -> set[Any]:
    """The scopes of the rows as they will be."""
    rows = [wanted[noun][change.key] for change in changes if change.act != "remove"]
    if noun in SCOPED:
        found = rights.scopes_for((row["environment"], row["service"]) for row in rows)
        return {scope.pk for scope in found.values()}
    ends = {row["component" if noun == "endpoint" else "source"] for row in rows}
    here = [wanted["component"][key] for key in ends if key in wanted["component"]]
    scopes = {scope.pk for scope in rights.scopes_for((row["environment"], row["service"]) for row in here).values()}
    others = sorted(ends - wanted["component"].keys())
    known = Component.objects.filter(keyed("slug", others)) if others else Component.objects.none()
    return scopes | set(known.order_by().values_list("scope", flat=True).distinct())


def _summary(difference: Difference) -> dict[str, Any]:
    named: dict[str, list[str]] = defaultdict(list)
    for change in difference.changes:
        named[f"{change.act} {change.noun}"].append(change.key)
    return {"catalog": difference.catalog, **difference.counts, "rows": {k: v[:LISTED] for k, v in named.items()}}


def _write(difference: Difference, wanted: dict[str, dict[str, Fields]]) -> None:
    by_noun: dict[str, list[Change]] = defaultdict(list)
    for change in difference.changes:
        by_noun[change.noun].append(change)
    ids = _Ids(by_noun, wanted)
    for noun in ORDER:
        made = [change for change in by_noun[noun] if change.act != "remove"]
        if made:
            _upsert(NOUNS[noun], made, wanted[noun], ids)
    # Last, because a row that stays may have pointed at one that goes until now.
    for noun in reversed(ORDER):
        _remove(NOUNS[noun].model, [change.pk for change in by_noun[noun] if change.act == "remove"])


class _Ids:
    """Primary keys of what is named: of new rows as they will be, of all others as they are. One query per noun."""

    def __init__(self, by_noun: dict[str, list[Change]], wanted: dict[str, dict[str, Fields]]) -> None:
        made = {noun: [change for change in changes if change.act != "remove"] for noun, changes in by_noun.items()}
        self.fresh = {noun: {c.key: c.pk or uuid7() for c in changes} for noun, changes in made.items()}
        self.known: dict[str, dict[str, Any]] = {}
        named: dict[str, set[str]] = defaultdict(set)
        for noun, changes in made.items():
            for column in [column for column in NOUNS[noun].columns if column.to]:
                named[column.to] |= {value for change in changes if (value := wanted[noun][change.key][column.name])}
        for noun, keys in named.items():
            missing = sorted(keys - self.fresh.get(noun, {}).keys())
            rows = NOUNS[noun].model._default_manager.filter(keyed("slug", missing))
            self.known[noun] = dict(rows.order_by().values_list("slug", "pk")) if missing else {}

    def of(self, noun: str, key: str | None) -> Any:
        """The primary key of the row ``key`` of ``noun``; ``None`` for no key."""
        if not key:
            return None
        return self.fresh.get(noun, {}).get(key) or self.known[noun][key]


def _upsert(noun: Noun, changes: list[Change], wanted: dict[str, Fields], ids: _Ids) -> None:
    """Insert what is new and overwrite what differs, in one statement per batch."""
    groups = _groups(change.key for change in changes) if noun.name == "team" else {}
    scoped = noun.name in SCOPED
    pairs = ((wanted[change.key]["environment"], wanted[change.key]["service"]) for change in changes if scoped)
    scopes = rights.scopes_for(pairs)
    rows = []
    for change in changes:
        fields = wanted[change.key]
        values = {(f"{c.name}_id" if c.to else c.name): _value(c, fields[c.name], ids.of) for c in noun.columns}
        values |= {"slug": change.key} if len(noun.key_paths) == 1 else {}
        values |= {"scope": scopes[fields["environment"], fields["service"]]} if scoped else {}
        values |= {"group": groups[change.key]} if groups else {}
        rows.append(noun.model(pk=ids.fresh[noun.name][change.key], **values))
    names = [column.name for column in noun.columns] + (["scope"] if scoped else [])
    names += ["slug"] if len(noun.key_paths) == 1 else []
    how: dict[str, Any] = {"update_conflicts": True, "unique_fields": ["pk"], "update_fields": names}
    noun.model._default_manager.bulk_create(rows, batch_size=BATCH, **how)


def _value(column: Any, value: Any, of: Callable[[str, str | None], Any]) -> Any:
    return of(column.to, value) if column.to else value


def _groups(names: Iterable[str]) -> dict[str, Group]:
    """The groups carry the teams' rights; some of the same name may be there from the sign-in's directory."""
    wanted = set(names)
    Group.objects.bulk_create([Group(name=name) for name in sorted(wanted)], ignore_conflicts=True)
    return {group.name: group for group in Group.objects.filter(name__in=wanted)}


def _remove(model: type[models.Model], keys: list[Any]) -> None:
    """Delete rows; of components first those that are part of another, which must not lose their whole before."""
    left = set(keys)
    while left:
        rows = model._default_manager.filter(pk__in=left)
        whole = set()
        if model is Component:
            whole = set(Component.objects.filter(pk__in=left, part_of__in=left).values_list("part_of", flat=True))
        rows.filter(pk__in=left - whole).delete()
        left = whole
