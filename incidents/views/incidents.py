"""Screens of incidents: the list, one incident, and one page per verb."""

from __future__ import annotations

from typing import Any

from django import forms as django_forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from incidents import actions, forms, guards, queries
from incidents.actions.records import need
from incidents.filters import IncidentFilter
from incidents.lifecycle import VERBS
from incidents.lifecycle import incident as lifecycle
from incidents.models import Incident
from inventory.actions.reload import RELOAD, reload
from inventory.forms import ReloadForm
from operations.models import Operation
from portal import ui
from portal.errors import Denied, Refused
from portal.http import go, page
from portal.lifecycle import Tone, authorize
from portal.prepared import first_or_404, prepared


def reload_component(incident: Incident, *, by: Any, reason: str = "", draft: bool = False) -> Operation:
    """Reload the incident's component, as an operation whose cause is the incident."""
    need(guards.before(RELOAD.name, incident, by), "Reloading it")
    component: Any = incident.component
    return reload(component, by=by, reason=reason, draft=draft, cause=incident)


ACTS: dict[str, tuple[Any, type[django_forms.Form]]] = {
    "classify": (actions.classify, forms.ClassifyForm),
    "reclassify": (actions.reclassify, forms.ReclassifyForm),
    "acknowledge": (actions.acknowledge, forms.NoteForm),
    "take-command": (actions.take_command, forms.OptionalReasonForm),
    "escalate": (actions.escalate, forms.ReasonForm),
    "comment": (actions.comment, forms.CommentForm),
    "mitigate": (actions.mitigate, forms.MitigateForm),
    "investigate": (actions.investigate, forms.InvestigateForm),
    "retry-mitigation": (actions.retry_mitigation, forms.MitigateForm),
    "resolve": (actions.resolve, forms.ResolveForm),
    "regress": (actions.regress, forms.ReasonForm),
    "write-post-mortem": (actions.write_post_mortem, forms.PostMortemForm),
    "improve": (actions.improve, forms.NoteForm),
    "close": (actions.close, forms.CloseForm),
    "cancel": (actions.cancel, forms.ReasonForm),
    "merge": (actions.merge, forms.MergeForm),
    "reload": (reload_component, ReloadForm),
}
KNOWN = {
    "mitigation": "Mitigation",
    "evidence": "The impact ended",
    "diagnosis": "Cause",
    "fix": "Fix",
    "validation": "Checked",
    "follow_up": "Follow-up",
    "set_aside_reason": "Why it was set aside",
    "runbooks": "Runbooks",
    "ticket": "Ticket",
    "ticket_waiver": "Why there is no ticket",
}
# Also what is done to the component because of it: the operation keeps the incident as its cause.
OTHERS = {**VERBS, RELOAD.name: RELOAD}
TONES = {1: Tone.BAD, 2: Tone.BAD, 3: Tone.WARN, 4: Tone.INFO}


def severity_of(incident: Incident) -> ui.Label:
    """The severity as a badge."""
    return ui.Label(incident.severity_label, TONES.get(incident.severity or 0, Tone.NEUTRAL))


@require_safe
def incident_list(request: HttpRequest) -> HttpResponse:
    """Incidents the reader may see; those that are open, unless another stage is asked for."""
    authorize(request.user, "incidents.view")
    rows = Incident.objects.visible_to(request.user).select_related("environment", "component", "commander")
    table = ui.Table(
        request,
        rows if request.GET.get("stage") or request.GET.getlist("state") else rows.open(),
        columns=[
            ui.Column("reference", "Number", link=True, sort="number"),
            ui.Column("severity", "Severity", kind="badge", value=severity_of, sort="severity"),
            ui.Column("title", "What is wrong", link=True),
            ui.Column("state", "State", kind="badge"),
            ui.Column("environment.slug", "Environment", minor=True),
            ui.Column("commander.name", "Commander", minor=True),
            ui.Column("detected_at", "Detected", kind="instant", minor=True),
        ],
        order="-number",
        search=("title", "reference", "component__slug"),
        filterset=IncidentFilter,
        empty="Nothing is wrong that the portal knows of.",
        topic="incidents.incident",
        caption="Incidents",
    )
    context = {"table": table, "title": "Incidents", "may_open": request.user.has_perm("incidents.open")}
    return page(request, "incidents/incident_list.html", context)


@prepared
def _one(reader: Any, reference: str) -> QuerySet[Incident]:
    return (
        Incident.objects.visible_to(reader)
        .filter(reference=reference)
        .select_related(
            *("environment", "scope", "component__service__owner", "component__scope", "commander", "acknowledged_by"),
            *("merged_into", "recurrence_of", "approved_by", "post_mortem__author"),
        )
    )


def _shown(request: HttpRequest, reference: str) -> Incident:
    return first_or_404(_one(request.user, reference))


@require_safe
def incident_detail(request: HttpRequest, reference: str) -> HttpResponse:
    """One incident: how bad, who has it, how far it is, what to do next, what happened."""
    incident = _shown(request, reference)
    context = {
        "incident": incident,
        "severity": severity_of(incident),
        "stages": queries.stages(incident),
        "clocks": queries.clocks(incident),
        "known": [(label, getattr(incident, name)) for name, label in KNOWN.items()],
        "buttons": other_buttons(request, incident),
        "episodes": incident.episodes.select_related("source")[:50],
        "notes": incident.notes.all()[:50],
        "pages": incident.notifications.exclude(person=None).select_related("person", "method")[:20],
        "escalation": incident.escalations.first(),
        "title": incident.title,
        "environment": incident.environment,
        "crumbs": [("Incidents", reverse("incident-list"))],
    }
    return page(request, "incidents/incident_detail.html", context)


def other_buttons(request: HttpRequest, incident: Incident) -> list[dict[str, Any]]:
    """Buttons of the verbs that move nothing, with the reason where one is of no use now."""
    held = request.user.get_all_permissions(incident)
    found = []
    for name, verb in OTHERS.items():
        problems = guards.before(name, incident, request.user)
        right = "" if verb.permission in held else f"Needs the right “{verb.permission}” here."
        url = reverse(f"incident-{name.replace('_', '-')}", args=[incident.url_key])
        found.append({"verb": verb, "url": url, "reason": right or (problems[0] if problems else "")})
    return found


@require_http_methods(["GET", "HEAD", "POST"])
def incident_verb(request: HttpRequest, reference: str, verb: str) -> HttpResponse:
    """The page of one verb, with what it asks for."""
    incident = _shown(request, reference)
    act, form = ACTS[verb]
    name = verb.replace("-", "_")
    given: dict[str, Any] = {}
    if form is forms.MergeForm:
        given = {"incident": incident, "reader": request.user}
    elif form is forms.PostMortemForm:
        given = {"initial": forms.PostMortemForm.initial_of(incident)}
    elif form is forms.ReclassifyForm:
        given = {"initial": {"impact": incident.impact, "urgency": incident.urgency}}
    context = {"environment": incident.environment}
    return ui.act(request, incident, OTHERS.get(name, name), act, form, context=context, **given)


@require_http_methods(["GET", "HEAD", "POST"])
def incident_open(request: HttpRequest) -> HttpResponse:
    """Report that something is wrong. ``?component=`` fills in where."""
    transition = lifecycle["open"]
    if not request.user.has_perm(transition.permission):
        raise Denied("You may not open incidents.")
    start = {name: request.GET.get(name, "") for name in ("component", "environment", "title")}
    form = forms.OpenForm(request.POST or None, reader=request.user, initial=start)
    error: Refused | None = None
    if form.is_valid():
        try:
            return go(request, actions.open(by=request.user, **form.cleaned_data).get_absolute_url())
        except Refused as refusal:
            error = refusal
    status = error.status if error else 422 if form.is_bound else 200
    context = {"form": form, "transition": transition, "error": error, "possible": True, "title": transition.label}
    return page(request, "incidents/incident_open.html", context, status=status)
