"""The picture beside a blast radius: what fails, and the first of what fails with it."""

from __future__ import annotations

from typing import Any

from inventory.graph.impact import Impact
from inventory.models import Dependency
from observability.health import STATES
from observability.pictures.figure import Picture, component_thing, draw, links_of

FAILING, DRAWN = 12, 36
"""More than these make no picture beside a list. The list has them all."""


def picture(reader: Any, impact: Impact) -> Picture:
    """Those listed first, in the state they would have, with what links them."""
    failing = impact.failing[:FAILING]
    rows = impact.rows([*failing, *impact.ranked[:DRAWN]], "health")
    said = "could do it" if impact.direction == "up" else "would be"
    things = []
    for row in rows:
        focus = impact.graph.place(row.component.pk) in impact.failed
        state = STATES[row.state]
        note = (
            ("is asked about" if impact.direction == "up" else "fails") if focus else f"{said}: {state.label.lower()}"
        )
        things.append(component_thing(row.component, state=state, note=note, said=note, focus=focus))
    keys = [row.component.pk for row in rows]
    links = Dependency.objects.visible_to(reader).filter(source__in=keys, target__in=keys)
    return draw(things, links_of(links), bands=False)
