"""One function per way to reach somebody. Each either hands the message over or raises."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import apprise
import httpx
from django.core.mail import EmailMultiAlternatives, mailers
from django.template.loader import render_to_string

from drivers.errors import DriverError
from drivers.secret import SecretStore
from incidents import links
from incidents.models import ContactMethod, Notification
from portal import clock

TIMEOUT = httpx.Timeout(5.0)
ENCODED = "whsec_"
SECRETS = SecretStore()


class NotSent(Exception):
    """A provider did not take the message. The text holds neither addresses nor secrets."""


def send(notification: Notification) -> None:
    """Hand ``notification`` to its provider. Raises when it was not taken."""
    notification = Notification.objects.select_related(
        "incident__environment", "incident__component", "person", "method", "endpoint"
    ).get(pk=notification.pk)
    if notification.kind == Notification.Kind.WEBHOOK:
        _endpoint(notification)
        return
    kind = notification.method.kind if notification.method else ContactMethod.Kind.EMAIL
    WAYS[kind](notification)


def sentence(error: Exception) -> str:
    """What went wrong, without anything that a provider's text might give away."""
    if isinstance(error, NotSent | DriverError):
        return str(error)[:300]
    return f"The provider failed ({type(error).__name__})."


def message(notification: Notification) -> dict[str, Any]:
    """What every page says: severity, component, since when, who else was called, the code, the link."""
    incident = notification.incident
    others = incident.notifications.filter(kind=notification.kind).exclude(person=notification.person)
    alarm = notification.kind == Notification.Kind.ALARM
    return {
        "incident": incident,
        "notification": notification,
        "others": sorted({str(one.person) for one in others.select_related("person")}),
        "alarm": alarm,
        "link": links.address(notification),
        "subject": f"{'NOBODY ANSWERED · ' if alarm else ''}{incident.severity_label} {incident.reference} "
        f"{' '.join(incident.title.split())} [{notification.code}]"[:180],
        "now": clock.now(),
    }


def _email(notification: Notification) -> None:
    facts = message(notification)
    to = notification.method.address if notification.method else notification.person.email  # type: ignore[union-attr]
    mail = EmailMultiAlternatives(
        facts["subject"],
        render_to_string("emails/page.txt", facts),
        to=[to],
        headers={"Message-ID": f"<{notification.pk}@portal>", "X-Priority": "1", "Auto-Submitted": "auto-generated"},
    )
    mail.attach_alternative(render_to_string("emails/page.html", facts), "text/html")
    if not mailers.default.send_messages([mail]):
        raise NotSent("The mail server took nothing.")


def _webhook(notification: Notification) -> None:
    facts = message(notification)
    incident = notification.incident
    body = {
        "type": "page",
        "incident": incident.reference,
        "severity": incident.severity_label,
        "text": facts["subject"],
        "component": incident.component.slug if incident.component else None,
        "code": notification.code,
        "link": facts["link"],
    }
    _post(notification.method.address, json.dumps(body).encode(), {"Idempotency-Key": str(notification.pk)})  # type: ignore[union-attr]


def _apprise(notification: Notification) -> None:
    facts = message(notification)
    target = apprise.Apprise(asset=apprise.AppriseAsset(secure_logging=True, async_mode=False))
    if not target.add(SECRETS.resolve(notification.method.address).reveal()):  # type: ignore[union-attr]
        raise NotSent("The Apprise address is not one that Apprise understands.")
    text = render_to_string("emails/page.txt", facts)
    if not target.notify(body=text, title=facts["subject"], notify_type=apprise.NotifyType.FAILURE):
        raise NotSent("The Apprise service did not take it.")


def _endpoint(notification: Notification) -> None:
    """A signed webhook as Standard Webhooks 1.0 describes: id, timestamp and HMAC-SHA256 over both and the body."""
    endpoint = notification.endpoint
    assert endpoint is not None
    body = json.dumps(notification.payload, separators=(",", ":")).encode()
    moment = str(int(time.time()))
    key = _key(SECRETS.resolve(endpoint.secret).reveal())
    signed = b".".join([str(notification.pk).encode(), moment.encode(), body])
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": str(notification.pk), "webhook-timestamp": moment, "webhook-signature": f"v1,{signature}"}
    _post(endpoint.url, body, headers)


def _key(secret: str) -> bytes:
    if not secret.startswith(ENCODED):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(ENCODED), validate=True)
    except ValueError:
        raise NotSent("The webhook's secret is not valid base64.") from None


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    try:
        # Redirects are not followed: the address that was configured is the one that may be told.
        answer = httpx.post(url, content=body, headers={"content-type": "application/json", **headers}, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        raise NotSent(f"The receiver could not be reached ({type(error).__name__}).") from None
    if not answer.is_success:
        raise NotSent(f"The receiver answered {answer.status_code}.")


WAYS: dict[str, Callable[[Notification], None]] = {
    ContactMethod.Kind.EMAIL: _email,
    ContactMethod.Kind.WEBHOOK: _webhook,
    ContactMethod.Kind.APPRISE: _apprise,
}
