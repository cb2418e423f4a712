"""What is no longer there, for whoever would see it if it still were."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, UUIDField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from identity import rights
from identity.models import Scope
from inventory.models import Component, Environment, Revision
from inventory.models.base import held

VIEW = "inventory.view"


def _key(name: str) -> Any:
    return Cast(KT(f"before__{name}"), UUIDField())


def _scope_of(column: str) -> Any:
    """The scope of the component in ``column``, which may be gone itself."""
    there = Component.objects.filter(pk=OuterRef(column)).values("scope")[:1]
    gone = Revision.objects.filter(object_id=OuterRef(column), act=Revision.Act.DELETED).annotate(own=_key("scope_id"))
    return Coalesce(Subquery(there), Subquery(gone.values("own")[:1]), output_field=UUIDField())


def removed(reader: Any) -> QuerySet[Revision]:
    """The last revision of each thing that was removed, as far as ``reader`` may see it.

    What had a scope needs the right there; an endpoint or a dependency that of its components; a service, an
    environment or a zone the right somewhere in it; a data center the right everywhere, because it stands nowhere.
    """
    rows = Revision.objects.filter(act=Revision.Act.DELETED)
    if reader.pk is None:
        return rows if getattr(reader, "is_authenticated", False) else rows.none()
    mine = held(reader, VIEW)
    located = Q(noun__in=("component", "server", "server-group")) & Exists(mine.filter(scope=OuterRef("own")))
    seen: Any = located | Q(noun="service") & Exists(mine.filter(scope__service=OuterRef("named")))
    seen |= Q(noun="environment") & Exists(mine.filter(scope__environment=OuterRef("named")))
    seen |= Q(noun="network-zone") & Exists(mine.filter(scope__environment=OuterRef("inside")))
    seen |= Q(noun="endpoint") & Exists(mine.filter(scope=OuterRef("held_by")))
    ends = Exists(mine.filter(scope=OuterRef("from_scope"))) & Exists(mine.filter(scope=OuterRef("to_scope")))
    seen |= Q(noun="dependency") & ends
    if rights.holds_widely(reader, VIEW, Scope()):
        seen |= Q(noun__in=("data-center", "service", "environment", "network-zone"))
    keys: dict[str, Any] = {"own": _key("scope_id"), "place": _key("environment_id"), "named": KT("before__slug")}
    keys |= {"component": _key("component_id"), "source": _key("source_id"), "target": _key("target_id")}
    inside = Subquery(Environment.objects.filter(pk=OuterRef("place")).values("slug"))
    scopes = {
        "inside": inside,
        "held_by": _scope_of("component"),
        "from_scope": _scope_of("source"),
        "to_scope": _scope_of("target"),
    }
    return rows.annotate(**keys).annotate(**scopes).filter(seen)
