"""How a REST client says who it is: a bearer token, or the browser's own session.

Either may add ``X-OTP: 123456``, a code of the account's authenticator app, for verbs that need a fresh second factor.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from identity import actions
from identity.models import Account, ApiToken
from identity.second_factor import TooManyCodes, check_code
from portal import clock, events
from portal.prepared import prepared

# A busy token would otherwise write its row on every request.
LAST_USED_RESOLUTION = timedelta(minutes=1)
CODE_HEADER = "X-OTP"


class CodeThrottled(exceptions.AuthenticationFailed):
    status_code = 429
    default_code = "too_many_attempts"


def _step_up(request: Request, account: Account) -> None:
    """With ``X-OTP``: a right code counts as a second factor for this request, a wrong one refuses it."""
    code = request.headers.get(CODE_HEADER)
    if code is None or request._request.META.get("portal.code_checked"):
        return
    # DRF may authenticate one request twice; a code works once.
    request._request.META["portal.code_checked"] = True
    try:
        device = check_code(account, code)
    except TooManyCodes as refusal:
        raise CodeThrottled(refusal.detail) from refusal
    if device is None:
        raise exceptions.AuthenticationFailed("The one-time code is wrong or was used before.")
    how = events.context()
    events._context.set(replace(how, methods=(*how.methods, "otp"), second_factor_at=clock.now()))
    actions.step_up(account, by=account, method="otp")


@prepared
def _token(digest: str) -> QuerySet[ApiToken]:
    live = ApiToken.objects.filter(digest=digest, revoked_at=None, expires_at__gt=clock.now(), account__is_active=True)
    return live.select_related("account__person")


class TokenAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer edye_…``."""

    def authenticate(self, request: Request) -> tuple[Account, ApiToken] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        now = clock.now()
        token = next(iter(_token(ApiToken.hashed(text.strip()))), None)
        if token is None:
            raise exceptions.AuthenticationFailed("This token is unknown, has ended or was revoked.")
        if token.last_used_at is None or now - token.last_used_at > LAST_USED_RESOLUTION:
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
        # Nothing of a browser session that came along counts for a token.
        events._context.set(replace(events.context(), token=str(token.pk), methods=("token",), second_factor_at=None))
        _step_up(request, token.account)
        return token.account, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="portal"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session, with CSRF enforced by DRF on unsafe methods."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="portal"'

    def authenticate(self, request: Request) -> Any:
        found = super().authenticate(request)
        if found is not None:
            _step_up(request, found[0])
        return found


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API schema describes our tokens."""

    target_class = "identity.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API token, `edye_…`."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API schema describes the browser's session."""

    target_class = "identity.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        from django.conf import settings

        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
