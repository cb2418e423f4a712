"""Screens that answer “who looks, and what did they see?”: the sources, one run, and what to do about a held one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from inventory import lifecycle
from inventory.actions import discovery as actions
from inventory.discovery.rules import BRAKE
from inventory.filters import DiscoveryFilter
from inventory.forms import ReasonForm
from inventory.models import DiscoveryRun, Sighting
from inventory.models.discovery import STALE_AFTER
from portal import clock, ui
from portal.http import page
from portal.lifecycle import Tone
from portal.ui.columns import Label

VERBS = {"confirm_removal": actions.confirm_removal, "dismiss": actions.dismiss}


def newest(request: HttpRequest) -> Any:
    """The newest run of each scope of each source, with its last complete one; a failure only while it lasts."""
    same = DiscoveryRun.objects.filter(source=OuterRef("source"), listed=OuterRef("listed"))
    later = DiscoveryRun.objects.filter(source=OuterRef("source"), started_at__gt=OuterRef("started_at"))
    completed = same.complete().order_by("-started_at").values("at")[:1]
    rows = DiscoveryRun.objects.visible_to(request.user).filter(pk__in=DiscoveryRun.objects.newest().values("pk"))
    over = Q(state=lifecycle.FAILED) & Exists(later.exclude(state=lifecycle.FAILED))
    return rows.exclude(over).annotate(completed=Subquery(completed))


def freshness(row: Any) -> Label:
    """Whether what the source says may still be believed."""
    if row.completed and row.completed > clock.now() - STALE_AFTER:
        return Label("Fresh", Tone.GOOD)
    return Label("Stale", Tone.WARN) if row.completed else Label("Never complete", Tone.BAD)


@require_safe
def discovery_list(request: HttpRequest) -> HttpResponse:
    """Every source with its last run, and the runs that wait for a person."""
    table = ui.Table(
        request,
        newest(request),
        columns=[
            ui.Column("source", "Source", link=True),
            ui.Column("listed", "Scope", kind="code"),
            ui.Column("driver", "Driver", minor=True),
            ui.Column("state", "Last run", kind="badge"),
            ui.Column("freshness", "Readings", kind="badge", value=freshness, sort=False, minor=True),
            ui.Column("completed", "Last complete", kind="instant", sort="completed", minor=True),
            ui.Column("found", "Things", kind="number", minor=True),
            ui.Column("problem", "Problem", sort=False, minor=True),
        ],
        order="source",
        search=("source", "listed", "problem"),
        filterset=DiscoveryFilter,
        topic=actions.TOPIC,
        empty="No source has been read yet.",
        caption="Sources",
    )
    held = DiscoveryRun.objects.visible_to(request.user).filter(state=lifecycle.HELD)
    context = {"title": "Discovery", "table": table, "held": held, "brake": BRAKE}
    return page(request, "inventory/discovery_list.html", context)


@require_safe
def discovery_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One run: how it went, what would vanish with it, and what its scope holds now."""
    run = get_object_or_404(DiscoveryRun.objects.visible_to(request.user), pk=pk)
    things = Sighting.objects.visible_to(request.user).filter(source=run.source, listed=run.listed)
    table = ui.Table(
        request,
        things.select_related("component"),
        columns=[
            ui.Column("key", "Key", kind="code", value=lambda row: row.key or "(itself)", sort="key"),
            ui.Column("name", "Name", minor=True),
            ui.Column("kind", "Kind", minor=True),
            ui.Column("component", "Component", value=lambda row: row.component, link=_component, sort=False),
            ui.Column("state", "State", kind="badge", value=state_of, sort="state"),
            ui.Column("first_seen", "First seen", kind="instant", minor=True),
            ui.Column("last_seen", "Last seen", kind="instant", minor=True),
        ],
        stacks=True,
        order="key",
        search=("key", "name", "external_id"),
        empty="Nothing has been seen in this scope.",
        caption="Things of this scope",
    )
    context = {"title": str(run), "run": run, "table": table, "brake": BRAKE}
    context |= {"crumbs": [("Discovery", reverse("discovery-list"))], "vanished": run.vanished[:50]}
    return page(request, "inventory/discovery_detail.html", context)


def _component(row: Sighting) -> str:
    return row.component.get_absolute_url() if row.component else ""


def state_of(row: Sighting) -> Label:
    """The state of a sighting as a badge."""
    tones = {"present": Tone.GOOD, "suspect": Tone.WARN, "gone": Tone.MUTED}
    return Label(str(row.get_state_display()), tones[row.state])


@require_http_methods(["GET", "HEAD", "POST"])
def discovery_verb(request: HttpRequest, pk: UUID, verb: str) -> HttpResponse:
    """The page of one decision about a held run."""
    run = get_object_or_404(DiscoveryRun.objects.visible_to(request.user), pk=pk)
    context = {"crumbs": [("Discovery", reverse("discovery-list")), (str(run), run.get_absolute_url())]}
    return ui.act(request, run, verb, VERBS[verb], ReasonForm, context=context)
