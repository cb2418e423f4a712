"""Bring back what was: undo one change of one thing, or a removal."""

from __future__ import annotations

from typing import Any, cast

from django.db import transaction

from inventory.actions.estate import change, create, write_many
from inventory.models import Declared, Revision
from inventory.writing import EDIT, Declaration, declaration, plain_conflicts
from portal.errors import Conflict, Invalid
from portal.lifecycle import Actor, authorize

PARTS = {"endpoint": ("component",), "dependency": ("source", "target")}
"""What goes with a component when it is removed, by the references that may have led to it."""


def revert(revision: Revision, *, by: Actor, reason: str = "") -> Declared:
    """Give the fields that ``revision`` changed their values from before it; make again what it removed.

    ``by`` must hold ``inventory.edit`` on it, as for any other change. What changed since in other fields stays. With a
    component come the endpoints and dependencies that were removed with it, as far as their other ends are there. What
    is made again has a new key: its earlier history stays under what was removed. Raises ``Conflict`` when the thing is
    gone, or there again, and ``Invalid`` for the revision that created it: that is undone by removing it.
    """
    authorize(by, EDIT)
    why = f"Reverted the change of {revision.at:%Y-%m-%d %H:%M} UTC. {reason}".strip()
    if revision.act == Revision.Act.CREATED or revision.before is None:
        raise Invalid("Nothing was before it was created. To undo that, remove it.")
    with plain_conflicts(), transaction.atomic():
        if revision.act == Revision.Act.DELETED:
            return _again(revision, by, why)
        obj = declaration(revision.noun).model._base_manager.filter(pk=revision.object_id).first()
        if obj is None:
            raise Conflict("It was removed since. Revert its removal first.")
        values = _values(declaration(revision.noun), revision.before)
        return change(obj, by=by, reason=why, **values)


def _values(known: Declaration, before: dict[str, Any]) -> dict[str, Any]:
    """Columns of a revision as the engine takes them: other rows by slug."""
    values = {name: value for name, value in before.items() if name in known.fields}
    gone = []
    for name, reference in known.references.items():
        if reference.column not in before:
            continue
        key = before[reference.column]
        found = reference.model._base_manager.filter(pk=key).values_list("slug", flat=True).first() if key else None
        if key and not found:
            gone.append(f"The {reference.noun.replace('-', ' ')} that {name.replace('_', ' ')} named is gone.")
        values[name] = found
    if gone:
        raise Conflict("It cannot be as it was.", gone)
    return values


def _again(revision: Revision, by: Actor, why: str) -> Declared:
    before = cast(dict[str, Any], revision.before)
    made = create(revision.noun, _values(declaration(revision.noun), before), by=by, reason=why)
    if revision.noun == "component":
        for noun, ends in PARTS.items():
            if rows := _parts(revision, noun, ends, cast(Any, made).slug):
                write_many(noun, rows, by=by, mode="create", reason=why)
    return made


def _parts(revision: Revision, noun: str, ends: tuple[str, ...], slug: str) -> list[dict[str, Any]]:
    """What was removed in the same transaction because it hung on the component."""
    known = declaration(noun)
    rows = []
    for removed in Revision.objects.filter(transaction=revision.transaction, noun=noun, act=Revision.Act.DELETED):
        before = dict(cast(dict[str, Any], removed.before))
        own = [end for end in ends if before[f"{end}_id"] == str(revision.object_id)]
        if not own:
            continue
        for end in own:
            before.pop(f"{end}_id")
        try:
            rows.append(_values(known, before) | dict.fromkeys(own, slug))
        except Conflict:  # its other end is gone as well
            continue
    return rows
