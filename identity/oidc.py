"""Sign-in through an OpenID Connect provider: what mozilla-django-oidc does, with the checks it leaves out.

Every way in which an answer of the provider can be wrong ends in a ``Refused``: a page, never an error of the server.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
import requests
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from identity import actions
from identity.models import Account
from portal import clock, events
from portal.errors import Denied, Refused

DOOR = events.System("sign-in")
LEEWAY_SECONDS = 30
REQUIRED = ["iss", "aud", "sub", "exp", "iat", "nonce", "auth_time"]
# RFC 8176. A text message is no second factor here: numbers are taken over too easily.
POSSESSED = {"otp", "hwk", "swk", "sc", "pop"}
KNOWN_OR_INBORN = {"pwd", "pin", "face", "fpt", "iris", "retina", "vbm", "user"}
# Classes that by their definition are reached with two factors only.
STRONG_CLASSES = {"phr", "phrh", "http://schemas.openid.net/pape/policies/2007/06/multi-factor"}


class Unreachable(Refused):
    """The provider does not answer; people with a password here can still use that."""

    status = 503
    title = "The organisation's sign-in does not answer"


@dataclass(frozen=True)
class Proof:
    """What the provider says about how a person proved who they are, from a verified ID token."""

    methods: tuple[str, ...]
    two_factors: bool
    at: datetime

    @classmethod
    def of(cls, claims: dict[str, Any]) -> Proof:
        """Read ``amr``, ``acr`` and ``auth_time``. Claims of an unexpected shape prove nothing."""
        listed = claims.get("amr")
        methods = [name for name in listed if isinstance(name, str)][:8] if isinstance(listed, list) else []
        shown = set(methods)
        both = bool(shown & POSSESSED and shown & KNOWN_OR_INBORN)
        strong = "mfa" in shown or both or claims.get("acr") in STRONG_CLASSES
        return cls(("oidc", *(name[:32] for name in methods)), strong, _instant(claims["auth_time"]))


def _instant(seconds: Any) -> datetime:
    """``auth_time`` as an instant, neither to come nor longer ago than a session may last."""
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise Denied("The organisation's sign-in says no usable time.") from error
    age = (clock.now() - at).total_seconds()
    if not -LEEWAY_SECONDS <= age <= settings.SESSION_COOKIE_AGE + LEEWAY_SECONDS:
        raise Denied("The organisation's sign-in is not recent. Sign in there again.")
    return min(at, clock.now())


class OidcBackend(OIDCAuthenticationBackend):
    """Turns an authorization code into the account of the issuer's subject. Gives no rights of its own."""

    def authenticate(self, request: HttpRequest | None, *, nonce: str, code_verifier: str) -> Account | None:
        """The account behind ``request``'s code, with ``request.oidc_proof`` set; only after our own redirect.

        Nonce and verifier come from the browser's session, so a form with a password never gets here.
        Raises ``Denied`` for every token or answer that is not exactly right, ``Unreachable`` without an answer.
        """
        if not (settings.OIDC_ENABLED and nonce and code_verifier):
            return None
        try:
            found: Account | None = super().authenticate(request, nonce=nonce, code_verifier=code_verifier)
        except (jwt.PyJWTError, SuspiciousOperation) as error:
            raise Denied("The organisation's sign-in was not accepted.", [_why(error)]) from error
        except requests.RequestException as error:
            raise Unreachable("Try again in a moment, or sign in with a password.") from error
        return found

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Rights come from scopes alone."""
        return False

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_token(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The token endpoint's answer, once it has the shape of one."""
        answer = super().get_token(payload)
        named = ("id_token", "access_token")
        if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in named):
            raise Denied("The organisation's sign-in answered without a token.")
        return answer

    def raise_token_response_error(self, response: requests.Response) -> None:
        """A refused code is a refusal; the answer's text stays out of logs, since it may hold secrets."""
        if response.status_code >= 500:
            raise requests.HTTPError(f"The token endpoint answered {response.status_code}.")
        if response.status_code != 200:
            raise Denied("The organisation's sign-in did not accept the code. Begin again.")

    def retrieve_matching_jwk(self, token: str) -> Any:
        """The provider's key that the token's header names. The request for the keys has a timeout."""
        try:
            return super().retrieve_matching_jwk(token)
        except (KeyError, TypeError, AttributeError) as error:
            raise SuspiciousOperation("No key of the provider fits the token.") from error

    def verify_token(self, token: str, **kwargs: Any) -> dict[str, Any]:
        """Check the signature and every claim of an ID token; its claims.

        One asymmetric algorithm, our issuer, ourselves as audience and authorised party, not expired, not from the
        future, and the nonce of this very sign-in. Raises ``jwt.PyJWTError`` or ``SuspiciousOperation``.
        """
        if jwt.get_unverified_header(token).get("alg") != settings.OIDC_RP_SIGN_ALGO:
            raise SuspiciousOperation("The token is not signed as agreed.")
        claims: dict[str, Any] = jwt.decode(
            token,
            self.retrieve_matching_jwk(token),
            algorithms=[settings.OIDC_RP_SIGN_ALGO],
            audience=settings.OIDC_RP_CLIENT_ID,
            issuer=settings.OIDC_ISSUER,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED},
        )
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else settings.OIDC_RP_CLIENT_ID) != settings.OIDC_RP_CLIENT_ID:
            raise SuspiciousOperation("The token was made for another client.")
        if not (claims["sub"].isprintable() and 0 < len(claims["sub"]) <= 255):
            raise SuspiciousOperation("The token names nobody.")
        nonce = str(kwargs.get("nonce") or "")
        if not nonce or not hmac.compare_digest(nonce.encode(), str(claims["nonce"]).encode()):
            raise SuspiciousOperation("The token belongs to another sign-in.")
        return claims

    def get_or_create_user(self, access_token: str, id_token: str, payload: dict[str, Any]) -> Account:
        """The account of (issuer, subject); a first visit makes one without any role. E-mail identifies nobody."""
        self.request.oidc_proof = Proof.of(payload)
        known = Account.objects.filter(issuer=payload["iss"], subject=payload["sub"]).first()
        facts = self.get_userinfo(access_token, id_token, payload)
        if not isinstance(facts, dict) or facts.get("sub") != payload["sub"]:
            raise Denied("The organisation's sign-in was not accepted.", ["Its details belong to another person."])
        if known is not None:
            return known
        name = facts.get("name") or facts.get("preferred_username") or payload["sub"]
        return actions.welcome(
            payload["iss"], payload["sub"], by=DOOR, name=str(name), email=str(facts.get("email") or "")
        )


def _why(error: Exception) -> str:
    """One plain sentence about a token; the libraries' texts hold no secret of it."""
    text = str(error).strip() or type(error).__name__
    return text if text.endswith(".") else f"{text}."
