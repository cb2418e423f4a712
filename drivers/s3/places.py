"""One object: what the store says of it, and its content."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from drivers.s3.client import asked, status

if TYPE_CHECKING:
    from drivers.s3.bucket import S3

CHUNK = 1024 * 1024
MAX_BYTES = 1024**3
"""What is larger does not pass through a worker within its time."""


@dataclass(frozen=True, slots=True)
class Place:
    """One key of one bucket."""

    bucket: S3
    key: str

    def __str__(self) -> str:
        return f"{self.bucket.endpoint}/{self.bucket.bucket}/{self.key}"

    def head(self) -> Any:
        """What the store says of the object without its content; None when there is none."""
        with asked(self.bucket.endpoint):
            try:
                return self.bucket.client().head_object(Bucket=self.bucket.bucket, Key=self.key)
            except ClientError as error:
                if status(error) == 404:
                    return None
                raise

    def read(self, into: IO[bytes] | None = None, **conditions: Any) -> tuple[str, int]:
        """The SHA-256 (base64, as S3 writes it) and size of the content, which is also written `into` a file."""
        digest, size = hashlib.sha256(), 0
        with asked(self.bucket.endpoint), _closing(self._get(conditions)) as body:
            while chunk := body.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if into is not None:
                    into.write(chunk)
        return base64.b64encode(digest.digest()).decode(), size

    def _get(self, conditions: Any) -> Any:
        return self.bucket.client().get_object(Bucket=self.bucket.bucket, Key=self.key, **conditions)["Body"]


@contextmanager
def _closing(body: Any) -> Iterator[Any]:
    try:
        yield body
    finally:
        body.close()
