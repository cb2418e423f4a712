"""The kernel's own screens: health for machines, the audit trail, the status page, the gallery, live updates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import prometheus_client
from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from drf_spectacular.views import SpectacularAPIView

from portal import clock, ui
from portal.dispatch import reconcilers
from portal.errors import Invalid
from portal.http import page
from portal.lifecycle import Tone
from portal.models import ReconcilerRun
from portal.schema import whole
from portal.trail import visible_events
from portal.ui import live as updates

schema = SpectacularAPIView.as_view()


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """The process can work: the database answers and every migration is applied (checked once per process)."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        pending = _pending_migrations()
    except DatabaseError as error:
        return JsonResponse({"status": "unavailable", "database": type(error).__name__}, status=503)
    if pending:
        return JsonResponse({"status": "unavailable", "migrations": pending}, status=503)
    return JsonResponse({"status": "ready"})


def _pending_migrations() -> int:
    from django.db.migrations.executor import MigrationExecutor

    if cache.get("migrated"):
        return 0
    executor = MigrationExecutor(connection)
    pending = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if not pending:
        cache.set("migrated", True, None)
    return pending


@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text of this process."""
    return HttpResponse(prometheus_client.generate_latest(), content_type=prometheus_client.CONTENT_TYPE_LATEST)


def event_list(request: HttpRequest) -> HttpResponse:
    """The audit trail, as far as the reader's scopes reach."""
    table = ui.Table(
        request,
        visible_events(request.user),
        columns=[
            ui.Column("at", "When", kind="instant"),
            ui.Column("actor_label", "Who"),
            ui.Column("verb", "Did", kind="code"),
            ui.Column("subject_label", "To what"),
            ui.Column("reason", "Why", minor=True),
        ],
        order="-at",
        search=("verb", "actor_label", "subject_label", "reason"),
        stacks=True,
    )
    return page(request, "event_list.html", {"table": table, "title": "Events"})


def status(request: HttpRequest) -> HttpResponse:
    """The portal about itself: each reconciler and when it last succeeded."""
    runs = {run.name: run for run in ReconcilerRun.objects.all()}
    rows = [_reconciler(name, every, runs.get(name)) for name, every in reconcilers.items()]
    table = ui.Table(
        request,
        rows,
        [
            ui.Column("name", "Reconciler", kind="code"),
            ui.Column("state", "State", kind="badge"),
            ui.Column("succeeded_at", "Last success", kind="instant"),
            ui.Column("every", "Every (s)", kind="number"),
            ui.Column("changed", "Rows changed", kind="number"),
            ui.Column("error", "Last error", minor=True),
        ],
        order="name",
        empty="No reconciler is registered in this process.",
    )
    return page(
        request, "status.html", {"table": table, "late": sum(row["late"] for row in rows), "title": "Portal status"}
    )


def _reconciler(name: str, every: float, run: ReconcilerRun | None) -> dict[str, Any]:
    """One line of the status page. Late: no success within ten periods (and half a minute)."""
    at = run.succeeded_at if run else None
    late = at is None or clock.now() - at > timedelta(seconds=max(10 * every, 30))
    label, tone = ("Never ran", Tone.MUTED) if at is None else ("Late", Tone.BAD) if late else ("On time", Tone.GOOD)
    facts = {"changed": run.changed, "error": run.error} if run else {"changed": None, "error": ""}
    return {"name": name, "every": every, "succeeded_at": at, "late": late, "state": ui.Label(label, tone), **facts}


def gallery(request: HttpRequest) -> HttpResponse:
    """Every shared component in every state: a test, and the source of screenshots."""
    return page(request, "gallery.html", ui.gallery_context(request))


def api_docs(request: HttpRequest) -> HttpResponse:
    """The API, browsable, one noun (``?noun=``) at a time: a page of our own, so no foreign script."""
    groups = {group["tag"]: group["operations"] for group in ui.api_operations(whole())}
    noun = request.GET.get("noun") or next(iter(groups), "")
    if noun and noun not in groups:
        raise Invalid(f"The API has no noun “{noun}”. Nouns: {', '.join(groups)}.")
    return page(
        request, "api_docs.html", {"groups": groups, "noun": noun, "operations": groups.get(noun), "title": "API"}
    )


async def live(request: HttpRequest) -> HttpResponseBase:
    """Server-sent events: the topics (``?topic=incidents.incident:<id>``) that changed, as they change."""
    topics = updates.wanted(request.GET.getlist("topic"))
    # Who asks is known by now. A stream that kept its connection for minutes would soon leave the pool empty.
    await sync_to_async(lambda: connection.close())()  # the request's thread has its own, found only from there
    stream = StreamingHttpResponse(updates.stream(topics), content_type="text/event-stream")
    stream["Cache-Control"] = "no-store"
    stream["X-Accel-Buffering"] = "no"
    # Compressing would hold events back until a block is full.
    stream["Content-Encoding"] = "identity"
    return stream
