"""What can be done about a drift: which plan brings reality back, and which decisions make sense for its class.

Plans are named here, not imported: whether one fits the component is asked when somebody wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inventory.discovery import comparing as classes

Build = Callable[["Case"], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """What a remedy may know: the component's kind, the declared value, and what is seen of its other fields.

    ``key`` is the natural key of the thing below its source ("process/api-a").
    """

    kind: str
    name: str
    declared: Any
    seen: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True)
class Remedy:
    """A plan by its kind and the parameters for this case. ``at_source``: it is asked for on the source's component."""

    plan: str
    params: dict[str, Any]
    at_source: bool = False


class NoRemedy(Exception):
    """Why no plan brings this back, as a sentence for people."""


def _parameter(name: str, say: Callable[[Any], str] = str) -> Build:
    return lambda case: {"name": name, "value": say(case.declared)}


def _process(case: Case) -> dict[str, Any]:
    name = case.key.removeprefix("process/")
    if name == case.key or not isinstance(case.declared, int) or case.declared < 1:
        raise NoRemedy("Which process of PM2 it is, or how many there should be, is not known.")
    return {"process": name, "instances": case.declared}


def _weights(case: Case) -> dict[str, Any]:
    """Both members are known to the edge; those declared share the traffic evenly."""
    serving, drained = (list(case.seen.get(name, ())) for name in ("members", "drained"))
    known, wanted = sorted([*serving, *drained]), list(case.declared)
    if len(known) != 2 or not wanted or set(wanted) - set(known):
        raise NoRemedy("The edge knows other members than those declared: change its configuration, then look again.")
    ports = sorted(known, key=lambda member: int(member.rpartition(":")[2]))
    each = 100 // len(wanted)
    shares = {slot: each if member in wanted else 0 for slot, member in zip("ab", ports, strict=True)}
    return {"service": str(case.seen.get("upstream", "")).removeprefix("edye_"), **shares}


def _semi_sync(case: Case) -> dict[str, Any]:
    side = "replica" if case.seen.get("role") == "replica" else "primary"
    return {"side": side, "state": "on" if case.declared in ("semi-sync", "sync") else "off"}


def _children(case: Case) -> dict[str, Any]:
    return {"name": "pm.max_children", "value": case.declared}


def _versioning(case: Case) -> dict[str, Any]:
    return {"status": "Enabled" if case.declared else "Suspended"}


PLANS: dict[tuple[str, str], tuple[str, Build]] = {
    ("cache", "eviction"): ("redis.set-parameter", _parameter("maxmemory-policy")),
    ("cache", "max_memory_mb"): ("redis.set-parameter", _parameter("maxmemory", lambda mb: f"{mb}mb" if mb else "0")),
    ("memcached", "max_memory_mb"): ("memcached.set-memory-limit", lambda case: {"megabytes": case.declared}),
    ("fpm_pool", "max_children"): ("php-fpm.set-pool-parameter", _children),
    ("app", "processes"): ("pm2.scale", _process),
    ("load_balancer", "members"): ("nginx.set-weight", _weights),
    ("database", "read_only"): ("mariadb.set-read-only", lambda case: {"state": "on" if case.declared else "off"}),
    ("database", "mode"): ("mariadb.set-semi-sync", _semi_sync),
    ("object_store", "versioned"): ("s3.set-versioning", _versioning),
}  # fmt: skip
"""(kind, field) → the plan that sets it. Applied at the component itself, or at its source for a thing below it."""

BY_HAND: dict[tuple[str, str], str] = {
    ("cache", "role"): "Which server is primary is decided by a failover: plan one on the Sentinel group.",
    ("database", "role"): "Which server is primary is decided by a switchover: plan one on the primary.",
    ("document_database", "role"): "Which member is primary is decided by an election: let the primary step down.",
    ("app", "version"): "Versions are changed by deployments: request one.",
}
NO_PLAN = {
    classes.MISSING: "What is not there cannot be acted on: start or build it, or take it out of the catalog.",
    classes.UNMANAGED: "No plan removes what nobody declared: declare it, or take it away by hand.",
    classes.ENVIRONMENT: "No plan moves something between environments: correct the connection or the declaration.",
    classes.STALE: "It is the observer that is silent: look at its connection and at the workers of its data center.",
    classes.CONFLICT: "Sources disagree: find out which of them is right first.",
}


def remedy(kind: str, case: Case) -> Remedy:
    """The plan that brings a drift of class ``kind`` back; ``NoRemedy`` says why there is none."""
    if kind != classes.CHANGED:
        raise NoRemedy(NO_PLAN[kind])
    if by_hand := BY_HAND.get((case.kind, case.name)):
        raise NoRemedy(by_hand)
    if (case.kind, case.name) not in PLANS:
        raise NoRemedy(f"No plan sets “{case.name}” of this kind of component.")
    if case.declared is None:
        raise NoRemedy("Nothing is declared that could be brought back.")
    plan, build = PLANS[case.kind, case.name]
    return Remedy(plan, build(case), at_source=bool(case.key))


def against(drift: Any, verb: str) -> str:
    """Why a decision makes no sense for a drift; empty when it does."""
    if verb == "accept" and drift.kind in (classes.STALE, classes.CONFLICT, classes.ENVIRONMENT):
        return {
            classes.STALE: "There is nothing to accept: the source says nothing.",
            classes.CONFLICT: "Sources disagree, so there is no one value to accept.",
            classes.ENVIRONMENT: "Environments are kept apart: this cannot become the declaration.",
        }[drift.kind]
    if verb == "accept" and drift.field.startswith("needs ") and drift.kind != classes.CHANGED:
        return "Only a relation that is seen can be accepted."
    if verb == "plan" and drift.kind != classes.CHANGED:
        return NO_PLAN[drift.kind]
    return ""
