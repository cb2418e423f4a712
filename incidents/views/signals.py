"""Where Alertmanager posts. 2xx means committed; 5xx means "again, please"; 4xx says what is wrong."""

from __future__ import annotations

from typing import Any

import structlog
from django.db import Error as DatabaseError
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incidents.actions import intake
from incidents.models import SignalSource
from incidents.payload import MAX_BODY, AlertmanagerInput
from portal import events
from portal.api import PROBLEM, Problem

log = structlog.get_logger(__name__)
ANSWERS = {code: OpenApiResponse(Problem) for code in (400, 401, 413, 422, 503)}
TITLES = {400: "Invalid input", 401: "Unauthorized", 413: "Too large", 422: "Invalid input", 503: "Not now"}


class AlertmanagerView(APIView):
    """``POST /api/v1/signals/alertmanager/<source>/`` with the source's key as bearer."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    parser_classes: list[Any] = []

    @extend_schema(request=AlertmanagerInput, responses={200: OpenApiResponse(description="Committed"), **ANSWERS})
    def post(self, request: Request, source: str) -> Response:
        """Take the alerts of one webhook call. Committed whole before 200 is answered."""
        sender = _sender(request, source)
        if sender is None:
            return _problem(401, "There is no source of this name with this key.", [])
        body = request._request.read(MAX_BODY + 1)
        try:
            received = intake.receive(
                sender, body, by=events.System(f"signals {sender.slug}"), content_type=request.content_type or ""
            )
        except DatabaseError as error:
            log.exception("signal_not_stored", source=sender.slug)
            return _problem(503, "It could not be stored. Send it again.", [type(error).__name__])
        raw = received.raw
        if raw.status != 200:
            return _problem(raw.status, "Nothing in it could be used. It was kept as it came.", raw.problems)
        answer = {
            "signal": str(raw.pk),
            "duplicate": received.duplicate,
            "incidents": [incident.reference for incident in received.incidents],
            "problems": raw.problems,
        }
        return Response(answer)


def _sender(request: Request, slug: str) -> SignalSource | None:
    """The source whose key was sent. An unknown source and a wrong key are told apart by nobody."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    source = SignalSource.objects.filter(slug=slug, kind=SignalSource.Kind.ALERTMANAGER).first()
    known = source is not None and scheme.lower() == "bearer" and source.accepts(key.strip())
    return source if known else None


def _problem(status: int, detail: str, problems: list[str]) -> Response:
    body = {"title": TITLES[status], "status": status, "detail": detail, "problems": problems}
    body["request_id"] = events.context().request_id
    response = Response(body, status=status, content_type=PROBLEM)
    if status == 503:
        response["Retry-After"] = "5"
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="signals"'
    return response
