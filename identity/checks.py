"""What the portal refuses to start with."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
NOBODY_IS_SUPERUSER = "account_nobody_is_superuser"


@register(Tags.security)
def nobody_is_superuser(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """A superuser would hold every right without a binding, so the database must refuse one."""
    from identity.models import Account

    if NOBODY_IS_SUPERUSER in {constraint.name for constraint in Account._meta.constraints}:
        return []
    return [Error("The CHECK against superusers is gone from the account model.", id="identity.E001")]


@register(Tags.security)
def oidc_is_strict(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """Sign-in through a provider only with an asymmetric signature, PKCE S256, a nonce and verified TLS."""
    if not settings.OIDC_ENABLED:
        return []
    problems = {
        "E002": (settings.OIDC_RP_SIGN_ALGO not in ASYMMETRIC, "ID tokens must be signed asymmetrically, e.g. RS256."),
        "E003": (not settings.OIDC_USE_PKCE, "PKCE must be on."),
        "E004": (settings.OIDC_PKCE_CODE_CHALLENGE_METHOD != "S256", "PKCE must use S256."),
        "E005": (not settings.OIDC_USE_NONCE, "The nonce must be on."),
        "E006": (getattr(settings, "OIDC_ALLOW_UNSECURED_JWT", False), "Unsigned ID tokens must not be allowed."),
        "E007": (not getattr(settings, "OIDC_VERIFY_SSL", True), "The provider's certificate must be verified."),
        "E008": (not settings.OIDC_TIMEOUT, "Requests to the provider need a timeout."),
    }
    return [Error(text, id=f"identity.{code}") for code, (wrong, text) in problems.items() if wrong]
