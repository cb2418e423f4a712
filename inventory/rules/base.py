"""What a rule is, and the words that several rules share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import CharField, F, QuerySet, UUIDField, Value
from django.db.models.functions import Cast

from inventory import kinds
from inventory.models import Component, Environment, Finding

STORES = [kind for kind, spec in kinds.KINDS.items() if spec.holds_data]
"""Kinds of components that keep data."""
DATABASES = ["database", "document_database", "object_store"]
"""Stores that run by themselves; a cluster is known by its members."""
CACHES = ["cache", "memcached"]
GONE = [Component.Status.PLANNED, Component.Status.RETIRED]
PRODUCTION = Environment.Kind.PRODUCTION
Severity = Finding.Severity
Query = Callable[[], QuerySet[Any]]


@dataclass(frozen=True)
class Rule:
    """One rule. ``says`` is what must hold, ``mend`` what to do about a breach.

    ``breaches`` gives rows of (component, service, environment, detail): a component's breach names all three, one of a
    service no component, and no environment when it is the same everywhere.
    """

    name: str
    title: str
    severity: Finding.Severity
    says: str
    mend: str
    breaches: Query


RULES: dict[str, Rule] = {}


def rule(name: str, severity: Finding.Severity, title: str, says: str, mend: str) -> Callable[[Query], Query]:
    """Declare a rule; the function gives its breaches."""

    def declare(breaches: Query) -> Query:
        RULES[name] = Rule(name, title, severity, says, mend, breaches)
        return breaches

    return declare


def living() -> QuerySet[Component]:
    """Components that are there: neither planned nor retired."""
    return Component.objects.exclude(status__in=GONE)


def of(rows: QuerySet[Any], detail: Any = "") -> QuerySet[Any]:
    """Breaches by components: ``rows`` with what is to be said about each, a text or an expression."""
    said = Value(detail, output_field=CharField()) if isinstance(detail, str) else detail
    return rows.order_by().annotate(said=said).values_list("pk", "service", "environment", "said")


def of_services(rows: QuerySet[Any], detail: Any, *, environment: str = "") -> QuerySet[Any]:
    """Breaches by services: ``rows`` are services, or groups of components by ``service`` and ``environment``."""
    nobody = Cast(Value(None), UUIDField())  # a bare NULL would be text to PostgreSQL
    said = Value(detail, output_field=CharField()) if isinstance(detail, str) else Cast(detail, CharField())
    service = F("service" if environment else "pk")
    where = F(environment) if environment else nobody
    rows = rows.order_by().annotate(nobody=nobody, about=service, place=where, said=said)
    return rows.values_list("nobody", "about", "place", "said")
