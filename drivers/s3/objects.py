"""Acts on objects: copy one and prove it, compare many with the replica."""

from __future__ import annotations

import base64
import hashlib
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
from botocore.exceptions import ClientError

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import InvalidInput, PermanentError
from drivers.s3 import settings
from drivers.s3.client import asked, status

if TYPE_CHECKING:
    from drivers.s3.bucket import S3

MAX_BYTES = 1024**3
"""What is larger does not pass through a worker within its time."""
MAX_OBJECTS = 10_000
_CHUNK = 1024 * 1024
_KEPT = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType")


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
            while chunk := body.read(_CHUNK):
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


class Copying(Parameters):
    key: Annotated[
        str, msgspec.Meta(title="Object", description="Its key in this bucket.", min_length=1, max_length=900)
    ]
    to: Annotated[Literal["replica", "here"], msgspec.Meta(title="Copy to", description="The replica, or this bucket.")]
    to_key: Annotated[
        str,
        msgspec.Meta(title="Key of the copy", pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/=@+,()-]*$", max_length=900),
    ]


class CopyObject(Act["S3", Copying]):
    """The content passes through the worker, because two stores do not know each other's keys.

    The store checks the SHA-256 before it takes the copy, so a copy that is there is whole, and only takes it where
    nothing lies. The copy carries the step's token, by which undoing knows it as its own.
    """

    name = "copy-object"
    title = "Copy {key} to {to_key} ({to})"
    summary = (
        "The object is read, written under a key at which nothing lies, read back and compared by SHA-256. Content, "
        "content type and metadata are copied; tags and older versions are not. Nobody notices."
    )
    risk = Risk.LOW
    Parameters = Copying
    undo_title = "Delete the copy, if it is the one that was made"
    timeout_seconds = 600

    def check(self, params: Copying) -> None:
        if params.to == "here" and params.key == params.to_key:
            raise InvalidInput("an object cannot be copied onto itself")
        if any(part in (".", "..") for key in (params.key, params.to_key) for part in key.split("/")):
            raise InvalidInput("a key may not hold . or .. as a part of its path")

    def conditions(self, driver: S3, params: Copying) -> list[Condition]:
        source = Place(driver, params.key).head()
        found = [Condition("The object exists.", source is not None, "" if source else "there is none")]
        if source is not None:
            size = source["ContentLength"]
            found.append(Condition("The object is at most 1 GiB large.", size <= MAX_BYTES, f"{size} bytes"))
        if params.to == "replica" and driver.replica is None:
            return [*found, Condition("The connection names a replica.", False, "it names none")]
        target = self._target(driver, params)
        there = target.head()
        with asked(target.bucket.endpoint):
            lock = settings.object_lock(target.bucket.client(), target.bucket.bucket)
        locks = lock is not None and lock["mode"] is not None
        return [
            *found,
            Condition("Nothing lies at the key of the copy.", there is None, "" if there is None else str(target)),
            Condition("The target does not lock new objects; a copy could not be taken back.", not locks),
        ]

    def before(self, driver: S3, params: Copying) -> Report:
        head = Place(driver, params.key).head()
        if head is None:
            raise PermanentError(f"there is no object {params.key}")
        return {"etag": head["ETag"], "size": head["ContentLength"]}

    def sends(self, driver: S3, params: Copying, before: Facts) -> list[str]:
        source, target = Place(driver, params.key), self._target(driver, params)
        return [
            f"GET {source} (If-Match: {before['etag']}, {before['size']} bytes)",
            f"PUT {target} (If-None-Match: *, x-amz-checksum-sha256)",
            f"GET {target}",
        ]

    def done(self, driver: S3, params: Copying, before: Facts) -> bool:
        there = self._target(driver, params).head()
        return there is not None and (there["Metadata"].get("copied-etag"), there["ContentLength"]) == (
            before["etag"].strip('"'),
            before["size"],
        )

    def do(self, driver: S3, params: Copying, before: Facts, call: Call) -> Report:
        source, target = Place(driver, params.key), self._target(driver, params)
        there = target.head()
        if there is None:
            sha = self._copy(source, target, before, call)
        elif there["Metadata"].get("copied-by") != call.token:
            raise PermanentError(f"something lies at {target} already; it is left as it is")
        else:
            sha = there["Metadata"]["copied-sha256"]
        if target.read() != (sha, before["size"]):
            raise PermanentError(f"what was written to {target} reads differently; the copy must not be used")
        call.log(f"{target} was read back and is the same")
        return {"copy": str(target), "bytes": before["size"], "sha256": sha}

    def undo(self, driver: S3, params: Copying, before: Facts, call: Call) -> Report:
        target = self._target(driver, params)
        there = target.head()
        if there is None:
            return {}
        if there["Metadata"].get("copied-by") != call.token:
            return {"left": f"what lies at {target} is not this step's copy"}
        version = {"VersionId": there["VersionId"]} if "VersionId" in there else {}
        call.check()
        with asked(target.bucket.endpoint):
            target.bucket.client().delete_object(Bucket=target.bucket.bucket, Key=target.key, **version)
        return {"deleted": str(target)}

    @staticmethod
    def _target(driver: S3, params: Copying) -> Place:
        bucket = driver.replica if params.to == "replica" else driver
        if bucket is None:
            raise PermanentError("the connection names no replica")
        return Place(bucket, params.to_key)

    @staticmethod
    def _copy(source: Place, target: Place, before: Facts, call: Call) -> str:
        with tempfile.SpooledTemporaryFile(max_size=16 * _CHUNK) as content:
            sha, size = source.read(content, IfMatch=before["etag"])
            call.log(f"{size} bytes of {source.key} were read")
            head = source.head() or {}
            kept = {name: head[name] for name in _KEPT if head.get(name)}
            marks = {"copied-by": call.token, "copied-etag": before["etag"].strip('"'), "copied-sha256": sha}
            content.seek(0)
            call.check()
            with asked(target.bucket.endpoint):
                target.bucket.client().put_object(
                    Bucket=target.bucket.bucket,
                    Key=target.key,
                    Body=content,
                    ContentLength=size,
                    ChecksumSHA256=sha,
                    IfNoneMatch="*",
                    Metadata={**head.get("Metadata", {}), **marks},
                    **kept,
                )
        return sha


class Verifying(Parameters):
    prefix: Annotated[str, msgspec.Meta(title="Prefix", description="Empty for the whole bucket.", max_length=900)] = ""
    compare: Annotated[
        Literal["contents", "etags"],
        msgspec.Meta(title="Compare", description="Contents reads every byte; etags trusts what the stores say."),
    ] = "contents"


class VerifyObjects(Act["S3", Verifying]):
    """Only looks, so there is nothing in the world by which it could be known to be done.

    Each plan gets a number of its own, and the process that has looked remembers it; one that dies meanwhile is
    followed by one that looks again.
    """

    name = "verify-objects"
    title = "Compare the objects under “{prefix}” with the replica"
    summary = (
        "Every object under the prefix is compared with the one of the same key in the replica, by content (SHA-256) "
        "or by what both stores say of it (ETag and size). One that is missing or differs fails the step and is named. "
        "Nothing is changed; reading costs bandwidth."
    )
    risk = Risk.LOW
    Parameters = Verifying
    undo_title = "Nothing is taken back: reading changed nothing"
    timeout_seconds = 600
    _looked: ClassVar[set[str]] = set()

    def conditions(self, driver: S3, params: Verifying) -> list[Condition]:
        named = driver.replica is not None
        found = [Condition("The connection names a replica.", named, "" if named else "it names none")]
        keys = _listed(driver, params.prefix, MAX_OBJECTS + 1)
        size = sum(item["Size"] for item in keys.values())
        return [
            *found,
            Condition("Something lies under the prefix.", bool(keys)),
            Condition("At most 10,000 objects lie there.", len(keys) <= MAX_OBJECTS, f"{len(keys)} or more"),
            Condition(
                "They are at most 1 GiB together.", params.compare == "etags" or size <= MAX_BYTES, f"{size} bytes"
            ),
        ]

    def before(self, driver: S3, params: Verifying) -> Report:
        return {"look": str(uuid.uuid4())}

    def sends(self, driver: S3, params: Verifying, before: Facts) -> list[str]:
        replica = driver.replica
        stores = [driver] if replica is None else [driver, replica]
        lines = [f"GET {each.endpoint}/{each.bucket}?list-type=2&prefix={params.prefix}" for each in stores]
        return lines + ([f"GET each object of both ({params.compare})"] if params.compare == "contents" else [])

    def done(self, driver: S3, params: Verifying, before: Facts) -> bool:
        return before["look"] in self._looked

    def do(self, driver: S3, params: Verifying, before: Facts, call: Call) -> Report:
        replica = driver.replica
        if replica is None:
            raise PermanentError("the connection names no replica")
        here = _listed(driver, params.prefix, MAX_OBJECTS)
        there = _listed(replica, params.prefix, MAX_OBJECTS * 2)
        wrong = []
        for number, (key, item) in enumerate(here.items(), 1):
            call.check()
            if problem := self._differs(driver, replica, key, item, there.get(key), params.compare):
                call.log(f"{key} {problem}")
                wrong.append(key)
            call.progress(number, len(here))
        if wrong:
            raise PermanentError(f"{len(wrong)} of {len(here)} objects differ, the first is {wrong[0]}"[:500])
        self._looked.add(before["look"])
        return {"objects": len(here), "bytes": sum(item["Size"] for item in here.values()), "compared": params.compare}

    def undo(self, driver: S3, params: Verifying, before: Facts, call: Call) -> Report:
        return {}

    @staticmethod
    def _differs(driver: S3, replica: S3, key: str, here: Any, there: Any, compare: str) -> str:
        """What is wrong with the replica's object, for people; empty when nothing is."""
        if there is None:
            return "is missing in the replica"
        if here["Size"] != there["Size"]:
            return f"has {there['Size']} bytes in the replica and {here['Size']} here"
        # The ETag of an object uploaded in parts depends on the parts: unequal ones prove nothing.
        if compare == "etags" and here["ETag"] == there["ETag"]:
            return ""
        same = Place(driver, key).read() == Place(replica, key).read()
        return "" if same else "has another content in the replica"


def _listed(bucket: S3, prefix: str, most: int) -> dict[str, Any]:
    """The first `most` objects under `prefix` by key, with their `Size` and `ETag`."""
    found: dict[str, Any] = {}
    more: Any = {}
    with asked(bucket.endpoint):
        while len(found) < most:
            page: Any = bucket.client().list_objects_v2(Bucket=bucket.bucket, Prefix=prefix, **more)
            found |= {item["Key"]: item for item in page.get("Contents", [])}
            if not page.get("IsTruncated"):
                break
            more = {"ContinuationToken": page["NextContinuationToken"]}
    return dict(list(found.items())[:most])
