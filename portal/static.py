"""Static files, served by the web process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from servestatic.middleware import ServeStaticMiddleware  # type: ignore[import-untyped]


class StaticFilesMiddleware:
    """ServeStatic, reached by its own addresses only: it is asynchronous, so all would change threads twice."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.serve = async_to_sync(ServeStaticMiddleware(_nothing))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        found = self.serve(request) if request.path_info.startswith(settings.STATIC_URL) else None
        return self.get_response(request) if found is None else found


async def _nothing(request: HttpRequest) -> Any:
    """What ServeStatic answers where there is no such file."""
    return None
