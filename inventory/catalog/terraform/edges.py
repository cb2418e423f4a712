"""What needs what, as far as a state tells: by its dependencies, by attachments, by source of replication, by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Any

from inventory.catalog.nouns import environment_of
from inventory.catalog.terraform.state import Resource, State

Edge = tuple[str, str, dict[str, Any]]
MAX_OF_GROUPS = 5000
"""Security groups join everything with everything; beyond this many links they would tell nothing."""
_ROUTES = ("aws_cloudfront_distribution", "aws_lb", "aws_alb")
_GROUPS = ("vpc_security_group_ids", "security_group_ids", "security_groups")


def edges(state: State, keys: dict[str, str]) -> Iterator[Edge]:
    """Links between what has a key, the surest first. Environments are never linked."""
    at = _by_address(state)
    found = [*_replicas(state, keys), *_targets(state, keys, at), *_direct(state, keys, at)]
    found += islice(_groups(state, keys, at), MAX_OF_GROUPS)
    for source, target, link in found:
        if source != target and environment_of(source) == environment_of(target):
            yield source, target, link


def _by_address(state: State) -> dict[str, list[Resource]]:
    """Resources by their address with the index, and by that without."""
    at: dict[str, list[Resource]] = defaultdict(list)
    for resource in state.resources:
        for address in {resource.address, resource.plain}:
            at[address].append(resource)
    return at


def _replicas(state: State, keys: dict[str, str]) -> Iterator[Edge]:
    names: dict[str, str] = {}
    for resource in state.resources:
        if resource.type == "aws_db_instance":
            for name in ("identifier", "arn", "id"):
                if value := resource.values.get(name):
                    names[str(value)] = keys[resource.address]
    for resource in state.resources:
        primary = names.get(str(resource.values.get("replicate_source_db", "")))
        if primary and resource.address in keys:
            yield keys[resource.address], primary, {"kind": "soft", "relation": "replicates", "mode": "async"}


def _targets(state: State, keys: dict[str, str], at: dict[str, list[Resource]]) -> Iterator[Edge]:
    """Target groups to their instances, and load balancers to their target groups (by listeners)."""
    arns = {str(r.values["arn"]): r for r in state.resources if "arn" in r.values}
    ids = {str(r.values["id"]): r for r in state.resources if r.type == "aws_instance" and "id" in r.values}
    members: dict[str, list[str]] = defaultdict(list)
    for resource in state.resources:
        if resource.type == "aws_lb_target_group_attachment":
            group = arns.get(str(resource.values.get("target_group_arn")))
            target = ids.get(str(resource.values.get("target_id")))
            if group and target and group.address in keys and target.address in keys:
                members[keys[group.address]].append(keys[target.address])
        elif resource.type == "aws_lb_listener":
            balancer = arns.get(str(resource.values.get("load_balancer_arn")))
            for group in _needed(resource, at, "aws_lb_target_group"):
                if balancer and balancer.address in keys and group.address in keys:
                    yield keys[balancer.address], keys[group.address], {"kind": "soft", "relation": "routes"}
    for group_key, targets in members.items():
        several = len(set(targets)) > 1
        more = {"kind": "redundant", "group": "targets", "needed": 1} if several else {"kind": "hard"}
        for each in sorted(set(targets)):
            yield group_key, each, {**more, "relation": "routes"}


def _needed(resource: Resource, at: dict[str, list[Resource]], kind: str) -> Iterator[Resource]:
    for address in resource.needs:
        yield from (other for other in at.get(address, ()) if other.type == kind)


def _direct(state: State, keys: dict[str, str], at: dict[str, list[Resource]]) -> Iterator[Edge]:
    """Terraform's own dependencies between what has a key. It does not say how much one needs the other: soft."""
    for resource in state.resources:
        if resource.address not in keys:
            continue
        relation = "routes" if resource.type in _ROUTES else "uses"
        link = {"kind": "soft", "relation": relation, "description": "Terraform makes it depend on it"}
        for address in resource.needs:
            for other in at.get(address, ()):
                if other.address in keys:
                    yield keys[resource.address], keys[other.address], link


def _groups(state: State, keys: dict[str, str], at: dict[str, list[Resource]]) -> Iterator[Edge]:
    """A security group that depends on another lets that one's members in: they may use its own members."""
    members: dict[str, list[str]] = defaultdict(list)
    for resource in state.resources:
        for name in _GROUPS:
            for group in resource.values.get(name) or () if resource.address in keys else ():
                members[str(group)].append(keys[resource.address])
    link = {"kind": "soft", "relation": "uses", "description": "A security group lets it in"}
    for group in (r for r in state.resources if r.type == "aws_security_group"):
        for other in _needed(group, at, "aws_security_group"):
            for source in members.get(str(other.values.get("id")), ()):
                for target in members.get(str(group.values.get("id")), ()):
                    yield source, target, link
