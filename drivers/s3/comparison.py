"""Comparing many objects with those of the replica."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import PermanentError
from drivers.s3.client import asked
from drivers.s3.places import MAX_BYTES, Place

if TYPE_CHECKING:
    from drivers.s3.bucket import S3

MAX_OBJECTS = 10_000


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
        keys = listed(driver, params.prefix, MAX_OBJECTS + 1)
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
        here = listed(driver, params.prefix, MAX_OBJECTS)
        there = listed(replica, params.prefix, MAX_OBJECTS * 2)
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


def listed(bucket: S3, prefix: str, most: int) -> dict[str, Any]:
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
