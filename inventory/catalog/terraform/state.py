"""Reads a state file: managed resources by address, each with the few attributes that may be known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from inventory.catalog.source import CatalogInvalid, Problem

MAX_STATE = 8 * 1024 * 1024
MAX_RESOURCES = 50_000
_PLACED = ("id", "availability_zone", "arn")
ALLOWED: dict[str, tuple[str, ...]] = {
    "aws_instance": (*_PLACED, "instance_type", "private_ip", "vpc_security_group_ids"),
    "aws_db_instance": (
        *(*_PLACED, "identifier", "engine", "engine_version", "address", "port", "storage_encrypted"),
        *("replicate_source_db", "vpc_security_group_ids"),
    ),
    "aws_elasticache_cluster": (
        *(*_PLACED, "cluster_id", "engine", "engine_version", "port", "replication_group_id", "security_group_ids"),
    ),
    "aws_elasticache_replication_group": (
        *("id", "arn", "replication_group_id", "engine_version", "port", "primary_endpoint_address"),
        "security_group_ids",
    ),
    "aws_s3_bucket": ("arn", "bucket", "region"),
    "aws_lb": ("arn", "name", "dns_name", "security_groups"),
    "aws_alb": ("arn", "name", "dns_name", "security_groups"),
    "aws_lb_target_group": ("arn", "name", "port", "protocol"),
    "aws_lb_target_group_attachment": ("target_group_arn", "target_id", "port"),
    "aws_lb_listener": ("load_balancer_arn", "port"),
    "aws_cloudfront_distribution": ("id", "domain_name", "aliases"),
    "aws_sqs_queue": ("arn", "name"),
    "aws_security_group": ("id",),
}
"""What may be known of each type. Whatever is not named here is never looked at."""
TAGS = {"name": "Name", "environment": "Environment", "service": "Service"}
# A plain name, address or number: nothing that looks like prose, a key or a certificate.
_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@*-]{0,254}")
_INDEX = re.compile(r'\[(\d+|"(?:[^"\\]|\\.)*")\]$')
_ADDRESS = re.compile(r'[A-Za-z0-9_.\-"\[\]/: ]{1,500}')


@dataclass(frozen=True)
class Resource:
    """One instance of a managed resource. ``needs`` are addresses, with or without an index."""

    address: str
    type: str
    values: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        """The address without the index of the resource itself."""
        return unindexed(self.address)


@dataclass(frozen=True)
class State:
    """``lineage`` names the state for ever; empty in the output of ``terraform show``. ``ignored``: type → how many."""

    lineage: str
    resources: tuple[Resource, ...]
    ignored: dict[str, int] = field(default_factory=dict)


def read(name: str, data: bytes) -> State:
    """The state in ``data``. Raises ``CatalogInvalid``, whose sentences never repeat a piece of the file."""
    if len(data) > MAX_STATE:
        raise _refused(name, f"The state is larger than {MAX_STATE // 1024} KiB.")
    try:
        content = json.loads(data)
    except json.JSONDecodeError as error:
        raise CatalogInvalid([Problem(name, error.lineno, "This is not JSON.")]) from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise _refused(name, "This is not JSON.") from None
    if not isinstance(content, dict):
        raise _refused(name, "This is no state of Terraform.")
    if content.get("version") == 4 and isinstance(content.get("resources"), list):
        found = _version_4(content["resources"])
    elif isinstance(content.get("values"), dict) and "format_version" in content:
        found = _shown(content["values"].get("root_module"))
    else:
        raise _refused(name, "This is neither a state of version 4 nor the output of terraform show -json.")
    ignored: dict[str, int] = {}
    resources = []
    for resource in found:
        if resource.type not in ALLOWED:
            ignored[resource.type] = ignored.get(resource.type, 0) + 1
        else:
            resources.append(resource)
        if len(resources) > MAX_RESOURCES:
            raise _refused(name, f"There are more than {MAX_RESOURCES} resources in it.")
    return State(_text(content.get("lineage")) or "", tuple(resources), ignored)


def _refused(name: str, sentence: str) -> CatalogInvalid:
    return CatalogInvalid([Problem(name, 0, sentence)])


def _version_4(rows: list[Any]) -> Iterator[Resource]:
    for row in rows:
        # What is looked up (“data”) is not owned by this state.
        if not isinstance(row, dict) or row.get("mode") != "managed":
            continue
        module = f"{row['module']}." if isinstance(row.get("module"), str) else ""
        for instance in row.get("instances") or ():
            # A deposed one is on its way out.
            if isinstance(instance, dict) and "deposed" not in instance:
                index = _index(instance.get("index_key"))
                address = f"{module}{row.get('type')}.{row.get('name')}{index}"
                facts = (row.get("type"), instance.get("attributes"), instance.get("dependencies"))
                yield from _resource(address, *facts)


def _shown(module: Any) -> Iterator[Resource]:
    stack = [module]
    while stack:
        module = stack.pop()
        if not isinstance(module, dict):
            continue
        stack += module.get("child_modules") or ()
        for row in module.get("resources") or ():
            if isinstance(row, dict) and row.get("mode") == "managed":
                facts = (row.get("type"), row.get("values"), row.get("depends_on"))
                yield from _resource(str(row.get("address")), *facts)


def _resource(address: str, kind: Any, values: Any, needs: Any) -> Iterator[Resource]:
    if not isinstance(kind, str) or not re.fullmatch(r"[a-z0-9_]{1,80}", kind) or not _ADDRESS.fullmatch(address):
        return
    values = values if isinstance(values, dict) else {}
    known = {name: value for name in ALLOWED.get(kind, ()) if (value := _value(values.get(name))) is not None}
    given = values.get("tags_all") or values.get("tags")
    tags = {
        name: value
        for name, tag in TAGS.items()
        if isinstance(given, dict) and (value := _text(given.get(tag) or given.get(tag.lower())))
    }
    named = tuple(each for each in needs or () if isinstance(each, str) and _ADDRESS.fullmatch(each))
    yield Resource(address, kind, known, tags, named)


def _value(value: Any) -> Any:
    """A plain value of the kinds that are expected; anything else counts as unknown."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**31):
        return value
    if isinstance(value, list):
        return [text for each in value if (text := _text(each))]
    return _text(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and _TEXT.fullmatch(value) else None


def _index(key: Any) -> str:
    if isinstance(key, str):
        return f"[{json.dumps(key)}]"
    return f"[{key}]" if isinstance(key, int) else ""


def unindexed(address: str) -> str:
    """``aws_instance.web["a"]`` as ``aws_instance.web``; indexes of modules stay."""
    return _INDEX.sub("", address)
