"""Rules about surviving the loss of one part or of one data center."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Count, Exists, Max, OuterRef, Q, QuerySet, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Concat

from inventory import kinds
from inventory.models import Component, Dependency
from inventory.rules.base import CACHES, DATABASES, GONE, PRODUCTION, Severity, living, of, of_services, rule

_SPREAD = [kind for kind, spec in kinds.KINDS.items() if spec.replicated]
_FOLLOWS = Q(relation=Dependency.Relation.REPLICATES)


@rule(
    "one-data-center",
    Severity.HIGH,
    "Production in one data center only",
    "Each service of production runs in two data centers.",
    "Run it in the other data center as well and declare its components there.",
)
def one_data_center() -> QuerySet[Any]:
    # What holds data has a rule of its own; here it is about what serves.
    serving = [kind for kind in _SPREAD if kind not in (*DATABASES, *CACHES)]
    rows = living().filter(environment__kind=PRODUCTION, kind__in=serving).exclude(data_center=None)
    groups = rows.order_by().values("service", "environment").annotate(centers=Count("data_center", distinct=True))
    return of_services(
        groups.filter(centers=1),
        Concat(Value("Only in "), Max("data_center__slug"), Value(".")),
        environment="environment",
    )


def _copies_elsewhere() -> Exists:
    """A living replica of it in another data center."""
    links = Dependency.objects.filter(_FOLLOWS, target=OuterRef("pk")).exclude(source__status__in=GONE)
    return Exists(links.exclude(source__data_center=None).exclude(source__data_center=OuterRef("data_center")))


def _fellow_elsewhere() -> Exists:
    """Another living part of the same cluster in another data center."""
    fellows = living().filter(part_of=OuterRef("part_of")).exclude(data_center=None)
    return Exists(fellows.exclude(data_center=OuterRef("data_center")))


@rule(
    "no-replica",
    Severity.CRITICAL,
    "Data without a copy in another data center",
    "Each database, document database and bucket of production has a replica in another data center.",
    "Set up a replica in the other data center, and declare it with a dependency that “replicates” this one.",
)
def no_replica() -> QuerySet[Any]:
    rows = living().filter(environment__kind=PRODUCTION, kind__in=DATABASES)
    follows = Exists(Dependency.objects.filter(_FOLLOWS, source=OuterRef("pk")))
    # What does not say its role must not drop out, as it would where unknown is neither in nor out of a list.
    rows = rows.alias(role=Coalesce(KT("attributes__role"), Value(""), output_field=CharField())).exclude(
        role__in=["replica", "arbiter"]
    )
    rows = rows.exclude(follows).exclude(_copies_elsewhere()).exclude(_fellow_elsewhere())
    return of(rows.exclude(attributes__has_key="replicates_to"), "Nothing follows it from another data center.")


@rule(
    "cache-alone",
    Severity.HIGH,
    "Cache that is a single point of failure",
    "Each cache of production has a replica, or is one of several that stand in for each other.",
    "Set up a replica, or let what uses it use several (a redundant dependency).",
)
def cache_alone() -> QuerySet[Any]:
    rows = living().filter(environment__kind=PRODUCTION, kind__in=CACHES)
    replicated = Dependency.objects.filter(_FOLLOWS).exclude(source__status__in=GONE)
    rows = rows.exclude(Exists(replicated.filter(target=OuterRef("pk"))))
    rows = rows.exclude(Exists(Dependency.objects.filter(_FOLLOWS, source=OuterRef("pk"))))
    others = Dependency.objects.filter(source=OuterRef("source"), group=OuterRef("group")).exclude(
        target=OuterRef("target")
    )
    redundant = Dependency.objects.filter(Exists(others), target=OuterRef("pk"), kind=Dependency.Kind.REDUNDANT)
    return of(rows.exclude(Exists(redundant)), "It has no replica, and nothing stands in for it.")


@rule(
    "needs-retired",
    Severity.HIGH,
    "Needs something that is retired",
    "Nothing that is active needs a component that is retired or on its way out.",
    "Move what needs it to its successor, or take the dependency away.",
)
def needs_retired() -> QuerySet[Any]:
    leaving = [Component.Status.RETIRING, Component.Status.RETIRED]
    links = Dependency.objects.filter(source=OuterRef("pk"), target__status__in=leaving)
    rows = Component.objects.filter(status=Component.Status.ACTIVE).filter(Exists(links))
    first = links.order_by("target__slug").values("target__slug")[:1]
    return of(rows, Concat(Value("It needs "), first, Value(".")))
