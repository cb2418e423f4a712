"""The log of one operation as it is written, over server-sent events, and the whole of it as a record to keep."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_safe

from operations import queries
from operations.models import Operation
from portal.errors import Invalid
from portal.http import page
from portal.ui import live

LINES = 500
MOST_LINES = 5000


async def operation_stream(request: HttpRequest, number: int) -> HttpResponseBase:
    """Each line of the log once, in order, then as it is written. ``Last-Event-ID`` or ``?after=`` names the last seen.

    Events: ``line`` (seq, step, at, text; its id is the seq), ``progress`` (state, and how far the step at work is) and
    ``end`` when nothing more will come. Who reconnects misses nothing: the lines are rows.
    """
    after = request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise Invalid("“after” is the seq of a line.", fields={"after": ["A whole number is expected."]})
    user = await request.auser()  # type: ignore[attr-defined]
    first = await sync_to_async(_news)(user, number, int(after))
    if first is None:
        raise Http404
    stream = StreamingHttpResponse(_events(user, number, first), content_type="text/event-stream")
    stream["Cache-Control"] = "no-store"
    stream["X-Accel-Buffering"] = "no"
    stream["Content-Encoding"] = "identity"
    return stream


def _news(user: Any, number: int, after: int) -> dict[str, Any] | None:
    """What was written after a line, and how the operation stands; None when ``user`` may not see it (any more)."""
    try:
        operation = Operation.objects.visible_to(user).filter(number=number).first()
        if operation is None:
            return None
        lines = list(queries.whole_log(operation).filter(seq__gt=after)[:LINES])
        step = operation.steps.filter(state__in=("running", "undoing")).order_by("-position").first()
        return {
            "topic": operation.topic,
            "lines": [_line(line) for line in lines],
            "last": lines[-1].seq if lines else after,
            "more": len(lines) == LINES,
            "ended": operation.state in Operation.lifecycle.terminal,
            "progress": {
                "state": operation.state,
                "step": step.position if step else None,
                "done": step.progress_done if step else 0,
                "total": step.progress_total if step else 0,
            },
        }
    finally:
        connection.close()  # a stream lives for minutes and must not hold a place in the pool


def _line(line: Any) -> dict[str, Any]:
    return {"seq": line.seq, "step": line.step.position, "at": line.at.isoformat(), "text": line.text}


async def _events(user: Any, number: int, news: dict[str, Any] | None) -> AsyncIterator[str]:
    said: Any = None
    changes = live.stream({news["topic"]}) if news else None
    while news is not None:
        for line in news["lines"]:
            yield f"id: {line['seq']}\nevent: line\ndata: {json.dumps(line)}\n\n"
        if news["progress"] != said:
            said = news["progress"]
            yield f"event: progress\ndata: {json.dumps(said)}\n\n"
        if news["ended"] and not news["more"]:
            yield "event: end\ndata: {}\n\n"
            return
        if not news["more"]:
            try:
                heard = await anext(changes)  # type: ignore[arg-type]
            except StopAsyncIteration:
                return  # the browser comes again, and names the last line it saw
            if heard.startswith(":"):
                yield heard
                continue
        news = await sync_to_async(_news)(user, number, news["last"])


@require_safe
def operation_record(request: HttpRequest, number: int) -> HttpResponse:
    """Everything about one operation on one page, to print or to keep: who, why, agreements, each call, each answer."""
    rows = queries.with_steps(Operation.objects.visible_to(request.user))
    operation = get_object_or_404(rows, number=number)
    lines = list(queries.whole_log(operation)[: MOST_LINES + 1])
    context = {
        "operation": operation,
        "steps": operation.steps.all(),
        "lines": lines[:MOST_LINES],
        "cut": len(lines) > MOST_LINES,
        "last": lines[-1].seq if lines else 0,
        "cause": queries.cause_of(operation, request.user),
        "title": f"Record of {operation.label}",
        "environment": operation.scope.environment,
        "crumbs": [("Operations", reverse("operation-list")), (operation.label, operation.get_absolute_url())],
    }
    return page(request, "operations/operation_record.html", context)
