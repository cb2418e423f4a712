"""The log of one operation as it is written, over server-sent events, and the whole of it as a record to keep."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_safe

from identity.models import Session
from operations import queries
from operations.lifecycle import STEP_RUNNING, STEP_UNDOING
from operations.models import Operation
from portal import clock
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
    session = request.session.session_key
    first = await sync_to_async(_news)(session, number, int(after))
    if first is None:
        raise Http404
    stream = StreamingHttpResponse(_events(session, number, first), content_type="text/event-stream")
    stream["Cache-Control"] = "no-store"
    stream["X-Accel-Buffering"] = "no"
    stream["Content-Encoding"] = "identity"
    return stream


def _news(session: str | None, number: int, after: int) -> dict[str, Any] | None:
    """What was written after a line, and how the operation stands; None when its reader may not see it (any more).

    Who reads is asked for anew each time: rights, accounts and sessions end while a stream is open.
    """
    try:
        operation = Operation.objects.filter(number=number).first()
        if operation is None:
            return None
        # The lines are read after the state: those of an operation that has ended are all there.
        lines = list(queries.whole_log(operation).filter(seq__gt=after)[:LINES])
        news = {
            "topic": operation.topic,
            "lines": [_line(line) for line in lines],
            "last": lines[-1].seq if lines else after,
            "more": len(lines) == LINES,
            "ended": operation.state in Operation.lifecycle.terminal,
            "progress": _progress(operation),
        }
        # Asked last, so that nothing is told that was written after the right had ended.
        return news if _may_read(session, operation) else None
    finally:
        if not connection.in_atomic_block:
            connection.close()  # a stream lives for minutes and must not hold a place in the pool


def _may_read(session: str | None, operation: Operation) -> bool:
    reading = Session.objects.filter(session_key=session, expire_date__gt=clock.now()).select_related("account")
    reader = (found := reading.first()) and found.account
    return bool(reader) and Operation.objects.visible_to(reader).filter(pk=operation.pk).exists()


def _progress(operation: Operation) -> dict[str, Any]:
    step = operation.steps.filter(state__in=(STEP_RUNNING, STEP_UNDOING)).order_by("-position").first()
    how_far = {"done": step.progress_done, "total": step.progress_total} if step else {"done": 0, "total": 0}
    return {"state": operation.state, "step": step.position if step else None, **how_far}


def _line(line: Any) -> dict[str, Any]:
    return {"seq": line.seq, "step": line.step.position, "at": line.at.isoformat(), "text": line.text}


async def _events(session: str | None, number: int, news: dict[str, Any]) -> AsyncIterator[str]:
    """What is known, then what comes. When the listening ends, the browser comes again and names the last line."""
    said: Any = None
    fresh: dict[str, Any] | None = news
    async with aclosing(cast(AsyncGenerator[str], live.stream({news["topic"]}))) as changes:
        while fresh is not None:
            for line in fresh["lines"]:
                yield f"id: {line['seq']}\nevent: line\ndata: {json.dumps(line)}\n\n"
            if fresh["progress"] != said:
                said = fresh["progress"]
                yield f"event: progress\ndata: {json.dumps(said)}\n\n"
            if fresh["ended"] and not fresh["more"]:
                yield "event: end\ndata: {}\n\n"
                return
            heard = ": more\n\n" if fresh["more"] else await anext(changes, None)
            if heard is None:
                return
            if heard.startswith(":"):
                yield heard
            fresh = await sync_to_async(_news)(session, number, fresh["last"])


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
