"""What may be the cause when something broke: what is ill now, then what was changed lately."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from inventory.graph.changes import changed
from inventory.graph.impact import Suspicion
from observability.health import DEGRADED, DOWN, STATES
from observability.models import ComponentHealth

_RANKS = {DOWN: 0, DEGRADED: 1}


def suspects(components: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Suspicion]:
    """Those of the components that are down or degraded by a fresh reading, or were changed since yesterday."""
    ill = ComponentHealth.objects.fresh().filter(component__in=components, state__in=_RANKS)
    found = {
        key: Suspicion(_RANKS[state], f"{STATES[state].label.lower()} now", since)
        for key, state, since in ill.values_list("component", "state", "since")
    }
    return {**changed(components, len(_RANKS)), **found}
