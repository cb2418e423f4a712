"""A bucket as a thing, and the other buckets that the same keys may list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from drivers.discovery import Listing, Thing, listing
from drivers.s3 import settings
from drivers.s3.client import asked, code, status

if TYPE_CHECKING:
    from drivers.s3.bucket import S3


def discover(driver: S3) -> list[Listing]:
    """Two scopes: the bucket of the connection; and all buckets, where these keys may list them."""
    with asked(driver.endpoint):
        client: Any = driver.client()
        try:
            client.head_bucket(Bucket=driver.bucket)
        except ClientError as error:
            if status(error) != 404:
                raise
            return [listing("bucket", [])]
        versions = settings.versioning(client, driver.bucket)
        kept = settings.all_of(client, driver.bucket)
        others, problems = _others(driver, client)
    read = set(kept["unreadable"])
    targets = sorted({rule["bucket"] for rule in kept["replication"] or () if rule["enabled"]})
    own = Thing(
        "object_store",
        driver.bucket,
        fields={
            "bucket": driver.bucket,
            "region": driver.region,
            "versioned": versions == "Enabled",
            "encrypted": None if "encryption" in read else kept["encryption"] is not None,
            "replicates_to": None if "replication" in read else targets,
            "object_lock": None if "object_lock" in read else kept["object_lock"] is not None,
        },
        external_id=_identity(driver, driver.bucket),
    )
    # What these keys may not read says nothing about whether the bucket is there.
    return [listing("bucket", [own]), listing("buckets", others, problems)]


def _identity(driver: S3, bucket: str) -> str:
    """Bucket names are unique within a store."""
    return f"s3:{driver.endpoint.partition('://')[2].rstrip('/')}/{bucket}"


def _others(driver: S3, client: Any) -> tuple[list[Thing], list[str]]:
    found: list[str] = []
    more: dict[str, str] = {}
    try:
        while True:
            page = client.list_buckets(**more)
            found += [each["Name"] for each in page.get("Buckets", [])]
            if not page.get("ContinuationToken"):
                break
            more = {"ContinuationToken": page["ContinuationToken"]}
    except ClientError as error:
        if status(error) not in (401, 403, 405, 501):
            raise
        return [], [f"these keys may not list buckets ({code(error)})"]
    others = sorted(set(found) - {driver.bucket})
    return [
        Thing("object_store", name, f"bucket/{name}", {"bucket": name}, external_id=_identity(driver, name))
        for name in others
    ], []
