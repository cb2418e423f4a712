"""Screens that answer “what can I do here?”: the plans that fit a component, and the form of each."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from inventory import forms
from inventory.actions.operate import fitting, operate
from inventory.actions.reload import RELOAD, reload
from inventory.models import Component
from operations import queries
from operations.models import Operation
from operations.schema_form import PlanForm, beside_their_fields
from portal import ui
from portal.http import page
from portal.lifecycle import Tone, Transition
from portal.prepared import first_or_404, prepared

TONES = {"low": Tone.INFO, "medium": Tone.WARN, "high": Tone.BAD}


@prepared
def _one(reader: Any, slug: str) -> QuerySet[Component]:
    rows = Component.objects.visible_to(reader).filter(slug=slug)
    return rows.select_related("environment", "service", "data_center")


def _component(request: HttpRequest, slug: str) -> Component:
    return first_or_404(_one(request.user, slug))


def _crumbs(component: Component) -> list[tuple[str, str]]:
    return [("Components", reverse("component-list")), (component.name, component.get_absolute_url())]


def _plans(component: Component, request: HttpRequest) -> str:
    """The address of what can be done to ``component``, because of the same cause."""
    cause = request.GET.get("cause", "")
    return reverse("component-plans", args=[component.slug]) + (f"?{urlencode({'cause': cause})}" if cause else "")


def component_reload(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for a rolling reload of a component."""
    return ui.act(request, _component(request, slug), RELOAD, reload, forms.ReloadForm)


@require_safe
def component_plans(request: HttpRequest, slug: str) -> HttpResponse:
    """Every plan that fits the component, with its risk and whether the reader may ask for it."""
    component = _component(request, slug)
    held = request.user.get_all_permissions(component)
    offered = [(each, each.permission in held) for each in fitting(component)]
    context = {"title": f"Act on {component.name}", "component": component, "offered": offered}
    context |= {"environment": component.environment, "cause": request.GET.get("cause", "")}
    return page(request, "inventory/component_plans.html", context | {"crumbs": _crumbs(component)})


@require_http_methods(["GET", "HEAD", "POST"])
def component_operate(request: HttpRequest, slug: str, kind: str) -> HttpResponse:
    """The form of one plan on one component; what comes of it is an operation, first as a plan to read."""
    component = _component(request, slug)
    chosen = next((each for each in fitting(component) if each.kind == kind), None)
    if chosen is None:
        raise Http404
    cause = queries.named(request.GET.get("cause", ""), request.user)

    def ask(subject: Component, *, by: Any, **given: Any) -> Operation:
        with beside_their_fields(chosen.params_schema):
            return operate(subject, by=by, plan=kind, cause=cause, **given)

    verb = Transition("operate", (), "", chosen.permission, chosen.short, "planned", tone=TONES[chosen.risk])
    context = {"plan": chosen, "cause": cause, "crumbs": [*_crumbs(component), ("Act", _plans(component, request))]}
    context["subject"] = f"{component._meta.label_lower}:{component.pk}"
    context["environment"] = component.environment
    context["may_schedule"] = request.user.has_perm("operations.schedule", component)
    given = {"context": context, "schema": chosen.params_schema}
    return ui.act(request, component, verb, ask, PlanForm, template="inventory/component_operate.html", **given)
