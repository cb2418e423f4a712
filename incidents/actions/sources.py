"""Sources of signals and their keys."""

from __future__ import annotations

from django.db import transaction

from incidents.models import SignalSource
from inventory.models import Environment
from portal import clock, events
from portal.lifecycle import Actor, authorize


@transaction.atomic
def create(slug: str, *, environment: Environment, by: Actor, key: str = "") -> str | None:
    """Make a source and return its key, which is stored nowhere; ``None`` when the name is taken."""
    authorize(by, "incidents.configure")
    key = key or SignalSource.fresh()
    source, fresh = SignalSource.objects.get_or_create(
        slug=slug,
        defaults={
            "kind": SignalSource.Kind.ALERTMANAGER,
            "key_digest": SignalSource.hashed(key),
            "environment": environment,
        },
    )
    if not fresh:
        return None
    events.record("incidents.create_source", source, by=by, after={"environment": environment.slug})
    return key


@transaction.atomic
def rotate(slug: str, *, by: Actor) -> str | None:
    """Give the source a new key; the one until now stays valid until the next rotation. ``None``: no such source."""
    authorize(by, "incidents.configure")
    rows = SignalSource.objects.select_for_update().filter(slug=slug, kind=SignalSource.Kind.ALERTMANAGER)
    source = rows.first()
    if source is None:
        return None
    key = SignalSource.fresh()
    source.previous_digest, source.key_digest = source.key_digest, SignalSource.hashed(key)
    source.rotated_at = clock.now()
    source.save(update_fields=["previous_digest", "key_digest", "rotated_at"])
    events.record("incidents.rotate_source", source, by=by)
    return key
