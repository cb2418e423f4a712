"""What was changed lately: the first thing to ask when something broke."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Max

from inventory.graph.impact import Suspicion
from inventory.models import Component, Revision
from portal import clock
from portal.models import Event

LATELY = timedelta(hours=24)
OBSERVED = ("observability.change_health",)
"""Events that say how something is, not that somebody did something to it."""


def changed(components: Sequence[uuid.UUID], rank: int = 0) -> Mapping[uuid.UUID, Suspicion]:
    """Those of the components to which something was done, or whose row was changed, since yesterday. Two queries."""
    since = clock.now() - LATELY
    rows = Revision.objects.filter(object_id__in=components, at__gt=since).order_by()
    found: dict[uuid.UUID, datetime] = dict(rows.values_list("object_id").annotate(Max("at")))
    subjects = [str(component) for component in components]
    events = Event.objects.filter(subject_type=Component._meta.label_lower, subject_id__in=subjects, at__gt=since)
    for subject, at in events.exclude(verb__in=OBSERVED).order_by().values_list("subject_id").annotate(Max("at")):
        key = uuid.UUID(subject)
        found[key] = max(at, found.get(key, at))
    return {component: Suspicion(rank, "changed", at) for component, at in found.items()}
