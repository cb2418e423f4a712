"""What kinds of components there are, and which attributes each may have: declared here once.

From this table come the choices of the column, the CHECK constraint that guards attributes in the database, the form's
fields, the checks of values and the API's documentation. An attribute that is not listed belongs into ``custom``.
A kind's ``layer`` is where pictures draw it; ``holds_data`` says that classification and provenance matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import models

Shape = dict[str, Any]
DELIVERY, EDGE, SERVICES, RUNTIME, STORES, TRUST = (
    *("Delivery", "Edge", "Services", "Runtime"),
    *("Stores and queues", "Names, trust and jobs"),
)
LAYERS = (DELIVERY, EDGE, SERVICES, RUNTIME, STORES, TRUST)


class Kind(models.TextChoices):
    """Every kind by name, with what people call it."""

    CDN = "cdn", "CDN distribution"
    MAIL = "mail", "E-mail delivery"
    DNS_NAME = "dns_name", "DNS name"
    EDGE = "edge", "Web server / reverse proxy"
    LOAD_BALANCER = "load_balancer", "Load balancer"
    APP = "app", "Application process"
    JOB = "job", "Job"
    PROCESS_MANAGER = "process_manager", "Process manager"
    FPM_POOL = "fpm_pool", "PHP-FPM pool"
    CACHE = "cache", "Cache"
    MEMCACHED = "memcached", "Memcached"
    SENTINEL = "sentinel", "Cache failover"
    DATABASE_CLUSTER = "database_cluster", "Database cluster"
    DATABASE = "database", "Relational database"
    REPLICA_SET = "replica_set", "Document replica set"
    DOCUMENT_DATABASE = "document_database", "Document database"
    OBJECT_STORE = "object_store", "Object storage"
    QUEUE = "queue", "Message queue"
    TLS_CERTIFICATE = "tls_certificate", "TLS certificate"
    SECRET = "secret", "Secret reference"
    MONITOR = "monitor", "Monitoring and CI"


@dataclass(frozen=True)
class Spec:
    """One kind. ``attributes`` maps a name to its JSON Schema: string, integer, boolean, enum, or list of strings."""

    kind: Kind
    layer: str
    attributes: dict[str, Shape] = field(default_factory=dict)
    holds_data: bool = False
    replicated: bool = False
    """Whether production expects a second one in another data center."""


def text(title: str, description: str = "", *, longest: int = 255) -> Shape:
    return {"type": "string", "title": title, "maxLength": longest} | _said(description)


def number(title: str, description: str = "", *, least: int = 0, most: int = 2**53) -> Shape:
    return {"type": "integer", "title": title, "minimum": least, "maximum": most} | _said(description)


def flag(title: str, description: str = "") -> Shape:
    return {"type": "boolean", "title": title} | _said(description)


def choice(title: str, *values: str) -> Shape:
    return {"type": "string", "title": title, "enum": list(values)}


def texts(title: str, description: str = "") -> Shape:
    return {"type": "array", "title": title, "items": {"type": "string", "maxLength": 255}} | _said(description)


def _said(description: str) -> Shape:
    return {"description": description} if description else {}


_MODE = choice("Replication mode", "async", "semi-sync", "sync")
_MEMBER = {"role": choice("Role", "primary", "replica", "standalone"), "mode": _MODE}
_MEMORY = {"max_memory_mb": number("Memory limit in MB"), "eviction": text("Eviction policy", longest=64)}
_POOL = {"processes": number("Processes", least=1, most=10_000), "max_memory_mb": number("Memory limit in MB")}

_ALL = (
    Spec(Kind.CDN, DELIVERY, {
        "domains": texts("Domains"), "origins": texts("Origins"),
        "default_ttl_s": number("Default lifetime in seconds"),
    }),
    Spec(Kind.MAIL, DELIVERY, {"sender": text("Sender"), "relay": text("Relay")}),
    Spec(Kind.DNS_NAME, DELIVERY, {
        "record": choice("Record", "A", "AAAA", "CNAME", "MX", "NS", "SRV", "TXT"), "values": texts("Values"),
        "ttl_s": number("Lifetime in seconds"),
    }),
    Spec(Kind.EDGE, EDGE, {
        "server_names": texts("Server names"), "workers": number("Worker processes", least=1, most=1024),
        "tls": flag("Ends TLS"), "cache": flag("Caches answers"),
    }, replicated=True),
    Spec(Kind.LOAD_BALANCER, EDGE, {
        "upstream": text("Upstream group"), "algorithm": text("Algorithm", longest=64), "members": texts("Members"),
        "cache_rules": texts("Cache rules"), "health_check": text("Health check"),
    }, replicated=True),
    Spec(Kind.APP, SERVICES, {
        **_POOL, "manager": choice("Managed by", "pm2", "php-fpm", "systemd", "container"),
        "runtime": text("Runtime", longest=64),
    }, replicated=True),
    Spec(Kind.JOB, SERVICES, {"schedule": text("Schedule", "A cron expression."), "command": text("Command")}),
    Spec(Kind.PROCESS_MANAGER, RUNTIME, _POOL),
    Spec(Kind.FPM_POOL, RUNTIME, {
        "pool": text("Pool", longest=64), "max_children": number("Most children", least=1, most=10_000),
        "manager_mode": choice("Process manager", "static", "dynamic", "ondemand"),
    }),
    Spec(Kind.CACHE, STORES, {**_MEMBER, **_MEMORY, "persistent": flag("Keeps data on disk")}, replicated=True),
    Spec(Kind.MEMCACHED, STORES, _MEMORY),
    Spec(Kind.SENTINEL, STORES, {
        "master": text("Watches", longest=64), "quorum": number("Quorum", least=1, most=99),
    }),
    Spec(Kind.DATABASE_CLUSTER, STORES, {
        "engine": text("Engine", longest=64), "mode": _MODE,
        "topology": choice("Topology", "primary-replica", "multi-primary"),
    }, holds_data=True),
    Spec(Kind.DATABASE, STORES, {
        **_MEMBER, "engine": text("Engine", longest=64), "server_uuid": text("Server UUID", longest=64),
        "encrypted": flag("Encrypted at rest"), "read_only": flag("Read only"),
    }, holds_data=True, replicated=True),
    Spec(Kind.REPLICA_SET, STORES, {"set": text("Set name", longest=64), "shards": number("Shards")}, holds_data=True),
    Spec(Kind.DOCUMENT_DATABASE, STORES, {
        "role": choice("Role", "primary", "replica", "arbiter", "standalone"), "set": text("Replica set", longest=64),
        "shard": text("Shard", longest=64), "encrypted": flag("Encrypted at rest"),
    }, holds_data=True, replicated=True),
    Spec(Kind.OBJECT_STORE, STORES, {
        "bucket": text("Bucket", longest=63), "region": text("Region", longest=64), "versioned": flag("Keeps versions"),
        "encrypted": flag("Encrypted"), "public": flag("Public"), "replicates_to": texts("Replicates to"),
    }, holds_data=True, replicated=True),
    Spec(Kind.QUEUE, STORES, {
        "role": choice("Role", "broker", "queue", "dead-letter"), "virtual_host": text("Virtual host", longest=120),
        "durable": flag("Durable"), "mirrors": number("Mirrors", most=100),
    }),
    Spec(Kind.TLS_CERTIFICATE, TRUST, {
        "subject": text("Subject"), "names": texts("Names"), "issuer": text("Issuer"),
        "not_after": text("Valid until", longest=40),
        "fingerprint": text("SHA-256 fingerprint", longest=95),
    }),
    Spec(Kind.SECRET, TRUST, {
        "reference": text("Reference", "Where it is kept; never the secret itself."),
        "rotated_every_days": number("Rotated every … days"),
        "rotated_on": text("Last rotated on", "A day, as 2026-01-31.", longest=10),
    }),
    Spec(Kind.MONITOR, TRUST, {"role": choice("Role", "metrics", "logs", "traces", "alerts", "ci", "registry")}),
)  # fmt: skip
KINDS: dict[str, Spec] = {spec.kind.value: spec for spec in _ALL}


def attributes_check() -> str:
    """SQL that is true when ``attributes`` fits ``kind``: the body of a CHECK constraint (PostgreSQL 15+)."""
    branches = " ".join(f"WHEN '{spec.kind.value}' THEN {_fits(spec)}" for spec in _ALL)
    return f"CASE kind {branches} ELSE false END"


def _fits(spec: Spec) -> str:
    if not spec.attributes:
        return "attributes = '{}'::jsonb"
    names = ",".join(f"'{name}'" for name in spec.attributes)
    parts = [f"(attributes - ARRAY[{names}]) = '{{}}'::jsonb"]
    parts += [_one(name, shape) for name, shape in spec.attributes.items()]
    return "(" + " AND ".join(parts) + ")"


def _one(name: str, shape: Shape) -> str:
    value, words = f"attributes->'{name}'", f"attributes->>'{name}'"
    kind = {"string": "string", "integer": "number", "boolean": "boolean", "array": "array"}[shape["type"]]
    rule = "true"
    if "enum" in shape:
        rule = f"{words} IN ({','.join(f"'{each}'" for each in shape['enum'])})"
    elif kind == "string":
        rule = f"length({words}) <= {shape['maxLength']}"
    elif kind == "number":
        rule = (
            f"({words})::numeric BETWEEN {shape['minimum']} AND {shape['maximum']} AND mod(({words})::numeric, 1) = 0"
        )
    elif kind == "array":
        rule = f"NOT jsonb_path_exists({value}, '$[*] ? (@.type() != \"string\")')"
    # CASE keeps its order where AND does not: a cast must not see what is no number.
    return f"CASE WHEN {value} IS NULL THEN true WHEN jsonb_typeof({value}) <> '{kind}' THEN false ELSE {rule} END"
