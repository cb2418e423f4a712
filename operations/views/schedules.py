"""Screens of schedules: what asks for itself, and when next."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from operations import actions, lifecycle, queries
from operations import plan as plans
from operations.forms import ReasonForm
from operations.models import Schedule
from operations.schema_form import ScheduleForm, beside_their_fields
from portal import ui
from portal.http import page
from portal.lifecycle import Transition, authorize

VERBS: dict[str, tuple[Any, type[forms.Form]]] = {
    "suspend": (actions.suspend, ReasonForm),
    "reactivate": (actions.reactivate, forms.Form),
    "retire": (actions.retire, ReasonForm),
}


@require_safe
def schedule_list(request: HttpRequest) -> HttpResponse:
    """Schedules the reader may see, with their next instant."""
    authorize(request.user, "operations.view")
    table = ui.Table(
        request,
        Schedule.objects.visible_to(request.user).select_related("scope"),
        columns=[
            ui.Column("label", "Number", link=True, sort="number"),
            ui.Column("title", "What"),
            ui.Column("state", "State", kind="badge"),
            ui.Column("cron", "When", kind="code"),
            ui.Column("time_zone", "Time zone", minor=True),
            ui.Column("next_at", "Next", kind="instant"),
            ui.Column("last_at", "Last", kind="instant", minor=True),
        ],
        order="number",
        search=("plan_kind", "subject_label", "reason"),
        empty="Nothing is scheduled. A plan's form on a component offers it.",
        caption="Schedules",
    )
    return page(request, "operations/schedule_list.html", {"table": table, "title": "Schedules"})


@require_safe
def schedule_detail(request: HttpRequest, number: int) -> HttpResponse:
    """One schedule: its next three instants, what it asked for last, and what went wrong."""
    rows = Schedule.objects.visible_to(request.user).select_related("asked_by", "last_operation", "scope")
    schedule = get_object_or_404(rows, number=number)
    context = {"schedule": schedule, "title": str(schedule), "crumbs": [("Schedules", reverse("schedule-list"))]}
    context["environment"] = schedule.scope.environment
    context["subject"] = queries.subject_of(schedule, request.user)
    return page(request, "operations/schedule_detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def schedule_verb(request: HttpRequest, number: int, verb: str) -> HttpResponse:
    """The page of one verb."""
    schedule = get_object_or_404(Schedule.objects.visible_to(request.user), number=number)
    act, form = VERBS[verb]
    return ui.act(request, schedule, verb, act, form)


@require_http_methods(["GET", "HEAD", "POST"])
def schedule_create(request: HttpRequest, subject: str, kind: str) -> HttpResponse:
    """Schedule one plan on one thing, named as "app.model:key"."""
    thing = queries.named(subject, request.user)
    try:
        chosen = plans.get(kind)
    except plans.UnknownPlan:
        raise Http404 from None
    if thing is None or chosen.steered or not chosen.fits(thing):
        raise Http404

    def ask(obj: Any, *, by: Any, **given: Any) -> Schedule:
        with beside_their_fields(chosen.params_schema):
            return actions.schedule(obj, by=by, plan=kind, **given)

    label, past = f"Schedule: {chosen.short}", lifecycle.schedule["schedule"].past
    verb = Transition("schedule", (), "", "operations.schedule", label, past)
    context = {"crumbs": [("Schedules", reverse("schedule-list"))], "environment": thing.scope.environment}
    given: dict[str, Any] = {"context": context, "template": "operations/schedule_create.html"}
    given["schema"] = chosen.params_schema
    return ui.act(request, thing, verb, ask, ScheduleForm, **given)
