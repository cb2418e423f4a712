"""The way to an OpenID Connect provider and back."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.http import urlencode
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from identity import actions, entrance
from identity.oidc import DOOR, Proof
from identity.second_factor import factors
from portal import http
from portal.errors import Denied, Refused

STATES, NEXT = "oidc_states", "oidc_login_next"
NOT_BEGUN = "This sign-in was not begun in this browser, or it is over. Begin again."
ONE_FACTOR = (
    "The organisation's sign-in saw one factor only, and this account has no second factor here. "
    "Sign in there with a second factor."
)


def _only_when_set_up() -> None:
    if not settings.OIDC_ENABLED:
        raise Http404("No provider is set up.")


class Begin(OIDCAuthenticationRequestView):
    """Send the browser to the provider, with a state, a nonce and a PKCE challenge kept in its session."""

    def get(self, request: HttpRequest) -> HttpResponse:
        _only_when_set_up()
        answer: HttpResponse = super().get(request)
        return answer

    def get_extra_params(self, request: HttpRequest) -> dict[str, Any]:
        # With max_age the provider has to say when it saw the person (auth_time).
        return {"max_age": settings.SESSION_COOKIE_AGE}


class Return(OIDCAuthenticationCallbackView):
    """Back from the provider. Without a state that this browser's session knows, nothing at all happens."""

    def get(self, request: HttpRequest) -> HttpResponse:
        _only_when_set_up()
        state = request.GET.get("state", "")
        if state not in request.session.get(STATES, {}):
            raise Denied(NOT_BEGUN)
        try:
            if request.GET.get("iss", settings.OIDC_ISSUER) != settings.OIDC_ISSUER:
                raise Denied("The answer came from another provider.")
            if request.GET.get("error") or not request.GET.get("code"):
                raise Denied("The organisation's sign-in did not let you in.")
            answer: HttpResponse = super().get(request)
        except Refused as refusal:
            self._forget(request, state)
            address = request.META.get("REMOTE_ADDR", "")
            actions.refuse_sign_in("", by=DOOR, address=address, reason=refusal.detail)
            raise
        return answer

    def _forget(self, request: HttpRequest, state: str) -> None:
        """A state works once, also when it ended in a refusal."""
        if request.session.get(STATES, {}).pop(state, None) is not None:
            request.session.modified = True

    def login_failure(self) -> HttpResponse:
        raise Denied("This account cannot sign in.")

    def login_success(self) -> HttpResponse:
        """Two factors there let in; one alone leads to our own second factor, or nowhere."""
        request, account = self.request, self.user
        proof: Proof = request.oidc_proof
        there = entrance.local_path(request.session.get(NEXT))
        if proof.two_factors:
            entrance.begin(request, account, proof.methods, shown_at=proof.at)
            return http.go(request, there)
        if not factors(account):
            raise Denied(ONE_FACTOR)
        entrance.remember_first_factor(request, account, proof.methods)
        return http.go(request, f"{reverse('sign-in-second-factor')}?{urlencode({'next': there})}")


urlpatterns = [
    path("oidc/authenticate/", login_not_required(Begin.as_view()), name="oidc_authentication_init"),
    path("oidc/callback/", login_not_required(Return.as_view()), name="oidc_authentication_callback"),
]
