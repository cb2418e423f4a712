"""Copying one object, and proving the copy."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import InvalidInput, PermanentError
from drivers.s3 import settings
from drivers.s3.client import asked
from drivers.s3.places import CHUNK, MAX_BYTES, Place

if TYPE_CHECKING:
    from drivers.s3.bucket import S3

_KEPT = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType")


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
        with tempfile.SpooledTemporaryFile(max_size=16 * CHUNK) as content:
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
