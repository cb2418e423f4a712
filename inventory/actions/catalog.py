"""Make the declared estate true."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.contrib.auth.models import Group
from django.db import connection, models, transaction

from identity import rights
from identity.models import Scope, Team
from inventory.catalog import Change, Difference, Estate, compare
from inventory.catalog.difference import MODELS, ORDER, declared
from inventory.models import AppliedCatalog, Component, DataCenter, Dependency, Environment, Service
from portal import events
from portal.errors import Conflict
from portal.lifecycle import Actor, authorize

PERMISSION = "inventory.apply_catalog"
LISTED = 200
"""How many keys of each kind the event names; the counts are always complete."""
_LOCK = 0x0CA7A106


@transaction.atomic
def apply_catalog(estate: Estate, *, by: Actor, expected: str = "") -> Difference:
    """Create, change and remove rows until the database equals ``estate``; all of it or nothing.

    ``by`` must hold the right on every scope that is touched, and on all of them when something changes that belongs to
    none, such as an environment. ``expected`` is the digest of the difference a person
    has read: when another one would be made by now, ``Conflict``. Rows of other catalogs, and rows that something
    still points at, refuse the whole with every reason. Scopes are made for new components, so that rights given on
    wider scopes reach them at once. Returns what was changed; when that is nothing, no event is recorded.
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
    for noun in ORDER:
        _write(noun, [change for change in difference.changes if change.noun == noun], wanted[noun])
    # Last, because a row that stays may have pointed at one that goes until now.
    for change in difference.changes:
        if change.act == "remove":
            _remove(change)
    applied = AppliedCatalog.objects.create(catalog=estate.catalog, applied_by=str(by)[:200], **difference.counts)
    events.record(PERMISSION, applied, by=by, after=_summary(difference))
    return difference


def _one_at_a_time() -> None:
    """Two applies side by side would each see the world before the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _authorize(difference: Difference, wanted: dict[str, dict[str, dict[str, Any]]], by: Actor) -> None:
    keys = {change.key.split(" → ")[0] for change in difference.changes if change.noun in ("component", "dependency")}
    present = {row.slug: row.scope for row in Component.objects.filter(slug__in=keys).select_related("scope")}
    scopes: set[Scope] = set(present.values())
    pairs = {(row["environment"], row["service"]) for key in keys if (row := wanted["component"].get(key))}
    scopes |= {rights.scope_for(*pair) for pair in sorted(pairs)}
    authorize(by, PERMISSION)
    if any(change.noun not in ("component", "dependency") for change in difference.changes):
        scopes.add(rights.scope_for())
    for scope in scopes:
        authorize(by, PERMISSION, scope)


def _summary(difference: Difference) -> dict[str, Any]:
    named: dict[str, list[str]] = defaultdict(list)
    for change in difference.changes:
        named[f"{change.act} {change.noun}"].append(change.key)
    return {"catalog": difference.catalog, **difference.counts, "rows": {k: v[:LISTED] for k, v in named.items()}}


def _remove(change: Change) -> None:
    if change.noun == "dependency":
        origin, target = change.key.split(" → ")
        Dependency.objects.filter(source__slug=origin, target__slug=target).delete()
    else:
        MODELS[change.noun]._default_manager.filter(slug=change.key).delete()


def _write(noun: str, changes: list[Change], wanted: dict[str, dict[str, Any]]) -> None:
    references = _references(noun)
    fresh: list[models.Model] = []
    for change in changes:
        if change.act == "create":
            fresh.append(_new(noun, change.key, wanted[change.key], references))
        elif change.act == "change":
            _save(noun, change, wanted[change.key], references)
    MODELS[noun]._default_manager.bulk_create(fresh)


def _new(noun: str, key: str, fields: dict[str, Any], references: dict[str, dict[str, Any]]) -> models.Model:
    values = _values(noun, fields, references)
    if noun == "team":
        # The group carries the team's rights; one of the same name may be there from the sign-in's directory.
        values["group"] = Group.objects.get_or_create(name=key)[0]
    return MODELS[noun](**values) if noun == "dependency" else MODELS[noun](slug=key, **values)


def _save(noun: str, change: Change, fields: dict[str, Any], references: dict[str, dict[str, Any]]) -> None:
    values = _values(noun, fields, references)
    key = {name: values[name] for name in ("source", "target")} if noun == "dependency" else {"slug": change.key}
    MODELS[noun]._default_manager.filter(**key).update(**values)


def _values(noun: str, fields: dict[str, Any], references: dict[str, dict[str, Any]]) -> dict[str, Any]:
    values = {name: references[name].get(value) if name in references else value for name, value in fields.items()}
    if noun == "component":
        values["scope"] = rights.scope_for(fields["environment"], fields["service"])
    return values


def _references(noun: str) -> dict[str, dict[str, Any]]:
    """The rows that a noun's fields name by slug."""
    pointed: dict[str, dict[str, Any]] = {
        "service": {"owner": Team},
        "component": {"environment": Environment, "data_center": DataCenter, "service": Service},
        "dependency": {"source": Component, "target": Component},
    }
    models_of = pointed.get(noun, {})
    return {name: {row.slug: row for row in model.objects.all()} for name, model in models_of.items()}
