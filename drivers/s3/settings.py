"""The settings of a bucket, each read into plain data. What is not set is told from what may not be read.

Source: docs.aws.amazon.com/AmazonS3/latest/API.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from botocore.exceptions import ClientError

from drivers.s3.client import code

Plain = dict[str, Any]

_UNSET = frozenset(
    {
        "NoSuchLifecycleConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "ReplicationConfigurationNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
_CLOSED = frozenset({"AccessDenied", "AllAccessDisabled", "MethodNotAllowed", "NotImplemented"})


def plain(value: Any) -> Any:
    """`value` as JSON data: dates become ISO 8601 text, which boto3 takes back as it is."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _read(ask: Callable[..., Any], bucket: str) -> Plain | None:
    try:
        answer = ask(Bucket=bucket)
    except ClientError as error:
        if code(error) in _UNSET:
            return None
        raise
    return {key: plain(value) for key, value in answer.items() if key != "ResponseMetadata"}


def versioning(client: Any, bucket: str) -> str:
    """`Enabled`, `Suspended`, or `Off` for a bucket that never had versions."""
    return str((_read(client.get_bucket_versioning, bucket) or {}).get("Status", "Off"))


def lifecycle(client: Any, bucket: str) -> Plain:
    """The lifecycle configuration; its `Rules` are empty when there is none."""
    return _read(client.get_bucket_lifecycle_configuration, bucket) or {"Rules": []}


def object_lock(client: Any, bucket: str) -> Plain | None:
    """None without object lock; otherwise the default retention: `mode`, `days` and `years`, each or None."""
    kept = (_read(client.get_object_lock_configuration, bucket) or {}).get("ObjectLockConfiguration", {})
    if kept.get("ObjectLockEnabled") != "Enabled":
        return None
    default = kept.get("Rule", {}).get("DefaultRetention", {})
    return {"mode": default.get("Mode"), "days": default.get("Days"), "years": default.get("Years")}


def encryption(client: Any, bucket: str) -> str | None:
    """The algorithm by which new objects are encrypted unless they say otherwise."""
    kept = (_read(client.get_bucket_encryption, bucket) or {}).get("ServerSideEncryptionConfiguration", {})
    named = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in kept.get("Rules", [])]
    return next((algorithm for algorithm in named if algorithm), None)


def replication(client: Any, bucket: str) -> list[Plain]:
    """The replication rules that the store itself follows: `id`, `enabled`, `bucket`."""
    kept = (_read(client.get_bucket_replication, bucket) or {}).get("ReplicationConfiguration", {})
    return [
        {
            "id": rule.get("ID", ""),
            "enabled": rule.get("Status") == "Enabled",
            "bucket": rule.get("Destination", {}).get("Bucket", "").rpartition(":")[2],
        }
        for rule in kept.get("Rules", [])
    ]


def rules(configuration: Plain) -> list[Plain]:
    """Lifecycle rules for people."""
    return [
        {
            "id": rule.get("ID", ""),
            "enabled": rule.get("Status") == "Enabled",
            "prefix": rule.get("Prefix", rule.get("Filter", {}).get("Prefix", "")),
            "expire_after_days": rule.get("Expiration", {}).get("Days"),
            "expire_versions_after_days": rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
        }
        for rule in configuration["Rules"]
    ]


def all_of(client: Any, bucket: str) -> Plain:
    """Every setting under its own name; the names of those that these keys may not read under `unreadable`."""
    found: Plain = {"unreadable": []}
    for name, read in (
        ("encryption", encryption),
        ("lifecycle", lambda *at: rules(lifecycle(*at))),
        ("object_lock", object_lock),
        ("replication", replication),
    ):
        try:
            found[name] = read(client, bucket)
        except ClientError as error:
            if code(error) not in _CLOSED:
                raise
            found[name] = None
            found["unreadable"].append(name)
    return found
