"""The CI webhook: signed as Standard Webhooks says, kept once per delivery, and never believed further than signed.

Signature: HMAC-SHA256 over ``<webhook-id>.<webhook-timestamp>.<raw body>``, sent as ``v1,<base64>`` in
``webhook-signature``; several, separated by blanks, while a secret is being changed (standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework import serializers

from deployments.actions import announce
from deployments.models import Artifact, CiDelivery, CiSource
from drivers.errors import DriverError
from drivers.secret import SecretStore
from inventory.models import Service
from portal import clock
from portal.api import VerbInput
from portal.errors import Conflict, Denied, Invalid

MAX_BODY_BYTES = 256 * 1024
MAX_SKEW_SECONDS = 300


class Announcement(VerbInput):
    """What CI says about a build."""

    service = serializers.SlugField(max_length=64, help_text="Slug of the service in the catalog.")
    version = serializers.CharField(max_length=64, help_text="Semantic version.")
    digest = serializers.RegexField(r"^sha256:[0-9a-f]{64}\Z", help_text="sha256:<64 hexadecimal digits> of the bytes.")
    location = serializers.CharField(max_length=500, help_text="Where the bytes lie, below a configured source.")
    commit = serializers.RegexField(r"^[0-9a-fA-F]{7,64}\Z", required=False, allow_blank=True, default="")
    author = serializers.EmailField(required=False, allow_blank=True, default="", max_length=200)
    run_url = serializers.URLField(required=False, allow_blank=True, default="", max_length=200)


def signature(secret: bytes, delivery: str, stamp: str, body: bytes) -> str:
    """The ``v1,…`` signature of one delivery."""
    digest = hmac.new(secret, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def secret_bytes(text: str) -> bytes:
    """The key behind ``whsec_<base64>`` (or a plain text, as it is)."""
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise Invalid("The webhook secret is not whsec_<base64>.") from error


def receive(source: CiSource, headers: Mapping[str, str], body: bytes) -> Artifact:
    """Verify, remember and carry out one delivery; a repeated one returns what the first one made.

    Raises ``Denied`` (signature, clock), ``Invalid`` (content) and whatever announcing refuses. Then nothing is kept,
    so that a corrected delivery may use the same id.
    """
    delivery = headers.get("webhook-id", "")[:121]
    _verify(source, delivery, headers, body)
    body_digest = hashlib.sha256(body).hexdigest()
    if known := _earlier(source, delivery):
        return _same(known, body_digest)
    given = _parse(body)
    service = Service.objects.filter(slug=given.pop("service")).first()
    if service is None:
        raise Invalid("There is no such service.", fields={"service": ["No service of this name in the catalog."]})
    try:
        with transaction.atomic():
            artifact = announce(service, by=source.account, **given)
            CiDelivery.objects.create(source=source, delivery_id=delivery, body_digest=body_digest, artifact=artifact)
    except (IntegrityError, Conflict):
        # The same delivery at the same moment may have been faster: then both get its answer.
        if known := _earlier(source, delivery):
            return _same(known, body_digest)
        raise
    return artifact


def _earlier(source: CiSource, delivery: str) -> CiDelivery | None:
    return source.deliveries.filter(delivery_id=delivery).select_related("artifact__service").first()


def _same(known: CiDelivery, body_digest: str) -> Artifact:
    if known.body_digest != body_digest or known.artifact is None:
        raise Conflict("This delivery id was used before, with another content.")
    return known.artifact


def _verify(source: CiSource, delivery: str, headers: Mapping[str, str], body: bytes) -> None:
    stamp = headers.get("webhook-timestamp", "")
    if not delivery or len(delivery) > 120 or not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        raise Denied("The headers webhook-id and webhook-timestamp are missing or not right.")
    if abs(clock.now().timestamp() - int(stamp)) > MAX_SKEW_SECONDS:
        raise Denied("The delivery's timestamp is more than five minutes away from now.")
    try:
        secret = secret_bytes(SecretStore().resolve(source.secret_reference).reveal())
    except DriverError as error:
        raise Conflict("The source's secret cannot be read at the moment.") from error
    expected = signature(secret, delivery, stamp, body)
    offered = headers.get("webhook-signature", "").split(" ")[:8]
    if not any(hmac.compare_digest(expected.encode(), candidate.encode()) for candidate in offered):
        raise Denied("The signature does not fit the body.")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("The body is not JSON.") from error
    if not isinstance(data, dict):
        raise Invalid("The body is not a JSON object.")
    given = Announcement(data=data)
    given.is_valid(raise_exception=True)
    values = dict(given.validated_data)
    values.pop("expected_version", None)
    return values
