"""Acts on the settings of a bucket: versioning, expiry of old versions, default retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.s3 import settings
from drivers.s3.client import asked

if TYPE_CHECKING:
    from drivers.s3.bucket import S3

RULE = "expire-noncurrent-versions"
"""The lifecycle rule that is ours; all others are left as they are."""


class Versioning(Parameters):
    status: Annotated[Literal["Enabled", "Suspended"], msgspec.Meta(title="Versioning")]


class SetVersioning(Act["S3", Versioning]):
    """A bucket that once had versions can be suspended, never be switched off again (S3's own rule)."""

    name = "set-versioning"
    title = "Set versioning of the bucket to {status}"
    summary = (
        "Enabled: every overwritten or deleted object is kept as an older version, which takes space. "
        "Suspended: versions that exist stay, but from then on what is overwritten is lost. Readers notice nothing."
    )
    risk = Risk.HIGH
    Parameters = Versioning
    undo_title = "Set versioning as it was (where it was never on: suspended, which keeps no versions either)"

    def conditions(self, driver: S3, params: Versioning) -> list[Condition]:
        if params.status == "Enabled":
            return []
        with asked(driver.endpoint):
            lock = settings.object_lock(driver.client(), driver.bucket)
        seen = "" if lock is None else "it has"
        return [Condition("The bucket has no object lock, which needs versions.", lock is None, seen)]

    def before(self, driver: S3, params: Versioning) -> Report:
        return {"status": self._now(driver)}

    def sends(self, driver: S3, params: Versioning, before: Facts) -> list[str]:
        return [f"PUT {driver.endpoint}/{driver.bucket}?versioning: {params.status}"]

    def done(self, driver: S3, params: Versioning, before: Facts) -> bool:
        return self._now(driver) == params.status

    def do(self, driver: S3, params: Versioning, before: Facts, call: Call) -> Report:
        return self._set(driver, params.status, call)

    def undo(self, driver: S3, params: Versioning, before: Facts, call: Call) -> Report:
        if self._now(driver) != params.status:
            call.log("versioning is not as this step set it and is left alone")
            return {}
        return self._set(driver, "Suspended" if before["status"] == "Off" else before["status"], call)

    @staticmethod
    def _now(driver: S3) -> str:
        with asked(driver.endpoint):
            return settings.versioning(driver.client(), driver.bucket)

    def _set(self, driver: S3, status: Any, call: Call) -> Report:
        if self._now(driver) != status:
            call.check()
            with asked(driver.endpoint):
                driver.client().put_bucket_versioning(Bucket=driver.bucket, VersioningConfiguration={"Status": status})
        return {"versioning": status}


class Expiry(Parameters):
    days: Annotated[int, msgspec.Meta(title="Days after which an old version is deleted", ge=1, le=3650)]


class SetLifecycle(Act["S3", Expiry]):
    """Sets one rule among the bucket's lifecycle rules."""

    name = "set-lifecycle"
    title = "Delete old versions after {days} days"
    summary = (
        "Versions that were overwritten or deleted longer ago than this are deleted for good, which the store begins "
        "within a day. Current objects and all other lifecycle rules stay as they are. Readers notice nothing. "
        "What the store has deleted until this is taken back does not return."
    )
    risk = Risk.HIGH
    Parameters = Expiry
    undo_title = "Restore the former rule, or have none"

    def conditions(self, driver: S3, params: Expiry) -> list[Condition]:
        with asked(driver.endpoint):
            status = settings.versioning(driver.client(), driver.bucket)
        return [Condition("The bucket has versions.", status != "Off", f"versioning is {status}")]

    def before(self, driver: S3, params: Expiry) -> Report:
        return {"rule": _own(self._now(driver))}

    def sends(self, driver: S3, params: Expiry, before: Facts) -> list[str]:
        return [f"PUT {driver.endpoint}/{driver.bucket}?lifecycle: rule {RULE}, NoncurrentDays {params.days}"]

    def done(self, driver: S3, params: Expiry, before: Facts) -> bool:
        return _expires(_own(self._now(driver)), params.days)

    def do(self, driver: S3, params: Expiry, before: Facts, call: Call) -> Report:
        now = self._now(driver)
        if not _expires(_own(now), params.days):
            self._put(driver, _with(now, _rule(now, params.days)), call)
        return {"expire_versions_after_days": params.days}

    def undo(self, driver: S3, params: Expiry, before: Facts, call: Call) -> Report:
        now = self._now(driver)
        if not _expires(_own(now), params.days):
            call.log(f"the rule {RULE} is not as this step set it and is left alone")
            return {}
        self._put(driver, _with(now, before["rule"]), call)
        return {"rule": before["rule"]}

    @staticmethod
    def _now(driver: S3) -> dict[str, Any]:
        with asked(driver.endpoint):
            return settings.lifecycle(driver.client(), driver.bucket)

    @staticmethod
    def _put(driver: S3, configuration: Any, call: Call) -> None:
        call.check()
        with asked(driver.endpoint):
            if configuration["Rules"]:
                size = configuration.pop("TransitionDefaultMinimumObjectSize", None)
                more = {"TransitionDefaultMinimumObjectSize": size} if size else {}
                driver.client().put_bucket_lifecycle_configuration(
                    Bucket=driver.bucket, LifecycleConfiguration=configuration, **more
                )
            else:  # the store refuses a configuration without rules
                driver.client().delete_bucket_lifecycle(Bucket=driver.bucket)


def _own(configuration: dict[str, Any]) -> dict[str, Any] | None:
    return next((rule for rule in configuration["Rules"] if rule.get("ID") == RULE), None)


def _expires(rule: dict[str, Any] | None, days: int) -> bool:
    return (
        rule is not None
        and rule["Status"] == "Enabled"
        and rule.get("NoncurrentVersionExpiration") == {"NoncurrentDays": days}
    )


def _rule(configuration: dict[str, Any], days: int) -> dict[str, Any]:
    """A configuration holds prefixes either in the old place or in filters, never in both."""
    old = any("Prefix" in rule for rule in configuration["Rules"])
    where = {"Prefix": ""} if old else {"Filter": {"Prefix": ""}}
    return {"ID": RULE, "Status": "Enabled", **where, "NoncurrentVersionExpiration": {"NoncurrentDays": days}}


def _with(configuration: dict[str, Any], rule: dict[str, Any] | None) -> dict[str, Any]:
    """The configuration with our rule in its place, or without it; whatever else was changed meanwhile stays."""
    kept = list(configuration["Rules"])
    place = next((index for index, each in enumerate(kept) if each.get("ID") == RULE), len(kept))
    kept[place : place + 1] = [rule] if rule else []
    return {**configuration, "Rules": kept}


class Retention(Parameters):
    mode: Annotated[
        Literal["GOVERNANCE", "COMPLIANCE"],
        msgspec.Meta(title="Mode", description="In compliance mode nobody can delete before the time is over."),
    ]
    days: Annotated[int, msgspec.Meta(title="Days for which a new object is locked", ge=1, le=36500)]


class SetRetention(Act["S3", Retention]):
    """Sets the default retention of a bucket with object lock."""

    name = "set-retention"
    title = "Lock new objects for {days} days ({mode})"
    summary = (
        "Every object written from now on cannot be overwritten or deleted for this time. In GOVERNANCE mode a "
        "privileged account can still delete, in COMPLIANCE mode nobody can, and its space must be paid for that long. "
        "Objects that are there already keep the retention they have; so do those written before this is taken back."
    )
    risk = Risk.HIGH
    Parameters = Retention
    undo_title = "Restore the former default retention"

    def conditions(self, driver: S3, params: Retention) -> list[Condition]:
        locked = self._now(driver) is not None
        return [Condition("The bucket was made with object lock.", locked, "" if locked else "it has none")]

    def before(self, driver: S3, params: Retention) -> Report:
        return {"default": self._now(driver)}

    def sends(self, driver: S3, params: Retention, before: Facts) -> list[str]:
        return [f"PUT {driver.endpoint}/{driver.bucket}?object-lock: {params.mode}, {params.days} days"]

    def done(self, driver: S3, params: Retention, before: Facts) -> bool:
        return self._now(driver) == self._wanted(params)

    def do(self, driver: S3, params: Retention, before: Facts, call: Call) -> Report:
        return self._set(driver, self._wanted(params), call)

    def undo(self, driver: S3, params: Retention, before: Facts, call: Call) -> Report:
        if self._now(driver) != self._wanted(params):
            call.log("the default retention is not as this step set it and is left alone")
            return {}
        return self._set(driver, before["default"], call)

    @staticmethod
    def _wanted(params: Retention) -> dict[str, Any]:
        return {"mode": params.mode, "days": params.days, "years": None}

    @staticmethod
    def _now(driver: S3) -> dict[str, Any] | None:
        with asked(driver.endpoint):
            return settings.object_lock(driver.client(), driver.bucket)

    def _set(self, driver: S3, default: dict[str, Any], call: Call) -> Report:
        if self._now(driver) != default:
            named = {"Mode": default["mode"], "Days": default["days"], "Years": default["years"]}
            rule = {"Rule": {"DefaultRetention": {name: value for name, value in named.items() if value}}}
            configuration: Any = {"ObjectLockEnabled": "Enabled"} | (rule if default["mode"] else {})
            call.check()
            with asked(driver.endpoint):
                driver.client().put_object_lock_configuration(
                    Bucket=driver.bucket, ObjectLockConfiguration=configuration
                )
        return {"default": default}
