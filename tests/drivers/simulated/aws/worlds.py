"""Worlds of the AWS drivers over any client that speaks like boto3, past which they look and prepare."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from drivers import aws
from drivers.acts import Act
from drivers.aws.session import AwsDriver, tags
from drivers.base import Driver
from drivers.secret import SecretStore
from tests.drivers.contract import World, call

ZONE = "edye.example"


class AwsWorld(World):
    """`facts` make the driver; `raw` is the client that the pictures are read with."""

    service: ClassVar[str]
    facts: dict[str, Any]
    raw: Any

    @abstractmethod
    def kind(self, *, silent: bool = False) -> type[AwsDriver]:
        """The driver's class, without patience between two looks; `silent` reaches nobody."""

    def driver(self) -> Driver:
        return self.kind()(dict(self.facts), SecretStore())

    def unreachable(self) -> Driver:
        return self.kind(silent=True)(dict(self.facts), SecretStore())

    def prepare(self, act: Act[Any, Any]) -> None:
        """Most acts find enough to do."""


def hasty(declared: type[AwsDriver], **more: Any) -> type[AwsDriver]:
    """The driver without patience: what takes a minute in AWS is there at the second look."""
    return type(declared.__name__, (declared,), {"poll_seconds": 0, "wait_seconds": 5, **more})


class Ec2World(AwsWorld):
    driver_class = aws.Ec2Instance
    service = "ec2"
    examples: ClassVar[dict[str, dict[str, Any]]] = {
        "start": {},
        "stop": {},
        "reboot": {},
        "replace": {"terminate_old": False},
    }

    def picture(self) -> Any:
        filters = [{"Name": "tag:World", "Values": ["api"]}]
        found = self.raw.describe_instances(Filters=filters)["Reservations"]
        alive = ("pending", "running", "stopping", "stopped")
        return {
            one["InstanceId"]: (one["State"]["Name"], tags(one["Tags"]))
            for each in found
            for one in each["Instances"]
            if one["State"]["Name"] in alive
        }

    def prepare(self, act: Act[Any, Any]) -> None:
        driver = self.driver()
        assert isinstance(driver, aws.Ec2Instance)
        driver.bring_to("stopped" if act.name == "start" else "running", call())


class ElbWorld(AwsWorld):
    driver_class = aws.TargetGroup
    service = "elbv2"

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.examples = {
            "set-target-weight": {"rule": rule, "weight": 10},
            "drain-target": {"target": "10.0.0.1", "port": 80},
        }

    def picture(self) -> Any:
        arn = self.facts["target_group_arn"]
        health = self.raw.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        (action,) = self.raw.describe_rules(RuleArns=[self.rule])["Rules"][0]["Actions"]
        weights = {one["TargetGroupArn"]: one["Weight"] for one in action["ForwardConfig"]["TargetGroups"]}
        return sorted((one["Target"]["Id"], one["TargetHealth"]["State"]) for one in health), weights


class RdsWorld(AwsWorld):
    driver_class = aws.RdsInstance
    service = "rds"
    examples: ClassVar[dict[str, dict[str, Any]]] = {"failover": {}, "snapshot": {}}

    def picture(self) -> Any:
        name = self.facts["db_instance"]
        (instance,) = self.raw.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        made = self.raw.describe_db_snapshots(DBInstanceIdentifier=name)["DBSnapshots"]
        cluster = instance.get("DBClusterIdentifier")
        clusters = self.raw.describe_db_clusters(DBClusterIdentifier=cluster)["DBClusters"] if cluster else []
        writers = [
            member["DBInstanceIdentifier"]
            for each in clusters
            for member in each["DBClusterMembers"]
            if member["IsClusterWriter"]
        ]
        return sorted(one["DBSnapshotIdentifier"] for one in made), instance["AvailabilityZone"], writers


class AutoScalingWorld(AwsWorld):
    driver_class = aws.AutoScalingGroup
    service = "autoscaling"
    examples: ClassVar[dict[str, dict[str, Any]]] = {"set-desired-capacity": {"capacity": 3}}

    def picture(self) -> Any:
        (group,) = self.raw.describe_auto_scaling_groups(AutoScalingGroupNames=[self.facts["group"]])[
            "AutoScalingGroups"
        ]
        return group["DesiredCapacity"], len(group["Instances"])


class CloudFrontWorld(AwsWorld):
    driver_class = aws.Distribution
    service = "cloudfront"
    examples: ClassVar[dict[str, dict[str, Any]]] = {"invalidate": {"paths": ["/img/*", "/a.css"]}}

    def picture(self) -> Any:
        found = self.raw.list_invalidations(DistributionId=self.facts["distribution_id"], MaxItems="100")
        return sorted(one["Id"] for one in found["InvalidationList"].get("Items", []))


def records() -> list[dict[str, Any]]:
    """Two weighted records, a failover pair and a plain one."""

    def record(name: str, value: str, **more: Any) -> dict[str, Any]:
        content = {"TTL": 60, "ResourceRecords": [{"Value": value}]}
        return {"Name": f"{name}.{ZONE}.", "Type": "A", **more, **content}

    return [
        record("api", "10.0.0.1", SetIdentifier="one", Weight=90),
        record("api", "10.0.0.2", SetIdentifier="two", Weight=10),
        record("db", "10.0.1.1", SetIdentifier="first", Failover="PRIMARY"),
        record("db", "10.0.1.2", SetIdentifier="second", Failover="SECONDARY"),
        record("www", "10.0.2.1"),
    ]


class Route53World(AwsWorld):
    driver_class = aws.HostedZone
    service = "route53"
    examples: ClassVar[dict[str, dict[str, Any]]] = {
        "set-record-weight": {"name": f"api.{ZONE}", "type": "A", "set_identifier": "two", "weight": 50},
        "set-failover": {"name": f"db.{ZONE}", "type": "A", "primary": "10.0.1.2"},
        "switch-record": {"name": f"www.{ZONE}", "type": "A", "values": ["10.0.2.9", "10.0.2.2"]},
    }

    def picture(self) -> Any:
        found = self.raw.list_resource_record_sets(HostedZoneId=self.facts["zone_id"])["ResourceRecordSets"]
        return sorted(found, key=lambda one: (one["Name"], one["Type"], one.get("SetIdentifier", "")))


class SqsWorld(AwsWorld):
    driver_class = aws.SqsQueue
    service = "sqs"
    examples: ClassVar[dict[str, dict[str, Any]]] = {
        "set-attributes": {"VisibilityTimeout": 45, "DelaySeconds": 5},
        "purge": {},
        "redrive": {},
    }
    dead: str

    def picture(self) -> Any:
        def read(url: str) -> dict[str, str]:
            found: dict[str, str] = self.raw.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            return found

        url = self.facts["queue_url"]
        now = read(url)
        shown = ("VisibilityTimeout", "DelaySeconds", "MessageRetentionPeriod", "ApproximateNumberOfMessages")
        waiting = read(self.dead)["ApproximateNumberOfMessages"]
        return {name: now[name] for name in shown}, waiting, self.raw.list_queue_tags(QueueUrl=url).get("Tags")

    def prepare(self, act: Act[Any, Any]) -> None:
        if act.name == "purge":
            self.raw.send_message(QueueUrl=self.facts["queue_url"], MessageBody="late")
        if act.name == "redrive":
            self.raw.send_message(QueueUrl=self.dead, MessageBody="dead")
