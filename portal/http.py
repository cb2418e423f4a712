"""Requests and answers: the one place that reads htmx's headers and turns refusals into pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import render
from django.urls import is_valid_path, reverse
from django.utils.cache import patch_vary_headers
from django.utils.http import urlencode
from django.views import defaults
from rest_framework.exceptions import APIException, ParseError
from uuid_utils.compat import uuid7

from portal import events
from portal.errors import Denied, Refused, StepUpRequired, WrongMethod, out_of_range
from portal.ui.panels import panels_for
from portal.ui.table import Table

log = structlog.get_logger(__name__)
Next = Callable[[HttpRequest], HttpResponse]
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
PARTIAL_NAME = re.compile(r"[a-z][a-z0-9-]*")


def page(
    request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """Render ``template`` whole, or only the partial that htmx is about to replace.

    An element htmx may replace has ``id`` = the name of its ``partialdef``. With ``HX-Target`` naming such a
    partial only that part is rendered; boosted and plain requests get the full page. A ``Table`` of the context
    renders its own rows when it is the target, and answers ``?export=csv``. A panel of the place "list" stands above
    it; its ``href`` is where the list opens when the address asks for nothing.
    """
    context = context or {}
    htmx = getattr(request, "htmx", None)
    target = (htmx.target or "") if htmx and not htmx.boosted else ""
    tables = {part.name: part for part in context.values() if isinstance(part, Table)}
    if exporting := next((table for table in tables.values() if table.exporting), None):
        response: HttpResponse = exporting.file()
        return response
    if (whole := tables.get("table")) and not target:
        whole.above = panels_for(request, "list", whole)
        if not request.GET and (start := "".join(above.href for above in whole.above)):
            return go(request, start)
    if target in tables:
        response = render(request, Table.partial, {"table": tables[target]}, status=status)
    elif target and PARTIAL_NAME.fullmatch(target) and _has_partial(template, target):
        response = render(request, f"{template}#{target}", context, status=status)
    else:
        response = render(request, template, context, status=status)
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _has_partial(template: str, name: str) -> bool:
    from django.template import TemplateDoesNotExist
    from django.template.loader import get_template

    try:
        get_template(f"{template}#{name}")
    except TemplateDoesNotExist:
        return False
    return True


def go(request: HttpRequest, url: str) -> HttpResponse:
    """After a verb: send the browser to ``url`` (303), through htmx as a swap of the whole body."""
    if getattr(request, "htmx", None):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponse(status=303, headers={"Location": url})


def refused(request: HttpRequest, error: Refused, back: str = "/") -> HttpResponse:
    """The refusal as a page (or as problem JSON for a client that asks for JSON), naming everything missing.

    ``back``: where the page leads.
    """
    if document := _document(request, error):
        return document
    if isinstance(error, StepUpRequired) and request.user.is_authenticated:
        here = request.headers.get("HX-Current-URL") if request.method != "GET" else request.get_full_path()
        here = urlsplit(here or request.META.get("HTTP_REFERER", "/"))._replace(scheme="", netloc="").geturl()
        return go(request, f"{reverse('step-up')}?{urlencode({'next': here})}")
    response = page(request, "refused.html", {"error": error, "back": back}, status=error.status)
    if getattr(request, "htmx", None):
        # htmx swaps no refusal in; the page tells it as a message.
        response["HX-Trigger"] = json.dumps({"refused": {"detail": " ".join([error.detail, *error.problems])}})
    return response


def _document(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The problem document, if it is a machine that asked."""
    from portal.api import PROBLEM, problem

    if not request.path.startswith("/api/"):
        return None
    answer = problem(error, {})
    assert answer is not None
    return JsonResponse(answer.data, status=answer.status_code, content_type=PROBLEM)


def not_allowed(request: HttpRequest, answer: HttpResponseNotAllowed) -> HttpResponse:
    """A method that the address does not take, such as a form's address typed by hand: a page that leads back."""
    detail = "Nothing is shown at this address: it only takes what a form sends."
    if request.method not in SAFE_METHODS:
        detail = "Nothing can be sent to this address: it only shows something."
    response = refused(request, WrongMethod(detail), back=above(request.path))
    response["Allow"] = answer["Allow"]
    return response


def above(path: str) -> str:
    """The nearest page above ``path``: of ``/catalog/apply/`` it is ``/catalog/``."""
    while path := path.rstrip("/").rpartition("/")[0]:
        if is_valid_path(f"{path}/"):
            return f"{path}/"
    return "/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's answer to what it cannot make sense of, such as a strange host: a page, or a document for a machine."""
    return _document(request, ParseError()) or defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """An address that leads nowhere."""
    return _document(request, Http404()) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """A fault of ours. The id in the answer finds it in the log."""
    return _document(request, APIException()) or defaults.server_error(request)


class RequestContextMiddleware:
    """Gives each request an id, binds it to logs and events, and answers with it."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid7())
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        with events.acting(request_id=request_id, address=request.META.get("REMOTE_ADDR", "")):
            response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


class SameOriginMiddleware:
    """Refuses unsafe requests that a browser says come from another site.

    Beside Django's token: a browser that sends ``Sec-Fetch-Site`` or ``Origin`` cannot be made to lie about it
    (OWASP ASVS 5.0, 3.5.1). Clients that send neither, such as curl with a bearer token, are left to the token check.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in SAFE_METHODS and not self._same_origin(request):
            log.warning("foreign_request_refused", path=request.path)
            return refused(request, _foreign())
        return self.get_response(request)

    def _same_origin(self, request: HttpRequest) -> bool:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = request.headers.get("Origin")
        if origin is None:
            return True
        return origin == f"{request.scheme}://{request.get_host()}" or origin in settings.CSRF_TRUSTED_ORIGINS


def _foreign() -> Refused:
    return Denied("This request came from another site, so it was not carried out.")


class RefusalMiddleware:
    """Turns a ``Refused`` that leaves a view into its answer, and a bare 405. Nothing else catches them."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        return not_allowed(request, response) if isinstance(response, HttpResponseNotAllowed) else response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, DataError):
            error = out_of_range(error)
        return refused(request, error) if isinstance(error, Refused) else None


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF refusal in our own page."""
    return refused(request, Denied("This form is out of date. Go back, load the page again and repeat.", [reason]))
