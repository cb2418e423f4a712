"""Rules about who answers for what, and what they promise."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Count, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Concat

from inventory import kinds
from inventory.models import Component, Service
from inventory.rules.base import Severity, living, of, of_services, rule


@rule(
    "no-owner",
    Severity.HIGH,
    "Components without an owner",
    "A team answers for each component, through the service it belongs to.",
    "Name the team that owns the service.",
)
def no_owner() -> QuerySet[Any]:
    parts = living().filter(service=OuterRef("pk")).order_by().values("service").annotate(many=Count("pk"))
    many = Coalesce(Subquery(parts.values("many")), Value(0))
    rows = Service.objects.filter(owner=None).alias(many=many).filter(many__gt=0)
    return of_services(rows, Concat(Cast(many, CharField()), Value(" components have no owner.")))


@rule(
    "no-runbook",
    Severity.MEDIUM,
    "First-tier service without a runbook",
    "Each service of tier 1 has a runbook.",
    "Write down what to do when it fails, and declare the runbook's address.",
)
def no_runbook() -> QuerySet[Any]:
    return of_services(Service.objects.filter(tier=1, runbook=""), "Nobody wrote down what to do when it fails.")


@rule(
    "no-objective",
    Severity.MEDIUM,
    "First-tier service without an objective",
    "Each service of tier 1 promises a share of good requests (SLO).",
    "Agree on an objective with its owner, and declare it.",
)
def no_objective() -> QuerySet[Any]:
    return of_services(Service.objects.filter(tier=1, slo=None), "Nobody said how good it must be.")


@rule(
    "unknown-kind",
    Severity.LOW,
    "Component of an unknown kind",
    "Each component is of a kind that is declared.",
    "Choose one of the kinds, or declare the new one.",
)
def unknown_kind() -> QuerySet[Any]:
    rows = Component.objects.exclude(kind__in=list(kinds.KINDS))
    return of(rows, Concat(Value("There is no kind “"), "kind", Value("”.")))
