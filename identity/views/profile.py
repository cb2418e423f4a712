"""One's own profile: second factors, sessions, API tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import segno
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_http_methods, require_POST
from django_otp import devices_for_user
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.util import random_hex

from identity import actions, entrance, queries
from identity.forms import CodeForm, TokenForm
from identity.models import ApiToken
from identity.second_factor import factors, require_fresh
from portal import clock, http
from portal.errors import Refused

ENROLLING = "enrolling"


def _handle(device: Any) -> str:
    """Names a device in an address."""
    return str(device.persistent_id).replace("/", "-")


def profile(request: HttpRequest) -> HttpResponse:
    """Who I am here, how I prove it, where I am signed in, which tokens act for me."""
    account: Any = request.user
    sessions = queries.sessions_of(account)
    for session in sessions:
        session["current"] = session["key"] == request.session.session_key
        session["began"] = datetime.fromisoformat(session["began"]) if session["began"] else None
    facts = {
        "factors": [{"device": device, "handle": _handle(device)} for device in factors(account)],
        "sessions": sessions,
        "tokens": ApiToken.objects.filter(account=account, revoked_at=None, expires_at__gt=clock.now()),
        "bindings": account.bindings.select_related("scope"),
        "teams": account.teams.all(),
        "title": "Profile",
    }
    return http.page(request, "identity/profile.html", facts)


@require_http_methods(["GET", "HEAD", "POST"])
def enrol(request: HttpRequest) -> HttpResponse:
    """Scan the picture with an authenticator app, type the code it shows: that app is a second factor now."""
    account: Any = request.user
    there = entrance.local_path(request.POST.get("next") or request.GET.get("next"))
    if factors(account):
        require_fresh(account)
    form = CodeForm(request.POST if request.method == "POST" else None)
    error: Refused | None = None
    device = _unconfirmed(request)
    if request.method == "POST" and form.is_valid():
        try:
            actions.enrol(account, by=account, device=device, code=form.cleaned_data["code"])
        except Refused as refusal:
            error = refusal
            form.add_error("code", refusal.detail)
        else:
            del request.session[ENROLLING]
            entrance.strengthen(request, device, "otp")
            return http.go(request, there)
    facts = {"form": form, "next": there, "picture": _picture(device), "title": "Add an authenticator app"}
    facts["secret"] = _grouped(device)
    return http.page(
        request, "identity/enrol.html", facts, status=error.status if error else 422 if form.errors else 200
    )


def _unconfirmed(request: HttpRequest) -> TOTPDevice:
    """The app that is about to be added. Reading the page writes no row; the key waits in the session."""
    facts = {"user": request.user, "name": "Authenticator app", "confirmed": False}
    facts["key"] = request.session.setdefault(ENROLLING, random_hex(20))
    if request.method != "POST":
        return TOTPDevice(**facts)
    # A row, so that django-otp can count wrong codes against it.
    device, _ = TOTPDevice.objects.get_or_create(**facts)
    return device


def _picture(device: TOTPDevice) -> str:
    """The QR code as inline SVG in the page's own colours; drawn here, so the secret goes nowhere else."""
    code = segno.make(device.config_url, error="m")
    drawn = code.svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=False)
    return mark_safe(drawn)  # noqa: S308 (made by segno from our own address)


def _grouped(device: TOTPDevice) -> str:
    from base64 import b32encode

    text = b32encode(device.bin_key).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


@require_http_methods(["GET", "HEAD", "POST"])
def remove_factor(request: HttpRequest, device: str) -> HttpResponse:
    """Take a second factor away; another must remain."""
    mine: Any = request.user
    found = next((d for d in devices_for_user(mine) if _handle(d) == device), None)
    if found is None:
        raise Http404
    if request.method == "POST":
        actions.remove_factor(found, by=mine)
        return http.go(request, reverse("profile"))
    facts = {"what": found.name, "title": "Remove second factor", "label": "Remove"}
    return http.page(request, "identity/confirm.html", facts)


@require_POST
def end_session(request: HttpRequest, session: str) -> HttpResponse:
    """End one of my sessions; this one counts as signing out."""
    account: Any = request.user
    found = queries.session_named(account, session)
    if found is None:
        raise Http404
    if found.session_key == request.session.session_key:
        entrance.leave(request)
        return http.go(request, reverse("sign-in"))
    actions.end_session(found, by=account)
    return http.go(request, reverse("profile"))


@require_http_methods(["GET", "HEAD", "POST"])
def create_token(request: HttpRequest) -> HttpResponse:
    """Make a token. The page that answers shows its text, and nothing ever will again."""
    account: Any = request.user
    form = TokenForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        token, text = actions.create_token(account, by=account, **form.cleaned_data)
        return http.page(request, "identity/token_made.html", {"token": token, "text": text, "title": "New API token"})
    require_fresh(account)
    facts = {"form": form, "title": "New API token"}
    return http.page(request, "identity/token_create.html", facts, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def revoke_token(request: HttpRequest, pk: str) -> HttpResponse:
    """End one of my tokens."""
    token = get_object_or_404(ApiToken, pk=pk, account=request.user.pk)
    if request.method == "POST":
        actions.revoke_token(token, by=request.user)  # type: ignore[arg-type]
        return http.go(request, f"{reverse('profile')}?{urlencode({'revoked': token.label})}")
    facts = {"what": f"API token “{token.label}”", "title": "Revoke API token", "label": "Revoke"}
    return http.page(request, "identity/confirm.html", facts)
