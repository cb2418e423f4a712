"""One RDS or Aurora database instance.

Source: the Amazon RDS API reference (RebootDBInstance, FailoverDBCluster, CreateDBSnapshot, DescribeEvents) and "Amazon
RDS event categories" of its user guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from drivers.acts import Act, Call, Condition, Facts, Nothing, Report, Risk
from drivers.aws.errors import Missing
from drivers.aws.session import AwsDriver, matching, short_token
from drivers.base import Observation
from drivers.errors import PermanentError

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient

OURS = "edye-"
_MINUTES = 24 * 60


class Failover(Act["RdsInstance", Nothing]):
    """Make the standby the primary.

    Recognised by what AWS itself says afterwards: the cluster's new writer, or the failover event of the instance. The
    zone alone comes too late: a second caller would fail back.
    """

    name = "failover"
    title = "Fail over to the standby"
    summary = (
        "The standby takes over as primary: every connection is cut, and writing fails for about one to two minutes "
        "(Aurora: about half a minute) until the name points to the new primary. Nothing that was committed is lost."
    )
    risk = Risk.HIGH
    why_no_undo = "Going back would be a second interruption; the former primary is the standby now and may stay so."
    timeout_seconds = 600

    def conditions(self, driver: RdsInstance, params: Nothing) -> list[Condition]:
        instance = driver.instance()
        status = str(instance["DBInstanceStatus"])
        standby = driver.standbys(instance)
        return [
            Condition("The instance is available", status == "available", status),
            Condition("There is a standby in another zone or a reader in the cluster", standby > 0, str(standby)),
        ]

    def before(self, driver: RdsInstance, params: Nothing) -> Report:
        return driver.primary()

    def sends(self, driver: RdsInstance, params: Nothing, before: Facts) -> list[str]:
        if before["cluster"]:
            return [f"aws rds failover-db-cluster --db-cluster-identifier {before['cluster']}"]
        return [f"aws rds reboot-db-instance --db-instance-identifier {driver.identifier} --force-failover"]

    def done(self, driver: RdsInstance, params: Nothing, before: Facts) -> bool:
        return _moved(driver, before) and driver.settled()

    def do(self, driver: RdsInstance, params: Nothing, before: Facts, call: Call) -> Report:
        if not _moved(driver, before) and driver.settled():
            with driver.asking():
                call.check()
                if before["cluster"]:
                    driver.api.failover_db_cluster(DBClusterIdentifier=before["cluster"])
                else:
                    driver.api.reboot_db_instance(DBInstanceIdentifier=driver.identifier, ForceFailover=True)
        driver.wait("the new primary is available", lambda: self.done(driver, params, before), call)
        return driver.primary()


def _moved(driver: RdsInstance, before: Facts) -> bool:
    now = driver.primary()
    if before["cluster"]:
        return bool(now["writer"] != before["writer"])
    return bool(now["failed_over_at"] > before["failed_over_at"])  # an old event may have been forgotten since


class Snapshot(Act["RdsInstance", Nothing]):
    """Take a snapshot."""

    name = "snapshot"
    title = "Take a snapshot"
    summary = (
        "A snapshot of the whole instance is taken and waited for. Reads and writes go on; an instance without a "
        "standby may pause for some seconds. It stays, and costs storage, until somebody deletes it."
    )
    risk = Risk.LOW
    undo_title = "Delete this snapshot"
    timeout_seconds = 600

    def conditions(self, driver: RdsInstance, params: Nothing) -> list[Condition]:
        instance = driver.instance()
        status, cluster = str(instance["DBInstanceStatus"]), instance.get("DBClusterIdentifier", "")
        return [
            Condition("The instance is available", status in ("available", "backing-up"), status),
            Condition("It is not part of an Aurora cluster, whose snapshots are the cluster's", not cluster, cluster),
        ]

    def before(self, driver: RdsInstance, params: Nothing) -> Report:
        return {"snapshots": sorted(driver.snapshots())}

    def sends(self, driver: RdsInstance, params: Nothing, before: Facts) -> list[str]:
        return [
            f"aws rds create-db-snapshot --db-instance-identifier {driver.identifier} "
            f"--db-snapshot-identifier {OURS}<this step>"
        ]

    def done(self, driver: RdsInstance, params: Nothing, before: Facts) -> bool:
        found = driver.snapshots()
        return any(one["Status"] == "available" for name, one in found.items() if name not in before["snapshots"])

    def do(self, driver: RdsInstance, params: Nothing, before: Facts, call: Call) -> Report:
        name = OURS + short_token(call.token)
        if name not in driver.snapshots():
            with driver.asking():
                call.check()
                driver.api.create_db_snapshot(DBInstanceIdentifier=driver.identifier, DBSnapshotIdentifier=name)
        driver.wait(f"{name} is available", lambda: _available(driver, name, call), call)
        return {"snapshot": name}

    def undo(self, driver: RdsInstance, params: Nothing, before: Facts, call: Call) -> Report:
        name = OURS + short_token(call.token)
        found = driver.snapshots().get(name)
        if found is None or found["Status"] == "deleting":
            return {"deleted": ""}
        try:
            with driver.asking():
                call.check()
                driver.api.delete_db_snapshot(DBSnapshotIdentifier=name)
        except Missing:  # another worker was faster
            return {"deleted": ""}
        return {"deleted": name}


def _available(driver: RdsInstance, name: str, call: Call) -> bool:
    found = driver.snapshots().get(name, {"Status": "creating"})
    call.progress(int(found.get("PercentProgress", 0)), 100)
    if found["Status"] not in ("creating", "available"):
        raise PermanentError(f"the snapshot {name} is {found['Status']}")
    return bool(found["Status"] == "available")


class RdsInstance(AwsDriver):
    """Facts: those of `AwsDriver`, and `db_instance`, the instance's identifier."""

    kind: ClassVar[str] = "aws-rds"
    service: ClassVar[str] = "RDS"
    required: ClassVar[tuple[str, ...]] = ("region", "db_instance")
    acts: ClassVar[tuple[Any, ...]] = (Failover(), Snapshot())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.identifier = matching(r"[a-z](-?[a-z0-9]){0,62}", "database instance", self.facts["db_instance"])

    @property
    def api(self) -> RDSClient:
        return cast("RDSClient", self.client("rds"))

    def instance(self) -> dict[str, Any]:
        """The description as AWS gives it; `Missing` when there is no such instance."""
        with self.asking():
            return dict(self.api.describe_db_instances(DBInstanceIdentifier=self.identifier)["DBInstances"][0])

    def cluster(self, name: str) -> dict[str, Any]:
        """The cluster as AWS gives it."""
        with self.asking():
            return dict(self.api.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0])

    def standbys(self, instance: dict[str, Any]) -> int:
        """How many could take over."""
        if name := instance.get("DBClusterIdentifier"):
            return sum(1 for member in self.cluster(name)["DBClusterMembers"] if not member["IsClusterWriter"])
        return int(bool(instance.get("MultiAZ")))

    def primary(self) -> Report:
        """What changes with a failover: the cluster's writer, or the time of the instance's last failover event."""
        name = self.instance().get("DBClusterIdentifier", "")
        if name:
            with self.asking():
                members = self.cluster(name)["DBClusterMembers"]
                writers = [one["DBInstanceIdentifier"] for one in members if one["IsClusterWriter"]]
            return {"cluster": name, "writer": ", ".join(writers), "failed_over_at": ""}
        return {"cluster": "", "writer": self.identifier, "failed_over_at": self._failed_over_at()}

    def _failed_over_at(self) -> str:
        """The time of the first sign of the last failover within a day; AWS tells when it begins and when it ends."""
        with self.asking():
            events = self.api.describe_events(
                SourceIdentifier=self.identifier,
                SourceType="db-instance",
                EventCategories=["failover"],
                Duration=_MINUTES,
            )["Events"]
            begun = [one["Date"].isoformat() for one in events if "started" in one["Message"].lower()]
        return max(begun, default="")

    def settled(self) -> bool:
        """Whether the instance, and its cluster, say `available`."""
        instance = self.instance()
        name = instance.get("DBClusterIdentifier")
        states = [str(instance["DBInstanceStatus"]), *([str(self.cluster(name)["Status"])] if name else [])]
        return set(states) == {"available"}

    def snapshots(self) -> dict[str, Any]:
        """The snapshots of this instance that were taken by this driver, by name."""
        with self.asking():
            pages = self.api.get_paginator("describe_db_snapshots").paginate(
                DBInstanceIdentifier=self.identifier, SnapshotType="manual"
            )
            return {
                one["DBSnapshotIdentifier"]: dict(one)
                for page in pages
                for one in page["DBSnapshots"]
                if one["DBSnapshotIdentifier"].startswith(OURS)
            }

    def look(self) -> Observation:
        """Status, zones, engine and storage. Healthy: AWS says `available`, or that it works on it meanwhile."""
        instance = self.instance()
        with self.asking():
            status = str(instance["DBInstanceStatus"])
            facts: dict[str, Any] = {
                "status": status,
                "engine": instance["Engine"],
                "class": instance["DBInstanceClass"],
                "zone": instance.get("AvailabilityZone", ""),
                "standby_zone": instance.get("SecondaryAvailabilityZone", ""),
                "multi_az": bool(instance.get("MultiAZ")),
                "cluster": instance.get("DBClusterIdentifier", ""),
                "address": instance.get("Endpoint", {}).get("Address", ""),
                "deletion_protection": bool(instance.get("DeletionProtection")),
            }
            readings = {
                "storage_bytes": float(instance.get("AllocatedStorage", 0)) * 2**30,
                "backup_retention_days": float(instance.get("BackupRetentionPeriod", 0)),
            }
        serving = status in ("available", "backing-up", "storage-optimization", "configuring-enhanced-monitoring")
        if not serving:
            facts["error"] = f"the instance is {status}"
        return self.seen(serving, facts, readings, instance.get("EngineVersion"))
