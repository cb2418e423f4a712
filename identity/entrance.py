"""The browser's session at the door: it begins, it is strengthened, it ends. Calls the verbs; views call this."""

from __future__ import annotations

from typing import Any

import django_otp
from django.conf import settings
from django.contrib import auth
from django.core.signing import Signer
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch
from django.utils.http import url_has_allowed_host_and_scheme

from identity import actions
from identity.middleware import METHODS, SECOND_FACTOR_AT
from identity.models import Account
from portal import clock

BACKEND = "identity.backends.ScopeBackend"
PENDING = "pending_sign_in"
PENDING_SECONDS = 300
link_signer = Signer(salt="identity.sign-in-link")
SIGNED_IN_AT, ADDRESS, BROWSER = "signed_in_at", "address", "browser"


def local_path(value: str | None) -> str:
    """``value`` when it is a path of this portal, else the start page. Nobody is sent elsewhere by a crafted link."""
    if value and value.startswith("/") and url_has_allowed_host_and_scheme(value, allowed_hosts=None):
        return value
    try:
        return resolve_url(settings.LOGIN_REDIRECT_URL)
    except NoReverseMatch:
        return "/"


def remember_first_factor(request: HttpRequest, account: Account, methods: tuple[str, ...]) -> None:
    """One factor was right (``methods``); the session waits for the second and is nobody's until then."""
    auth.logout(request)
    facts = {"account": str(account.pk), "at": clock.now().timestamp(), "methods": list(methods)}
    request.session[PENDING] = facts


def pending(request: HttpRequest) -> Account | None:
    """Whose second factor this session waits for; ``None`` when nobody's, or when it took too long."""
    facts = request.session.get(PENDING)
    if not facts or clock.now().timestamp() - facts["at"] > PENDING_SECONDS:
        return None
    return Account.objects.filter(pk=facts["account"], is_active=True).first()


def first_methods(request: HttpRequest) -> tuple[str, ...]:
    """How the first factor of the pending sign-in was shown."""
    return tuple(request.session.get(PENDING, {}).get("methods", ("pwd",)))


def begin(
    request: HttpRequest, account: Account, methods: tuple[str, ...], device: Any = None, *, shown_at: Any = None
) -> None:
    """Sign ``account`` in here, under a new session key. ``device`` is the second factor just shown, if one was."""
    actions.sign_in(account, by=account, methods=methods)
    open_session(request, account, methods, device, shown_at=shown_at)


def open_session(
    request: HttpRequest, account: Account, methods: tuple[str, ...], device: Any = None, *, shown_at: Any = None
) -> None:
    """Only the session's part of ``begin``. ``shown_at``: when a provider saw the second factor."""
    # Whoever was signed in here before leaves first; that also gives the session a new key and no old proofs.
    auth.logout(request)
    auth.login(request, account, backend=BACKEND)
    request.session[METHODS] = list(methods)
    request.session[SIGNED_IN_AT] = clock.now().isoformat()
    request.session[ADDRESS] = request.META.get("REMOTE_ADDR", "")
    request.session[BROWSER] = request.headers.get("User-Agent", "")[:200]
    if device is not None:
        django_otp.login(request, device)
        shown_at = clock.now()
    if shown_at is not None:
        request.session[SECOND_FACTOR_AT] = shown_at.isoformat()


def strengthen(request: HttpRequest, device: Any, method: str) -> None:
    """A second factor was shown anew: note when, under a new session key, and record it."""
    actions.step_up(request.user, by=request.user, method=method)  # type: ignore[arg-type]
    request.session.cycle_key()
    request.session[SECOND_FACTOR_AT] = clock.now().isoformat()
    request.session[METHODS] = sorted({*request.session.get(METHODS, []), method})
    django_otp.login(request, device)


def leave(request: HttpRequest) -> None:
    """Sign out; the session row is gone and its cookie worthless."""
    if request.user.is_authenticated:
        actions.sign_out(request.user, by=request.user)  # type: ignore[arg-type]
    auth.logout(request)
