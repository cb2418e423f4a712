"""Resources of a state as servers, components and dependencies of a catalog."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from inventory.catalog.terraform.edges import edges
from inventory.catalog.terraform.state import Resource, State
from inventory.writing.fields import SLUG

Row = dict[str, Any]
_CACHES = {"memcached": "memcached"}
_PROTOCOLS = {"mysql": "mysql", "mariadb": "mysql", "aurora-mysql": "mysql", "postgres": "postgresql"}


@dataclass(frozen=True)
class Placing:
    """Where resources stand when their tags do not say it. ``centers`` maps a provider's region to a data center.

    The tags ``Environment`` and ``Service`` of a resource win when ``environments`` and ``services`` know them.
    """

    catalog: str
    environment: str
    service: str
    data_center: str = "global"
    centers: dict[str, str] = field(default_factory=dict)
    environments: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    relies_on: tuple[str, ...] = ()

    def place(self, resource: Resource) -> tuple[str, str, str]:
        """Environment, data center and service of a resource."""
        environment, service = resource.tags.get("environment", ""), resource.tags.get("service", "")
        return (
            environment if environment in self.environments else self.environment,
            self.centers.get(region(resource), self.data_center),
            service if service in self.services else self.service,
        )


def region(resource: Resource) -> str:
    """The provider's region; empty when it has none."""
    if zone := resource.values.get("availability_zone"):
        return str(zone)[:-1]
    if said := resource.values.get("region"):
        return str(said)
    parts = str(resource.values.get("arn", "")).split(":")
    return parts[3] if len(parts) > 3 else ""


def catalog(state: State, placing: Placing) -> dict[str, Any]:
    """The content of the catalog's one file."""
    servers: dict[str, Row] = {}
    components: dict[str, Row] = {}
    keys: dict[str, str] = {}
    lineage = state.lineage or placing.catalog
    followed = {
        str(r.values.get("replicate_source_db")) for r in state.resources if r.values.get("replicate_source_db")
    }
    for resource in sorted(state.resources, key=lambda one: one.address):
        if (maker := _MAKERS.get(resource.type)) is None:
            continue
        environment, center, service = placing.place(resource)
        key = f"{environment}/{center}/{slug(resource.address)}"
        if key in components:  # names that differ in what a key cannot hold
            key = f"{key}-{digest(resource.address)}"
        known_as = external_id(lineage, resource.address)
        name = (resource.tags.get("name") or resource.address)[:120]
        common = {"name": name, "service": service, "external_id": known_as}
        if resource.type == "aws_instance":
            servers[key] = _clean({**common, "kind": "vm", "address": _ip(resource)})
            components[key] = {**common, "kind": "app", "server": key}
        else:
            components[key] = _clean({**common, **maker(resource, followed)})
        keys[resource.address] = key
    content: dict[str, Any] = {"catalog": placing.catalog}
    content |= {"relies_on": list(placing.relies_on)} if placing.relies_on else {}
    needs: dict[str, dict[str, Row]] = defaultdict(dict)
    for source, target, link in edges(state, keys):
        needs[source].setdefault(target, link)
    found = {"servers": servers, "components": components, "dependencies": dict(needs)}
    return content | {section: rows for section, rows in found.items() if rows}


def external_id(lineage: str, address: str) -> str:
    """How the resource is known for ever: the state's lineage and the address with its index."""
    whole = f"terraform:{lineage}:{address}"
    return whole if len(whole) <= 200 else f"terraform:{hashlib.sha256(whole.encode()).hexdigest()}"


def slug(address: str) -> str:
    """A name for keys: ``module.web.aws_lb.main["a"]`` gives ``web-lb-main-a``."""
    plain = re.sub(r"(^|\.)(module\.|aws_)", r"\1", re.sub(r"\.aws_", ".", address))
    text = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return text if len(text) <= 100 and re.match(SLUG, text) else f"{text[:90].strip('-')}-{digest(address)}".strip("-")


def digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:8]


def _clean(row: Row) -> Row:
    return {name: value for name, value in row.items() if value not in (None, "", {})}


def _ip(resource: Resource) -> str:
    address = str(resource.values.get("private_ip", ""))
    return address if re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", address) else ""


def _at(host: Any, port: Any) -> str:
    return f"{host}:{port}" if host and port else str(host or "")


def _database(resource: Resource, followed: set[str]) -> Row:
    values = resource.values
    engine, port = str(values.get("engine", ""))[:64], values.get("port")
    own = {str(values.get(name)) for name in ("identifier", "arn", "id") if values.get(name)}
    role = "replica" if values.get("replicate_source_db") else "primary" if own & followed else "standalone"
    attributes = {"role": role, "engine": engine, "encrypted": values.get("storage_encrypted")}
    ends = {"sql": {"port": port, "protocol": _PROTOCOLS.get(engine, "tcp")}} if _port(port) else {}
    return {
        "kind": "database",
        "software": engine,
        "version": str(values.get("engine_version", ""))[:64],
        "endpoint": _at(values.get("address"), port),
        "attributes": _clean(attributes),
        "endpoints": ends,
    }


def _cache(resource: Resource, followed: set[str]) -> Row:
    values = resource.values
    engine = str(values.get("engine", "redis"))[:64]
    port = values.get("port")
    ends = {"cache": {"port": port, "protocol": "memcached" if engine == "memcached" else "redis"}}
    return {
        "kind": _CACHES.get(engine, "cache"),
        "software": engine,
        "version": str(values.get("engine_version", ""))[:64],
        "endpoint": _at(values.get("primary_endpoint_address"), port),
        "endpoints": ends if _port(port) else {},
    }


def _bucket(resource: Resource, followed: set[str]) -> Row:
    attributes = {"bucket": str(resource.values.get("bucket", ""))[:63], "region": region(resource)[:64]}
    return {"kind": "object_store", "software": "S3", "attributes": _clean(attributes)}


def _balancer(resource: Resource, followed: set[str]) -> Row:
    return {"kind": "load_balancer", "endpoint": resource.values.get("dns_name")}


def _target_group(resource: Resource, followed: set[str]) -> Row:
    return {"kind": "load_balancer", "attributes": _clean({"upstream": resource.values.get("name")})}


def _distribution(resource: Resource, followed: set[str]) -> Row:
    domains = [*(resource.values.get("aliases") or ()), resource.values.get("domain_name")]
    return {"kind": "cdn", "attributes": _clean({"domains": [name for name in domains if name]})}


def _queue(resource: Resource, followed: set[str]) -> Row:
    name = str(resource.values.get("name", ""))
    dead = bool(re.search(r"(dlq|dead[-_]?letter)", name, re.IGNORECASE))
    return {"kind": "queue", "software": "SQS", "attributes": {"role": "dead-letter" if dead else "queue"}}


def _port(port: Any) -> bool:
    return isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536


_MAKERS = {
    "aws_instance": _balancer,  # made above: an instance is a server and what runs on it
    "aws_db_instance": _database,
    "aws_elasticache_cluster": _cache,
    "aws_elasticache_replication_group": _cache,
    "aws_s3_bucket": _bucket,
    "aws_lb": _balancer,
    "aws_alb": _balancer,
    "aws_lb_target_group": _target_group,
    "aws_cloudfront_distribution": _distribution,
    "aws_sqs_queue": _queue,
}
