"""Screens that answer “what breaks the rules?”: the list, one finding, and letting it be until a day."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from inventory.actions import findings as actions
from inventory.filters import FindingFilter
from inventory.forms import ReasonForm, WaiveForm
from inventory.models import Finding
from inventory.rules import RULES
from portal import ui
from portal.http import page
from portal.ui.columns import Label

VERBS: dict[str, tuple[Any, Any, Any]] = {
    "waive": (actions.WAIVE, actions.waive, WaiveForm),
    "reinstate": (actions.REINSTATE, actions.reinstate, ReasonForm),
}
TOPIC = "inventory.findings"


def _rows(request: HttpRequest) -> QuerySet[Finding]:
    rows = Finding.objects.visible_to(request.user)
    return rows.select_related("component", "service", "environment", "exempt_by")


def severity_of(row: Finding) -> Label:
    """How bad a finding is, as a badge."""
    return Label(str(row.get_severity_display()), row.tone)


def title_of(row: Finding) -> str:
    """What its rule is about; the rule's name when there is no such rule any more."""
    return RULES[row.rule].title if row.rule in RULES else row.rule


@require_safe
def finding_list(request: HttpRequest) -> HttpResponse:
    """Everything that breaks a rule of the estate, the worst first."""
    columns = [
        ui.Column("severity", "Severity", kind="badge", value=severity_of, sort="severity"),
        ui.Column("rule", "Finding", link=True, value=title_of, sort="rule"),
        ui.Column("about", "About", link=lambda row: row.about.get_absolute_url(), sort=False),
        ui.Column("environment", "Environment", sort="environment__slug", minor=True),
        ui.Column("detail", "What is wrong", sort=False, minor=True),
        ui.Column("since", "Since", kind="instant", minor=True),
        ui.Column("exempt_until", "Exempted until", minor=True),
    ]
    table = ui.Table(
        request,
        _rows(request),
        columns,
        order="severity",
        search=("component__slug", "service__slug", "service__name", "detail", "rule"),
        filterset=FindingFilter,
        topic=TOPIC,
        caption="Findings",
        empty="Nothing breaks a rule.",
    )
    return page(request, "inventory/finding_list.html", {"title": "Findings", "table": table, "rules": RULES.values()})


@require_safe
def finding_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One finding: what must hold, what is wrong, since when, and how it is mended."""
    finding = get_object_or_404(_rows(request), pk=pk)
    held = request.user.get_all_permissions(finding)
    context: dict[str, Any] = {"title": title_of(finding), "finding": finding, "rule": RULES.get(finding.rule)}
    context |= {"severity": severity_of(finding), "crumbs": [("Findings", reverse("finding-list"))]}
    context["may_waive"] = actions.WAIVE.permission in held and not finding.gone_at
    context["may_reinstate"] = actions.REINSTATE.permission in held and finding.exempt_until is not None
    if finding.environment:
        context["environment"] = finding.environment
    return page(request, "inventory/finding_detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def finding_verb(request: HttpRequest, pk: UUID, verb: str) -> HttpResponse:
    """The page of one decision about a finding."""
    finding = get_object_or_404(_rows(request), pk=pk)
    transition, act, form = VERBS[verb]
    crumbs = [("Findings", reverse("finding-list")), (title_of(finding), finding.get_absolute_url())]
    return ui.act(request, finding, transition, act, form, context={"crumbs": crumbs})
