"""Announcing an artifact: what CI built becomes known, and goes to staging by itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import semver
from django.conf import settings
from django.db import IntegrityError, transaction

from deployments.actions.deployments import request
from deployments.models import Artifact
from identity.models import Person, Scope
from inventory.models import Component, Environment, Service
from portal.errors import Conflict, Invalid
from portal.events import record
from portal.lifecycle import Actor, authorize


@transaction.atomic
def announce(
    service: Service,
    *,
    by: Actor,
    version: str,
    digest: str,
    location: str,
    commit: str = "",
    author: str = "",
    run_url: str = "",
) -> Artifact:
    """Make a built version known and ask for its deployment to every staging environment of the service.

    The same version with the same digest again changes nothing and returns what is there; with another digest it is
    a ``Conflict``, because a version names one set of bytes. ``author`` is an e-mail address; the person it belongs to
    may not approve the production deployment. ``location`` must lie under one of the configured artifact sources.
    """
    staging = _staging_of(service)
    scope = staging[0][1] if staging else _any_scope(service)
    authorize(by, "deployments.announce", scope)
    _check(version, location)
    known = Artifact.objects.filter(service=service, version=version).first()
    if known:
        if known.digest != digest:
            raise Conflict(
                f"{service.slug} {version} is known with the digest {known.digest}; a version never changes."
            )
        return known
    artifact = _keep(
        service=service,
        scope=scope,
        version=version,
        digest=digest,
        location=location,
        commit=commit,
        author=Person.objects.filter(email__iexact=author).first() if author else None,
        author_label=author,
        run_url=run_url,
    )
    record("deployments.announce", artifact, by=by, after={"version": version, "digest": digest, "commit": commit})
    for environment, _ in staging:
        request(artifact, by=by, environment=environment)
    return artifact


def _keep(**facts: Any) -> Artifact:
    try:
        with transaction.atomic():
            return Artifact.objects.create(**facts)
    except IntegrityError as error:
        raise Conflict("These bytes are known as another version, or this version was announced just now.") from error


def _staging_of(service: Service) -> list[tuple[Environment, Scope]]:
    apps = Component.objects.filter(
        service=service, kind=Component.Kind.APP, environment__kind=Environment.Kind.STAGING
    ).select_related("environment", "scope")
    return list({(app.environment, app.scope): None for app in apps})


def _any_scope(service: Service) -> Scope:
    component = Component.objects.filter(service=service, kind=Component.Kind.APP).select_related("scope").first()
    if component is None:
        raise Invalid(f"{service.slug} has no application component in the catalog, so nothing can be deployed.")
    return component.scope


def _check(version: str, location: str) -> None:
    fields: dict[str, list[str]] = {}
    if not semver.Version.is_valid(version):
        fields["version"] = ["Not a semantic version such as 1.4.2 (semver.org)."]
    if ".." in urlsplit(location).path.split("/") or not location.startswith(tuple(settings.ARTIFACT_SOURCES)):
        fields["location"] = ["Not under one of the configured artifact sources."]
    if fields:
        raise Invalid("The announcement is not right.", fields=fields)
