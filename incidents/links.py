"""The link in a page: it names one message, lasts a day, and by itself changes nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.urls import reverse

from identity.models import Person
from incidents.models import Incident, Notification

LASTS = timedelta(hours=24)
SALT = "incidents.page"
MAY = frozenset({"incidents.acknowledge", "incidents.escalate"})


def address(notification: Notification) -> str:
    """The absolute address of the answer page of ``notification``."""
    token = signing.dumps(notification.pk.hex, salt=SALT, compress=False)
    return settings.PUBLIC_URL.rstrip("/") + reverse("page-answer", args=[token])


def read(token: str) -> Notification | None:
    """The message that the link names; ``None`` when it was forged, is older than a day, or is gone."""
    try:
        pk = uuid.UUID(str(signing.loads(token, salt=SALT, max_age=LASTS)))
    except (signing.BadSignature, ValueError, TypeError):
        return None
    found = Notification.objects.select_related(
        "person", "incident__scope", "incident__component", "incident__environment"
    )
    return found.filter(pk=pk, person__isnull=False).first()


@dataclass(frozen=True)
class Paged:
    """The actor behind a page's link: the person who was called, who may answer for this incident and nothing else."""

    person: Person
    incident: Incident
    is_authenticated: bool = True

    @property
    def pk(self) -> Any:
        accounts = [one for one in self.person.accounts.all() if one.is_active and one.kind == "human"]
        return accounts[0].pk if accounts else None

    @property
    def person_id(self) -> Any:
        return self.person.pk

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return perm in MAY and getattr(obj, "pk", None) == self.incident.pk

    def __str__(self) -> str:
        return self.person.name
