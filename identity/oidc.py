"""Sign-in through an OpenID Connect provider."""

from mozilla_django_oidc.auth import OIDCAuthenticationBackend


class OidcBackend(OIDCAuthenticationBackend):
    """mozilla-django-oidc with the checks it leaves out."""
