"""How a REST client says who it is: a bearer token, or the browser's own session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from identity.models import Account, ApiToken
from portal import clock, events

# A busy token would otherwise write its row on every request.
LAST_USED_RESOLUTION = timedelta(minutes=1)


class TokenAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer edye_…``."""

    def authenticate(self, request: Request) -> tuple[Account, ApiToken] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        now = clock.now()
        token = (
            ApiToken.objects.select_related("account__person")
            .filter(digest=ApiToken.hashed(text.strip()), revoked_at=None, expires_at__gt=now, account__is_active=True)
            .first()
        )
        if token is None:
            raise exceptions.AuthenticationFailed("This token is unknown, has ended or was revoked.")
        if token.last_used_at is None or now - token.last_used_at > LAST_USED_RESOLUTION:
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
        self._remember(request._request, token)
        return token.account, token

    def _remember(self, request: HttpRequest, token: ApiToken) -> None:
        from dataclasses import replace

        events._context.set(replace(events.context(), token=str(token.pk), methods=("token",)))

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="portal"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session, with CSRF enforced by DRF on unsafe methods."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="portal"'

    def authenticate(self, request: Request) -> Any:
        return super().authenticate(request)
