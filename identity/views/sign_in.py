"""The door: password, second factor, one-time link, step-up, leaving."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.core.signing import BadSignature
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from identity import actions, entrance, lockout
from identity.forms import CodeForm, SignInForm
from identity.models import Account, SignInLink
from identity.second_factor import TooManyCodes, check_code, factors
from portal import events, http

DOOR = events.System("sign-in")
WRONG = "This account and password do not match, or the account cannot sign in here."
WRONG_CODE = "This code is not right, or it was used before."


@sensitive_post_parameters("password")
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Account and password. With a second factor enrolled, the session stays nobody's until that is shown too."""
    there = entrance.local_path(request.POST.get("next") or request.GET.get("next"))
    if request.method != "POST":
        return _door(request, SignInForm(), there)
    form = SignInForm(request.POST)
    if not form.is_valid():
        return _door(request, form, there, status=422)
    name, address = form.cleaned_data["username"], request.META.get("REMOTE_ADDR", "")
    if wait := lockout.waiting(name, address):
        form.add_error(None, f"Too many attempts. Try again in {wait} seconds.")
        return _door(request, form, there, status=429)
    account = auth.authenticate(request, username=name, password=form.cleaned_data["password"])
    if not isinstance(account, Account):
        actions.refuse_sign_in(name, by=DOOR, address=address, reason="password")
        form.add_error(None, WRONG)
        return _door(request, form, there, status=422)
    return _after_password(request, account, there)


def _door(request: HttpRequest, form: SignInForm, there: str, *, status: int = 200) -> HttpResponse:
    facts = {"form": form, "next": there, "oidc": settings.OIDC_ENABLED, "title": "Sign in"}
    return http.page(request, "identity/sign_in.html", facts, status=status)


def _after_password(request: HttpRequest, account: Account, there: str) -> HttpResponse:
    query = urlencode({"next": there})
    if factors(account):
        entrance.remember_first_factor(request, account, ("pwd",))
        return http.go(request, f"{reverse('sign-in-second-factor')}?{query}")
    entrance.begin(request, account, ("pwd",))
    return http.go(request, f"{reverse('enrol')}?{query}")


@sensitive_post_parameters("code")
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def second_factor(request: HttpRequest) -> HttpResponse:
    """The second half of signing in: a code, or a passkey through its own routes."""
    there = entrance.local_path(request.POST.get("next") or request.GET.get("next"))
    account = entrance.pending(request)
    if account is None:
        return http.go(request, f"{reverse('sign-in')}?{urlencode({'next': there})}")
    form = CodeForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        device, status = _device(form, account, request)
        if device is not None:
            entrance.begin(request, account, (*entrance.first_methods(request), "otp"), device)
            return http.go(request, there)
    facts = {"form": form, "next": there, "title": "Second factor", **_offers(account)}
    return http.page(request, "identity/second_factor.html", facts, status=status)


def _device(form: CodeForm, account: Account, request: HttpRequest) -> tuple[Any, int]:
    """The device that accepts the form's code, and the status to answer with when none does."""
    if not form.is_valid():
        return None, 422
    try:
        device = check_code(account, form.cleaned_data["code"])
    except TooManyCodes as refusal:
        form.add_error("code", refusal.detail)
        return None, refusal.status
    if device is None:
        address = request.META.get("REMOTE_ADDR", "")
        actions.refuse_sign_in(account.username, by=DOOR, address=address, reason="one-time code")
        form.add_error("code", WRONG_CODE)
        return None, 422
    return device, 200


def _offers(account: Account) -> dict[str, bool]:
    kinds = {type(device).__name__ for device in factors(account)}
    return {"has_code": "TOTPDevice" in kinds, "has_passkey": "WebAuthnCredential" in kinds}


@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def step_up(request: HttpRequest) -> HttpResponse:
    """Show the second factor again, then go back to what needed it."""
    there = entrance.local_path(request.POST.get("next") or request.GET.get("next"))
    account: Any = request.user
    offers = _offers(account)
    if not any(offers.values()):
        return http.go(request, f"{reverse('enrol')}?{urlencode({'next': there})}")
    form = CodeForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        device, status = _device(form, account, request)
        if device is not None:
            entrance.strengthen(request, device, "otp")
            return http.go(request, there)
    facts = {"form": form, "next": there, "title": "Confirm it is you", **offers}
    return http.page(request, "identity/step_up.html", facts, status=status)


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows a button and changes nothing, since mail scanners follow links; POST spends the link."""
    try:
        link = SignInLink.objects.select_related("account__person").get(pk=entrance.link_signer.unsign(token))
    except (BadSignature, SignInLink.DoesNotExist) as error:
        raise Http404 from error
    if request.method != "POST":
        return http.page(request, "identity/sign_in_link.html", {"link": link, "title": "Sign in"})
    account = actions.use_link(link, by=link.account)
    entrance.open_session(request, account, ("link",))
    return http.go(request, entrance.local_path(None))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Leave, and end the session on the server."""
    entrance.leave(request)
    return http.go(request, reverse("sign-in"))
