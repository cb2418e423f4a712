"""The post-mortem: a page to read, and the same text as Markdown."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_safe

from incidents import guards, queries
from incidents.models import Incident, PostMortem
from portal.http import page


def _shown(request: HttpRequest, reference: str) -> PostMortem:
    rows = PostMortem.objects.filter(incident__in=Incident.objects.visible_to(request.user))
    found = rows.select_related("author", "edited_by", "incident__environment", "incident__scope").prefetch_related(
        "actions__owner"
    )
    return get_object_or_404(found, incident__reference=reference)


@require_safe
def post_mortem(request: HttpRequest, reference: str) -> HttpResponse:
    """What happened and what follows, and what stands against approving it."""
    written = _shown(request, reference)
    incident = written.incident
    context = {
        "post_mortem": written,
        "incident": incident,
        "missing": guards.before("improve", incident, request.user) if incident.state == "post_mortem" else [],
        "clocks": queries.clocks(incident),
        "title": f"Post-mortem of {incident.reference}",
        "environment": incident.environment,
        "crumbs": [("Incidents", reverse("incident-list")), (incident.reference, incident.get_absolute_url())],
    }
    return page(request, "incidents/post_mortem_detail.html", context)


@require_safe
def export(request: HttpRequest, reference: str) -> HttpResponse:
    """The post-mortem as Markdown, for wikis and mails."""
    written = _shown(request, reference)
    facts = {"post_mortem": written, "incident": written.incident, "clocks": queries.clocks(written.incident)}
    facts["milestones"] = written.incident.milestones.all()
    text = render_to_string("incidents/post_mortem.md", facts)
    response = HttpResponse(text, content_type="text/markdown; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{written.incident.reference}-post-mortem.md"'
    response["Cache-Control"] = "no-store"
    return response
