"""An object store in memory: what the S3 driver asks of a client, answered as S3 answers it."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import itertools
from contextlib import suppress
from typing import Any, ClassVar

from botocore.exceptions import ClientError, EndpointConnectionError

from drivers.acts import Act
from drivers.base import Driver
from drivers.s3 import S3
from drivers.secret import SecretStore
from tests.drivers.contract import World

OTHER_RULE = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}}


def refusal(status: int, code: str) -> ClientError:
    answer = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Simulated")  # type: ignore[arg-type]


class Store:
    """A client and the store behind it. A bucket's `objects` holds, by key, its versions, the newest last."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Any]] = {}
        self._versions = itertools.count(1)

    def _bucket(self, name: str) -> dict[str, Any]:
        if name not in self.buckets:
            raise refusal(404, "NoSuchBucket")
        return self.buckets[name]

    def _object(self, bucket: str, key: str) -> dict[str, Any]:
        versions = self._bucket(bucket)["objects"].get(key)
        if not versions:
            raise refusal(404, "404")
        return versions[-1]

    def _setting(self, bucket: str, name: str, missing: str) -> Any:
        if self._bucket(bucket).get(name) is None:
            raise refusal(404, missing)
        return copy.deepcopy(self.buckets[bucket][name])

    def create_bucket(self, Bucket: str, ObjectLockEnabledForBucket: bool = False) -> None:
        lock = {"ObjectLockEnabled": "Enabled"} if ObjectLockEnabledForBucket else None
        versioning = {"Status": "Enabled"} if lock else {}
        self.buckets[Bucket] = {"objects": {}, "versioning": versioning, "lock": lock, "lifecycle": None}

    def list_objects_v2(self, Bucket: str, Prefix: str = "", **_: Any) -> dict[str, Any]:
        found = sorted((key, kept[-1]) for key, kept in self._bucket(Bucket)["objects"].items() if kept)
        return {
            "Contents": [
                {"Key": key, "Size": len(kept["Body"]), "ETag": kept["ETag"]}
                for key, kept in found
                if key.startswith(Prefix)
            ],
            "IsTruncated": False,
            "ResponseMetadata": {"HTTPHeaders": {"server": "simulated"}},
        }

    def head_bucket(self, Bucket: str) -> dict[str, Any]:
        self._bucket(Bucket)
        return {}

    def list_buckets(self, **_: Any) -> dict[str, Any]:
        return {"Buckets": [{"Name": name} for name in sorted(self.buckets)]}

    def list_object_versions(self, Bucket: str) -> dict[str, Any]:
        kept = self._bucket(Bucket)["objects"].items()
        return {
            "Versions": [
                {"Key": key, "VersionId": each["VersionId"], "ETag": each["ETag"]}
                for key, versions in kept
                for each in versions
            ]
        }

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        kept = self._object(Bucket, Key)
        return {name: value for name, value in kept.items() if name != "Body"} | {"ContentLength": len(kept["Body"])}

    def get_object(self, Bucket: str, Key: str, IfMatch: str = "") -> dict[str, Any]:
        kept = self._object(Bucket, Key)
        if IfMatch and IfMatch != kept["ETag"]:
            raise refusal(412, "PreconditionFailed")
        return self.head_object(Bucket, Key) | {"Body": io.BytesIO(kept["Body"])}

    def put_object(self, Bucket: str, Key: str, Body: Any, **more: Any) -> None:
        body = Body if isinstance(Body, bytes) else Body.read()
        bucket = self._bucket(Bucket)
        versions = bucket["objects"].setdefault(Key, [])
        if more.pop("IfNoneMatch", "") and versions:
            raise refusal(412, "PreconditionFailed")
        sha = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if more.pop("ChecksumSHA256", sha) != sha:
            raise refusal(400, "BadDigest")
        more.pop("ContentLength", None)
        keeps = bucket["versioning"].get("Status") == "Enabled"
        if not keeps:
            versions[:] = [each for each in versions if each["VersionId"] != "null"]
        made = {"VersionId": f"v{next(self._versions)}" if keeps else "null", "Metadata": {}}
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        versions.append({**made, "Body": body, "ETag": etag, **more})

    def delete_object(self, Bucket: str, Key: str, VersionId: str) -> None:
        versions = self._bucket(Bucket)["objects"].get(Key, [])
        versions[:] = [each for each in versions if each["VersionId"] != VersionId]

    def get_bucket_versioning(self, Bucket: str) -> dict[str, Any]:
        return dict(self._bucket(Bucket)["versioning"])

    def put_bucket_versioning(self, Bucket: str, VersioningConfiguration: Any) -> None:
        if self._bucket(Bucket)["lock"] and VersioningConfiguration["Status"] != "Enabled":
            raise refusal(409, "InvalidBucketState")
        self.buckets[Bucket]["versioning"] = dict(VersioningConfiguration)

    def get_bucket_lifecycle_configuration(self, Bucket: str) -> Any:
        return self._setting(Bucket, "lifecycle", "NoSuchLifecycleConfiguration")

    def put_bucket_lifecycle_configuration(self, Bucket: str, LifecycleConfiguration: Any) -> None:
        self._bucket(Bucket)["lifecycle"] = copy.deepcopy(LifecycleConfiguration)

    def delete_bucket_lifecycle(self, Bucket: str) -> None:
        self._bucket(Bucket)["lifecycle"] = None

    def get_object_lock_configuration(self, Bucket: str) -> Any:
        return {"ObjectLockConfiguration": self._setting(Bucket, "lock", "ObjectLockConfigurationNotFoundError")}

    def put_object_lock_configuration(self, Bucket: str, ObjectLockConfiguration: Any) -> None:
        if not self._bucket(Bucket)["lock"]:
            raise refusal(409, "InvalidBucketState")
        self.buckets[Bucket]["lock"] = copy.deepcopy(ObjectLockConfiguration)

    def get_bucket_encryption(self, Bucket: str) -> Any:
        return self._setting(Bucket, "encryption", "ServerSideEncryptionConfigurationNotFoundError")

    def get_bucket_replication(self, Bucket: str) -> Any:
        return self._setting(Bucket, "replication", "ReplicationConfigurationNotFoundError")


class S3World(World):
    """A bucket with versions, one with object lock, and a replica; `api` reads and writes them past the driver."""

    driver_class: ClassVar[type[Driver]] = S3
    examples: ClassVar[dict[str, dict[str, Any]]] = {
        "set-versioning": {"status": "Suspended"},
        "set-lifecycle": {"days": 30},
        "set-retention": {"mode": "GOVERNANCE", "days": 3},
        "copy-object": {"key": "books/one", "to": "replica", "to_key": "copies/one"},
        "verify-objects": {"prefix": "books/", "compare": "contents"},
    }
    free_text: ClassVar[frozenset[str]] = frozenset({"verify-objects.prefix"})

    def __init__(self, api: Any, facts: dict[str, Any]) -> None:
        self.api, self.facts, self.bucket = api, facts, "main"
        for name in ("main", "locked", "replica"):
            api.create_bucket(Bucket=name, ObjectLockEnabledForBucket=name == "locked")
            api.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        api.put_bucket_lifecycle_configuration(Bucket="main", LifecycleConfiguration={"Rules": [OTHER_RULE]})
        for bucket in ("main", "replica"):
            for key in ("one", "two"):
                api.put_object(Bucket=bucket, Key=f"books/{key}", Body=key.encode() * 100, ContentType="text/plain")

    def make(self, facts: dict[str, Any], related: dict[str, Driver]) -> S3:
        return S3(facts, SecretStore(), related)

    def driver(self) -> S3:
        replica = self.make({**self.facts, "bucket": "replica"}, {})
        return self.make({**self.facts, "bucket": self.bucket}, {"replica": replica})

    def prepare(self, act: Act[Any, Any]) -> None:
        self.bucket = "locked" if act.name == "set-retention" else "main"

    def picture(self) -> Any:
        return [self._picture(name) for name in ("main", "locked", "replica")]

    def _picture(self, bucket: str) -> Any:
        lifecycle = lock = None
        with suppress(ClientError):
            lifecycle = self.api.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        with suppress(ClientError):
            lock = self.api.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        versions = self.api.list_object_versions(Bucket=bucket)
        kept = [(each["Key"], each["VersionId"], each["ETag"]) for each in versions.get("Versions", [])]
        status = self.api.get_bucket_versioning(Bucket=bucket).get("Status")
        return status, lifecycle, lock, kept, len(versions.get("DeleteMarkers", []))


class _Gone:
    """A client whose store cannot be reached."""

    def __getattr__(self, _: str) -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


class SimulatedS3(S3World):
    def __init__(self) -> None:
        self.reachable = True
        store = Store()

        class InMemory(S3):
            def client(self) -> Any:
                return store if self.facts["endpoint"].endswith(":8333") else _Gone()

        self._class = InMemory
        keys = {"access_key": "env:S3_ACCESS", "secret_key": "env:S3_SECRET"}
        super().__init__(store, {"endpoint": "http://127.0.0.1:8333", "region": "us-east-1", **keys})

    def make(self, facts: dict[str, Any], related: dict[str, Driver]) -> S3:
        return self._class(facts, SecretStore(), related)

    def unreachable(self) -> S3:
        facts = {**self.facts, "endpoint": "http://127.0.0.1:1"}
        return self.make({**facts, "bucket": self.bucket}, {"replica": self.make({**facts, "bucket": "replica"}, {})})


SIMULATED = {"s3": SimulatedS3}
