"""Private by default, and the facts of the sign-in carried into every event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from portal import events

SECOND_FACTOR_AT = "second_factor_at"
METHODS = "authentication_methods"


def second_factor_at(request: HttpRequest) -> datetime | None:
    """When this session last showed a second factor (``None``: never)."""
    stamp = request.session.get(SECOND_FACTOR_AT)
    return datetime.fromisoformat(stamp) if stamp else None


class SignedInMiddleware(LoginRequiredMiddleware):
    """Every view needs a signed-in account unless it is marked ``login_not_required``.

    API routes answer for themselves (401 as problem JSON), so they are left to the API's authentication.
    """

    def __call__(self, request: HttpRequest) -> Any:
        if not request.user.is_authenticated:
            return self.get_response(request)
        methods = tuple(request.session.get(METHODS, ()))
        with events.acting(methods=methods, second_factor_at=second_factor_at(request)):
            return self.get_response(request)

    def process_view(self, request: HttpRequest, view_func: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        if request.path.startswith("/api/v1/"):
            return None
        return super().process_view(request, view_func, args, kwargs)
