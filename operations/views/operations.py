"""Screens of operations: the list, the plan with its live log, and one page per verb."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_safe

from operations import actions, approvals, lifecycle, presence, queries
from operations.filters import OperationFilter
from operations.forms import ApproveForm, OverrideForm, ReasonForm, SettleForm
from operations.models import Operation
from portal import ui
from portal.http import page
from portal.lifecycle import authorize

AHEAD_SHOWN = 3
VERBS: dict[str, tuple[Any, type[forms.Form]]] = {
    "confirm": (actions.confirm, forms.Form),
    "approve": (actions.approve, ApproveForm),
    "cancel": (actions.cancel, ReasonForm),
    "expedite": (actions.expedite, ReasonForm),
    "override": (actions.override, OverrideForm),
    "pause": (actions.pause, ReasonForm),
    "resume": (actions.resume, forms.Form),
    "proceed": (actions.proceed, forms.Form),
    "stop": (actions.stop, ReasonForm),
    "retry": (actions.retry, forms.Form),
    "settle": (actions.settle, SettleForm),
}


@require_safe
def operation_list(request: HttpRequest) -> HttpResponse:
    """Operations the reader may see, newest first."""
    authorize(request.user, "operations.view")
    table = ui.Table(
        request,
        Operation.objects.visible_to(request.user).select_related("scope"),
        columns=[
            ui.Column("label", "Number", link=True, sort="number"),
            ui.Column("title", "What"),
            ui.Column("state", "State", kind="badge"),
            ui.Column("scope.environment", "Environment", minor=True),
            ui.Column("requested_label", "Asked by", minor=True),
            ui.Column("created_at", "Asked", kind="instant"),
            ui.Column("finished_at", "Ended", kind="instant", minor=True),
        ],
        order="-number",
        search=("title", "subject_label", "requested_label", "reason"),
        filterset=OperationFilter,
        empty="Nothing has been done to the infrastructure from here yet.",
        topic="operations.operation",
        caption="Operations",
    )
    context = {"table": table, "title": "Operations", "unserved": presence.lately_unserved()}
    return page(request, "operations/operation_list.html", context)


def _shown(request: HttpRequest, number: int) -> Operation:
    return get_object_or_404(queries.with_log(Operation.objects.visible_to(request.user)), number=number)


@require_safe
def operation_detail(request: HttpRequest, number: int) -> HttpResponse:
    """The plan before it runs; each step and its log while it runs; what came of it."""
    operation = _shown(request, number)
    context = {
        "operation": operation,
        "steps": operation.steps.all(),
        "subject": queries.subject_of(operation, request.user),
        "cause": queries.cause_of(operation, request.user),
        "title": str(operation),
        "environment": operation.scope.environment,
    }
    context |= _waiting(operation)
    return page(request, "operations/operation_detail.html", context)


def _waiting(operation: Operation) -> dict[str, Any]:
    """What an operation that has not begun, or stands still, waits for."""
    if operation.state in (lifecycle.PLANNED, lifecycle.AWAITING_APPROVAL):
        still = approvals.missing(operation, operation.approvals.all())
        return {"agreed": operation.approvals_needed - len(still), "still": still}
    facts: dict[str, Any] = {"agreed": len(operation.approvals.all())}
    if operation.state == lifecycle.QUEUED:
        line = queries.ahead(operation)
        facts |= {"ahead": list(line[:AHEAD_SHOWN]), "position": line.count() + 1}
    if operation.state in (lifecycle.QUEUED, *lifecycle.ACTIVE) and not presence.served(operation.queue):
        since = presence.last_seen(operation.queue)
        facts["unserved"] = {"since": since, "queue": operation.queue}
    return facts


@require_safe
def operation_log(request: HttpRequest, number: int) -> HttpResponse:
    """Every line of every step, as plain text."""
    operation = get_object_or_404(Operation.objects.visible_to(request.user), number=number)
    written = queries.whole_log(operation)
    lines = [f"{line.at:%Y-%m-%dT%H:%M:%S.%fZ} {line.step.position} {line.text}" for line in written]
    response = HttpResponse("\n".join([str(operation), *lines, ""]), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'inline; filename="{operation.label}.log"'
    response["Cache-Control"] = "no-store"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def operation_verb(request: HttpRequest, number: int, verb: str) -> HttpResponse:
    """The page of one verb, with the steps that it decides about."""
    operation = _shown(request, number)
    act, form = VERBS[verb]
    context = {"operation": operation, "steps": operation.steps.all(), "environment": operation.scope.environment}
    if verb == "confirm" and not operation.approvals_needed:  # it passes through the state that waits for agreements
        context["target"] = lifecycle.operation.state(lifecycle.QUEUED)
    given = {"initial": {"digest": operation.plan_digest}} if form is ApproveForm else {}
    template = "operations/operation_verb.html"
    return ui.act(request, operation, verb, act, form, template=template, context=context, **given)
