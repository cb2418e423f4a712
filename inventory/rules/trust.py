"""Rules about what expires: certificates, and secrets that are to be rotated."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.db.models import BigIntegerField, CharField, DateField, DecimalField, Func, IntegerField, QuerySet, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Concat, Least, Left

from inventory.models import Component
from inventory.rules.base import Severity, living, of, rule
from portal import clock

SOON = timedelta(days=30)
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_LONGEST = 36_500


def _today() -> date:
    return clock.now().date()


def _dated(kind: str, path: str) -> QuerySet[Any]:
    """Components of a kind with the day at ``path`` as the text ``day``.

    Days are compared as text, which for ISO 8601 is the order of time: a cast would fail on the 31st of June.
    """
    rows = living().filter(kind=kind).alias(text=KT(path)).filter(text__regex=_DAY)
    return rows.alias(day=Left("text", 10, output_field=CharField()))


def _certificates() -> QuerySet[Any]:
    return _dated(Component.Kind.TLS_CERTIFICATE, "attributes__not_after")


@rule(
    "certificate-expired",
    Severity.CRITICAL,
    "Certificate that has expired",
    "No certificate is used after its last day.",
    "Have it issued anew, put it in place and declare its new last day.",
)
def certificate_expired() -> QuerySet[Any]:
    rows = _certificates().filter(day__lt=_today().isoformat())
    return of(rows, Concat(Value("It ended on "), "day", Value("."), output_field=CharField()))


@rule(
    "certificate-expiring",
    Severity.HIGH,
    "Certificate that expires soon",
    "Each certificate is valid for another 30 days.",
    "Have it issued anew before it ends.",
)
def certificate_expiring() -> QuerySet[Any]:
    today, soon = _today().isoformat(), (_today() + SOON).isoformat()
    rows = _certificates().filter(day__gte=today, day__lt=soon)
    return of(rows, Concat(Value("It ends on "), "day", Value("."), output_field=CharField()))


@rule(
    "secret-overdue",
    Severity.HIGH,
    "Secret whose rotation is overdue",
    "A secret is rotated as often as is declared of it.",
    "Rotate it where it is kept, and declare the day.",
)
def secret_overdue() -> QuerySet[Any]:
    said = Cast(KT("attributes__rotated_every_days"), DecimalField(max_digits=20, decimal_places=0))
    days = Cast(Least(Cast(said, BigIntegerField()), Value(_LONGEST)), IntegerField())
    due = Func(Value(_today(), DateField()), days, template="(%(expressions)s)", arg_joiner=" - ")
    rows = _dated(Component.Kind.SECRET, "attributes__rotated_on")
    rows = rows.filter(attributes__has_key="rotated_every_days").filter(day__lt=Cast(due, CharField()))
    return of(rows, Concat(Value("Last rotated on "), "day", Value("."), output_field=CharField()))
