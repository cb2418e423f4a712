"""Whether the actor may write these rows, asked once for all of them.

A right on a component is held on its scope, environment × service: of a moved one on the old and on the new. What
belongs to no scope, such as an environment, needs the right everywhere.
"""

from __future__ import annotations

from typing import Any

from identity import rights
from identity.models import Scope
from identity.standing import Standing, standing
from inventory.writing.batch import Batch, Row
from inventory.writing.stored import VIEW
from portal.lifecycle import Actor, authorize

EDIT, REMOVE, APPLY = "inventory.edit", "inventory.remove", "inventory.apply_catalog"
Pair = tuple[str, str]


def needed(mode: str, catalog: str = "") -> str:
    """The action that writing in this mode, or for a catalog, needs."""
    return APPLY if catalog else REMOVE if mode == "remove" else EDIT


def authorize_anywhere(by: Actor, action: str) -> None:
    """Refuse who holds ``action`` nowhere at all. In an empty estate a right on everything is on no scope yet."""
    if not by.has_perm(action):
        authorize(by, action, Scope())


def ask(batch: Batch) -> None:
    """Note what the actor may not do; what he may not even see, he is told is not there."""
    action = needed(batch.mode, batch.catalog)
    if batch.by.pk is None:
        return
    if not batch.declaration.scope:
        if not rights.holds_widely(batch.by, action, Scope()):
            batch.denied.add((action, "everything, because this belongs to no single service"))
        return
    # Rows with mistakes too: what is told about them must not be about what is hidden.
    rows = [row for row in batch.rows if row.current or row.act]
    pairs = {pair for row in rows if (pair := _pair(batch, row))}
    ids = {scope for row in rows for scope in _stored(batch, row) if scope}
    held = standing(batch.by, (VIEW, action), ids=ids, pairs=pairs)
    batch.scopes = held.pairs
    for row in rows:
        _judge(batch, row, action, held)


def _pair(batch: Batch, row: Row) -> Pair | None:
    """Environment and service of a row that is new or moves."""
    if batch.declaration.scope != "scope" or row.act == "remove":
        return None
    before = (row.current["environment"], row.current["service"]) if row.current else (None, None)
    environment, service = (
        row.given.get(name, old) for name, old in zip(("environment", "service"), before, strict=True)
    )
    return (environment, service) if environment and service and (environment, service) != before else None


def _stored(batch: Batch, row: Row) -> tuple[Any, ...]:
    """The scopes of what is there: the row's own, and that of the component it hangs on."""
    own = row.current["scope_id"] if row.current else None
    if batch.declaration.scope == "scope":
        return (own,)
    target = batch.target(row, batch.declaration.scope)
    return (own, target.scope_id if target else None)


def _judge(batch: Batch, row: Row, action: str, held: Standing) -> None:
    label = batch.declaration.label
    own = row.current["scope_id"] if row.current else None
    # Whoever applies a catalog has read what it changes.
    if own and not batch.catalog and not held.on(own, VIEW):
        named = all(row.given.get(name) for name in batch.declaration.key)
        name = batch.declaration.label_of(row.given) if named else row.id
        if batch.mode in ("create", "upsert") and named:
            sentence, kind = f"“{name}” is taken by a {label} that you may not see.", "conflict"
        else:
            sentence, kind = f"There is no {label} “{name}”.", "missing"
        return batch.hide(row, batch.declaration.key[0], sentence, kind)
    for scope in _stored(batch, row):
        if scope and not held.on(scope, action):
            batch.denied.add((action, held.names[scope] if held.on(scope, VIEW) else "something that you may not see"))
    pair = _pair(batch, row)
    if pair and not held.at(pair, action):
        _foreign(batch, row, action, pair)
    return None


def _foreign(batch: Batch, row: Row, action: str, pair: Pair) -> None:
    """A place where the actor holds no right: the name of one that he does not see is not confirmed."""
    from inventory.models import Environment, Service

    for name, model, slug in (("environment", Environment, pair[0]), ("service", Service, pair[1])):
        if not batch.catalog and not model.objects.visible_to(batch.by).filter(slug=slug).exists():
            return batch.wrong(row, name, f"There is no {name} “{slug}”.")
    batch.denied.add((action, f"{pair[0]} × {pair[1]}"))
    return None
