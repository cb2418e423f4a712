"""One bucket, and how it stands beside its replica."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError

from drivers import names
from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import DriverError, PermanentError, TransientError
from drivers.s3 import client as connection
from drivers.s3 import discovery, settings
from drivers.s3.comparison import VerifyObjects
from drivers.s3.defaults import SetLifecycle, SetRetention, SetVersioning
from drivers.s3.objects import CopyObject
from drivers.secret import Secret

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LISTED = 1000
"""At most this many objects are counted: one page, so that a reading costs the same on any bucket."""
_NAMED = 10
"""So many keys are named where more may differ."""


class S3(Driver):
    """One bucket.

    Facts: `endpoint`, `region`, `bucket`, and `access_key` and `secret_key` as secret references; `ca` (a file) where a
    private authority has signed the store's certificate, `replica` (the key of another s3 connection) where its objects
    should lie a second time.
    """

    kind: ClassVar[str] = "s3"
    required: ClassVar[tuple[str, ...]] = ("endpoint", "region", "bucket", "access_key", "secret_key")
    optional_references: ClassVar[Mapping[str, str]] = {"replica": "s3"}
    acts = (SetVersioning(), SetLifecycle(), SetRetention(), CopyObject(), VerifyObjects())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.endpoint = names.url(self.facts["endpoint"])
        self.region = names.name(self.facts["region"], "region")
        self.bucket = names.name(self.facts["bucket"], "bucket")
        self.authority = names.path(self.facts["ca"]) if "ca" in self.facts else None
        self._made: tuple[Secret, Secret, S3Client] | None = None

    @property
    def replica(self) -> S3 | None:
        """The bucket in which the objects of this one should lie too."""
        found = self.related.get("replica")
        return found if isinstance(found, S3) else None

    def client(self) -> S3Client:
        """A boto3 client; kept while the keys stay the same."""
        access = self.secrets.resolve(self.facts["access_key"])
        secret = self.secrets.resolve(self.facts["secret_key"])
        if self._made is None or self._made[:2] != (access, secret):
            made = connection.make(self.endpoint, self.region, access, secret, self.authority)
            self._made = (access, secret, made)
        return self._made[2]

    def observe(self) -> Observation:
        """Whether the store answers, the bucket exists, its settings, what lies in it (first 1,000), and its replica.

        Healthy means that the bucket can be listed. Refused keys are a `PermanentError`: nothing was learnt. A setting
        that these keys may not read is None and named in `unreadable`.
        """
        begun = time.monotonic()
        facts: dict[str, Any] = {"bucket": self.bucket, "endpoint": self.endpoint}
        try:
            client = self.client()
            page: Any = client.list_objects_v2(Bucket=self.bucket, MaxKeys=LISTED)
            latency = time.monotonic() - begun
            facts |= {"exists": True, "versioning": settings.versioning(client, self.bucket)}
            facts |= settings.all_of(client, self.bucket)
        except ClientError as error:
            return self._refused(error, facts)
        except BotoCoreError as error:
            return self.down(error)
        found = page.get("Contents", [])
        facts["more_objects"] = page.get("IsTruncated", False)
        readings = {
            "latency_seconds": latency,
            "objects": float(len(found)),
            "listed_bytes": float(sum(item.get("Size", 0) for item in found)),
        }
        if self.replica is not None:
            self._beside(self.replica, page, facts, readings)
        server = page["ResponseMetadata"]["HTTPHeaders"].get("server")
        return self.seen(True, facts, readings, server)

    def discover(self) -> list[Listing]:
        """The bucket, and those beside it (see `drivers.s3.discovery`)."""
        return discovery.discover(self)

    @staticmethod
    def _beside(replica: S3, page: Any, facts: dict[str, Any], readings: dict[str, float]) -> None:
        """Add how the first page of the replica compares; a replica that cannot be read is told, not raised."""
        told = facts["replica"] = {"bucket": replica.bucket, "endpoint": replica.endpoint}
        try:
            with connection.asked(replica.endpoint):
                other: Any = replica.client().list_objects_v2(Bucket=replica.bucket, MaxKeys=LISTED)
        except DriverError as error:
            told["error"] = str(error)[:500]
            return
        here, there = _sizes(page), _sizes(other)
        # Beyond the last key of a page that was cut nothing is known.
        ends = [max(keys, default="") for keys, cut in ((here, page), (there, other)) if cut.get("IsTruncated")]
        shown = [key for key in here if all(key <= end for end in ends)]
        missing = [key for key in shown if here[key] != there.get(key)]
        told |= {
            "objects": len(there),
            "more_objects": other.get("IsTruncated", False),
            "last_key": max(there, default=None),
            "own_last_key": max(here, default=None),
            "missing": missing[:_NAMED],
            "in_step": not missing,
        }
        readings["replica_objects"] = float(len(there))
        readings["replica_missing_objects"] = float(len(missing))

    def _refused(self, error: ClientError, facts: dict[str, Any]) -> Observation:
        """A missing bucket or a failing store is a finding; refused keys are not."""
        code, status = connection.code(error), connection.status(error)
        if code in ("NoSuchBucket", "404"):
            return self.seen(False, {**facts, "exists": False, "error": f"there is no bucket {self.bucket}"})
        if status >= 500:
            return self.seen(False, {**facts, "error": f"the store answers {status} {code}"})
        if status == 429:
            raise TransientError(f"{self.endpoint} asks to come back later")
        raise PermanentError(f"{self.endpoint} refuses these keys: {code or status}")


def _sizes(page: Any) -> dict[str, int]:
    return {str(item["Key"]): int(item.get("Size", 0)) for item in page.get("Contents", [])}
