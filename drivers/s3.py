"""Object storage that speaks S3 (AWS, SeaweedFS and others), through boto3."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from drivers import names
from drivers.base import Driver, Observation
from drivers.errors import PermanentError, TransientError
from drivers.secret import Secret

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LISTED = 1000
"""At most this many objects are counted: one page, so that a reading costs the same on any bucket."""


class S3(Driver):
    """One bucket.

    Facts: `endpoint`, `region`, `bucket`, and `access_key` and `secret_key` as secret references.
    """

    kind: ClassVar[str] = "s3"
    required: ClassVar[tuple[str, ...]] = ("endpoint", "region", "bucket", "access_key", "secret_key")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.endpoint = names.url(self.facts["endpoint"])
        self.region = names.name(self.facts["region"], "region")
        self.bucket = names.name(self.facts["bucket"], "bucket")
        self._made: tuple[Secret, Secret, S3Client] | None = None

    def client(self) -> S3Client:
        """A boto3 client with limits on connecting (2 s) and waiting (5 s) and no repeats; kept while the keys stay."""
        access = self.secrets.resolve(self.facts["access_key"])
        secret = self.secrets.resolve(self.facts["secret_key"])
        if self._made is None or self._made[:2] != (access, secret):
            made = boto3.session.Session().client(
                "s3",
                endpoint_url=self.endpoint,
                region_name=self.region,
                aws_access_key_id=access.reveal(),
                aws_secret_access_key=secret.reveal(),
                config=Config(
                    connect_timeout=2,
                    read_timeout=5,
                    retries={"total_max_attempts": 1},
                    signature_version="s3v4",
                    s3={"addressing_style": "path"},
                    proxies={},
                ),
            )
            self._made = (access, secret, made)
        return self._made[2]

    def observe(self) -> Observation:
        """Whether the store answers, the bucket exists, versioning is on, and what lies in it (first 1,000).

        Healthy means that the bucket can be listed. Refused keys are a `PermanentError`: nothing was learnt.
        """
        begun = time.monotonic()
        facts: dict[str, Any] = {"bucket": self.bucket, "endpoint": self.endpoint}
        try:
            page = self.client().list_objects_v2(Bucket=self.bucket, MaxKeys=LISTED)
            latency = time.monotonic() - begun
            versioning = self.client().get_bucket_versioning(Bucket=self.bucket).get("Status", "Off")
        except ClientError as error:
            return self._refused(error, facts)
        except BotoCoreError as error:
            return self.down(error)
        found = page.get("Contents", [])
        facts |= {"exists": True, "versioning": versioning, "more_objects": page.get("IsTruncated", False)}
        readings = {
            "latency_seconds": latency,
            "objects": float(len(found)),
            "listed_bytes": float(sum(item.get("Size", 0) for item in found)),
        }
        server = page["ResponseMetadata"]["HTTPHeaders"].get("server")
        return self.seen(True, facts, readings, server)

    def _refused(self, error: ClientError, facts: dict[str, Any]) -> Observation:
        """A missing bucket or a failing store is a finding; refused keys are not."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in ("NoSuchBucket", "404"):
            return self.seen(False, {**facts, "exists": False, "error": f"there is no bucket {self.bucket}"})
        if status >= 500:
            return self.seen(False, {**facts, "error": f"the store answers {status} {code}"})
        if status == 429:
            raise TransientError(f"{self.endpoint} asks to come back later")
        raise PermanentError(f"{self.endpoint} refuses these keys: {code or status}")
