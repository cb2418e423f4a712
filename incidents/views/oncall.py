"""Who is on call, in the reader's own time, and standing in for somebody."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from incidents import actions, queries
from incidents.forms import OverrideForm
from incidents.models import EscalationPolicy, Schedule
from portal.errors import Denied, Invalid, Refused
from portal.http import go, page
from portal.lifecycle import Transition

STAND_IN = Transition("override", (), "", "incidents.override", "Stand in", "stands in")


def zone_of(request: HttpRequest) -> str:
    """The reader's time zone; UTC when the person has none that is known."""
    person = getattr(request.user, "person", None)
    try:
        return ZoneInfo(person.time_zone).key if person else "UTC"
    except (ZoneInfoNotFoundError, ValueError):
        return "UTC"


@require_safe
def on_call(request: HttpRequest) -> HttpResponse:
    """Each schedule with who has it now and who comes next, and whom a page goes to."""
    if not request.user.has_perm("incidents.view"):
        raise Denied("You may not see who is on call.")
    policies = EscalationPolicy.objects.select_related("team").prefetch_related(
        "steps__schedule", "steps__person", "steps__team"
    )
    context = {
        "duties": queries.duties(),
        "policies": policies,
        "zone": zone_of(request),
        "may_stand_in": request.user.has_perm("incidents.override"),
        "title": "On call",
    }
    return page(request, "incidents/on_call.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def override(request: HttpRequest, slug: str) -> HttpResponse:
    """Stand in for whoever is on call over a range."""
    if not request.user.has_perm("incidents.override"):
        raise Denied("You may not change who is on call.")
    schedule = get_object_or_404(Schedule, slug=slug)
    form = OverrideForm(request.POST or None, schedule=schedule)
    error: Refused | None = Invalid("Some fields are not right.") if form.is_bound and not form.is_valid() else None
    if form.is_bound and not error:
        try:
            actions.override(schedule, by=request.user, **form.cleaned_data)
            return go(request, reverse("on-call"))
        except Refused as refusal:
            error = refusal
    context = {"obj": schedule, "form": form, "transition": STAND_IN, "error": error, "possible": True}
    context["title"] = f"Stand in on {schedule}"
    return page(request, "action.html", context, status=error.status if error else 200)
