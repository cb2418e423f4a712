"""Rules about data: where it comes from, how it is classified, and that production's stays in production."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Exists, Func, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat

from inventory.models import Component, Dependency, Environment
from inventory.rules.base import PRODUCTION, STORES, Severity, living, of, rule


def _outside() -> QuerySet[Component]:
    """What is there in any environment but production."""
    return living().exclude(environment__kind=PRODUCTION)


@rule(
    "provenance-missing",
    Severity.HIGH,
    "Data of unknown provenance outside production",
    "Each store of staging and local says where its data comes from.",
    "Declare its provenance: anonymised or synthetic.",
)
def provenance_missing() -> QuerySet[Any]:
    return of(_outside().filter(kind__in=STORES, provenance=""), "Nobody says where its data comes from.")


@rule(
    "production-data",
    Severity.CRITICAL,
    "Production data outside production",
    "Stores of staging and local hold anonymised or synthetic data only.",
    "Replace the data by an anonymised or synthetic set, then declare what it is.",
)
def production_data() -> QuerySet[Any]:
    rows = _outside().filter(kind__in=STORES, provenance=Component.Provenance.PRODUCTION)
    return of(rows, "It is declared to hold production data.")


@rule(
    "points-at-production",
    Severity.CRITICAL,
    "Points at a data store of production",
    "Nothing outside production reaches a data store of production. A copy of one is anonymised.",
    "Give it a store of its own; fill it with an anonymised copy and declare its provenance.",
)
def points_at_production() -> QuerySet[Any]:
    stores = Component.objects.filter(environment__kind=PRODUCTION, kind__in=STORES)
    links = Dependency.objects.filter(source=OuterRef("pk"), target__in=stores)
    anonymised = Q(provenance=Component.Provenance.ANONYMISED)
    copies = Exists(links.filter(relation=Dependency.Relation.COPIES))
    other = Exists(links.exclude(relation=Dependency.Relation.COPIES))
    same = Exists(stores.filter(endpoint=OuterRef("endpoint")))
    named = Func(OuterRef("connection"), Value("/"), Value(1), function="split_part", output_field=CharField())
    connected = Exists(Environment.objects.filter(kind=PRODUCTION, slug=named))
    broken = other | (copies & ~anonymised) | (~Q(endpoint="") & same) | connected
    return of(_outside().filter(broken), "It reaches, or copies without anonymising, what belongs to production.")


@rule(
    "unclassified",
    Severity.MEDIUM,
    "Data without a classification",
    "Each store of staging and production says how confidential its data is.",
    "Declare its classification: public, internal, confidential or restricted.",
)
def unclassified() -> QuerySet[Any]:
    rows = living().filter(kind__in=STORES, classification="").exclude(environment__kind=Environment.Kind.LOCAL)
    return of(rows, Concat(Value("A "), "kind", Value(" without a classification.")))
