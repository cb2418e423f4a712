"""The catalogue: every plan the portal knows, what it does, and how it has done."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from operations import plan as plans
from operations import statistics
from operations.models import Operation
from portal.http import page
from portal.lifecycle import authorize

RECENT = 10


@require_safe
def plan_list(request: HttpRequest) -> HttpResponse:
    """All plans in groups, with risk, needs and their history of 90 days; ``?q=`` narrows by words."""
    authorize(request.user, "operations.view")
    words = request.GET.get("q", "").lower().split()
    known = [each for each in plans.newest() if all(word in _text(each) for word in words)]
    history = statistics.histories(request.user)
    groups: dict[str, list[tuple[plans.Plan, statistics.History]]] = {}
    for each in sorted(known, key=lambda known: known.heading_in_lists.casefold()):
        groups.setdefault(each.heading_in_lists, []).append((each, history.get(each.kind, statistics.History())))
    context = {"title": "Plans", "groups": groups, "count": len(known), "q": request.GET.get("q", "")}
    return page(request, "operations/plan_list.html", context)


def _text(known: plans.Plan) -> str:
    return f"{known.kind} {known.family} {known.short} {known.summary} {known.risk} risk {known.applies_to}".lower()


@require_safe
def plan_detail(request: HttpRequest, kind: str) -> HttpResponse:
    """One plan: its parameters, its acts with how each is taken back, its history and latest runs."""
    authorize(request.user, "operations.view")
    try:
        known = plans.get(kind)
    except plans.UnknownPlan:
        raise Http404 from None
    history = statistics.histories(request.user, kind).get(kind, statistics.History())
    recent = Operation.objects.visible_to(request.user).filter(kind=kind).select_related("scope")[:RECENT]
    required = known.params_schema.get("required", ())
    params = [(name, shape, name in required) for name, shape in known.params_schema.get("properties", {}).items()]
    context = {"title": known.short, "plan": known, "history": history, "operations": recent, "params": params}
    return page(request, "operations/plan_detail.html", context | {"crumbs": [("Plans", reverse("plan-list"))]})
