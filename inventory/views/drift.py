"""Screens that answer “what is otherwise than declared?”: the list, one drift, and what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from inventory.actions import drift as actions
from inventory.catalog.proposal import Proposal, of_folder
from inventory.discovery.showing import TONES, value
from inventory.filters import DriftFilter
from inventory.forms import ExemptForm, ReasonForm
from inventory.models import Drift
from portal import ui
from portal.errors import Refused
from portal.http import page
from portal.ui.columns import Label

VERBS: dict[str, tuple[Callable[..., Any], type[Form]]] = {
    "accept": (actions.accept, ReasonForm),
    "plan": (actions.plan, ReasonForm),
    "exempt": (actions.exempt, ExemptForm),
    "revoke": (actions.revoke, ReasonForm),
}


def _rows(request: HttpRequest) -> QuerySet[Drift]:
    rows = Drift.objects.visible_to(request.user)
    return rows.select_related("component__service", "component__environment", "sighting", "scope", "operation")


def _shown(request: HttpRequest, pk: UUID) -> Drift:
    return get_object_or_404(_rows(request), pk=pk)


@require_safe
def drift_list(request: HttpRequest) -> HttpResponse:
    """Everything that is seen otherwise than it is declared."""
    table = ui.Table(
        request,
        _rows(request),
        columns=[
            ui.Column("about", "What", link=True, sort=False),
            ui.Column("kind", "Class", kind="badge", value=kind_of, sort="kind"),
            ui.Column("field", "Field", kind="code"),
            ui.Column("declared", "Declared", value=lambda row: value(row.declared), minor=True),
            ui.Column("observed", "Seen", value=lambda row: value(row.observed), minor=True),
            ui.Column("source", "Source", kind="code", minor=True),
            ui.Column("since", "Since", kind="instant", minor=True),
            ui.Column("state", "State", kind="badge", minor=True),
        ],
        order="-since",
        search=("component__slug", "sighting__source", "sighting__key", "field", "source"),
        filterset=DriftFilter,
        topic=actions.TOPIC,
        empty="Nothing is seen otherwise than it is declared.",
        caption="Drift",
    )
    return page(request, "inventory/drift_list.html", {"title": "Drift", "table": table})


def kind_of(row: Drift) -> Label:
    """The class of a drift as a badge."""
    return Label(str(row.get_kind_display()), TONES[row.kind])


@require_safe
def drift_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One drift: both values with who says them, what would bring either side back, and what happened."""
    drift = _shown(request, pk)
    context = {
        "title": str(drift),
        "drift": drift,
        "kind": kind_of(drift),
        "crumbs": [("Drift", reverse("drift-list"))],
    }
    context |= {"declared": value(drift.declared), "observed": value(drift.observed)}
    context["others"] = [(name, value(said)) for name, said in drift.others]
    context["proposal"] = proposal_of(drift)
    context["remedy"], context["no_remedy"] = _remedy(drift)
    if drift.component:
        context["environment"] = drift.component.environment
    return page(request, "inventory/drift_detail.html", context)


def _remedy(drift: Drift) -> tuple[object, str]:
    try:
        return actions.remedy_for(drift), ""
    except Refused as refusal:
        return None, refusal.detail


def proposal_of(drift: Drift) -> Proposal | None:
    """The change of the catalog's files that would settle a drift; ``None`` where there is none."""
    return of_folder(drift, settings.CATALOG_DIR)


@require_safe
def drift_proposal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The diff as a file."""
    found = proposal_of(_shown(request, pk))
    if found is None:
        raise Http404
    response = HttpResponse(found.diff, content_type="text/x-diff; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="drift.diff"'
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def drift_verb(request: HttpRequest, pk: UUID, verb: str) -> HttpResponse:
    """The page of one decision about a drift."""
    act, form = VERBS[verb]
    drift = _shown(request, pk)
    context = {"crumbs": [("Drift", reverse("drift-list")), (drift.about, drift.get_absolute_url())]}
    return ui.act(request, drift, verb, act, form, context=context)
