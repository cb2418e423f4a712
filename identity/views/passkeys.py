"""Passkeys: django-otp-webauthn's ceremonies, with our session facts and our events."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.urls import path
from django.views.i18n import JavaScriptCatalog
from django_otp_webauthn import views
from django_otp_webauthn.exceptions import InvalidState, OTPWebAuthnApiError

from identity import actions, entrance
from identity.models import Account
from identity.second_factor import factors
from portal import events


class FreshFactorNeeded(OTPWebAuthnApiError):
    """Whoever has a second factor must show it freshly before adding another."""

    status_code = 401
    default_code = "step_up_required"
    default_detail = "Show your second factor first, then add the passkey."


class _Registration:
    def check_can_register(self) -> None:
        if factors(self.request.user) and not events.stepped_up():  # type: ignore[attr-defined]
            raise FreshFactorNeeded


class BeginRegistration(_Registration, views.BeginCredentialRegistrationView):
    """Options for the browser to make a passkey."""


class CompleteRegistration(_Registration, views.CompleteCredentialRegistrationView):
    """Keeps the passkey that the browser made, and records it."""

    def get_helper(self) -> Any:
        helper = super().get_helper()
        complete = helper.register_complete

        def register_complete(*args: Any, **kwargs: Any) -> Any:
            device = complete(*args, **kwargs)
            actions.enrol(self.request.user, by=self.request.user, device=device)
            return device

        helper.register_complete = register_complete
        return helper


class _Authentication:
    """Who is to be verified: the signed-in person (step-up), or the one whose password was right a moment ago.

    With neither, the passkey alone signs in: the library then demands user verification, which makes it two factors.
    """

    def get_user(self) -> Account | None:
        request = self.request  # type: ignore[attr-defined]
        return request.user if request.user.is_authenticated else entrance.pending(request)


class BeginAuthentication(_Authentication, views.BeginCredentialAuthenticationView):
    """A challenge for the browser to sign."""


class CompleteAuthentication(_Authentication, views.CompleteCredentialAuthenticationView):
    """Checks what the browser signed, then signs in or steps up."""

    def get_state(self) -> Any:
        state = super().get_state()
        if self.get_user() is None and not state["require_user_verification"]:
            # The challenge was made for somebody whose password had been right; that has run out meanwhile.
            raise InvalidState
        return state

    def complete_auth(self, device: Any) -> Any:
        if self.request.user.is_authenticated:
            entrance.strengthen(self.request, device, "hwk")
        else:
            first = entrance.first_methods(self.request) if entrance.pending(self.request) else ("user",)
            methods = (*first, "hwk")
            entrance.begin(self.request, device.user, methods, device)
        return device.user

    def get_success_url(self) -> str:
        return entrance.local_path(self.request.GET.get("next"))


urlpatterns = [
    path("registration/begin/", BeginRegistration.as_view(), name="credential-registration-begin"),
    path("registration/complete/", CompleteRegistration.as_view(), name="credential-registration-complete"),
    path(
        "authentication/begin/",
        login_not_required(BeginAuthentication.as_view()),
        name="credential-authentication-begin",
    ),
    path(
        "authentication/complete/",
        login_not_required(CompleteAuthentication.as_view()),
        name="credential-authentication-complete",
    ),
    path(
        "messages/",
        login_not_required(JavaScriptCatalog.as_view(packages=["django_otp_webauthn"])),
        name="js-i18n-catalog",
    ),
]
