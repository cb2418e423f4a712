"""The AWS drivers over a boto3 client that exists only in memory."""

from __future__ import annotations

from typing import Any

from drivers.aws.session import AwsDriver
from tests.drivers.contract import World
from tests.drivers.simulated.aws import services, worlds
from tests.drivers.simulated.aws.client import Client, Silent

REGION = "us-east-1"
_ELB = f"arn:aws:elasticloadbalancing:{REGION}:123456789012"
GROUPS = [f"{_ELB}:targetgroup/api-{name}/{number * 16}" for name, number in (("blue", "b"), ("green", "c"))]
RULE = f"{_ELB}:listener-rule/app/edge/{'1' * 16}/{'2' * 16}/{'3' * 16}"


class InMemory(worlds.AwsWorld):
    """A world whose services are objects; `self.cloud` is the one that the driver speaks to."""

    cloud: Any

    def place(self, cloud: Any, **facts: str) -> None:
        self.cloud, self.raw = cloud, Client(cloud)
        self.facts = {"region": REGION, **facts}

    def kind(self, *, silent: bool = False) -> type[AwsDriver]:
        client = Silent() if silent else self.raw
        return worlds.hasty(self.driver_class, connect=lambda _, __: client)


class SimulatedEc2(InMemory, worlds.Ec2World):
    def __init__(self) -> None:
        cloud = services.Ec2()
        made = cloud.run_instances(
            ClientToken="first",
            TagSpecifications=[{"Tags": [{"Key": "Name", "Value": "api-1"}, {"Key": "World", "Value": "api"}]}],
            ImageId="ami-0123456789abcdef0",
            InstanceType="t3.small",
            SubnetId="subnet-1",
            SecurityGroupIds=["sg-1"],
        )["Instances"][0]
        made["State"]["Name"] = "running"
        self.place(cloud, instance_id=made["InstanceId"])


class SimulatedElbv2(InMemory, worlds.ElbWorld):
    def __init__(self) -> None:
        super().__init__(RULE)
        weights = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(GROUPS, (90, 10), strict=True)]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}
        cloud = services.Elbv2(GROUPS, {RULE: {"RuleArn": RULE, "IsDefault": False, "Actions": [action]}})
        cloud.targets[GROUPS[0]] = {("10.0.0.1", 80): "healthy", ("10.0.0.2", 80): "healthy"}
        self.place(cloud, target_group_arn=GROUPS[0])


class SimulatedRds(InMemory, worlds.RdsWorld):
    def __init__(self) -> None:
        self.place(services.Rds("edye-main"), db_instance="edye-main")


class SimulatedAutoScaling(InMemory, worlds.AutoScalingWorld):
    def __init__(self) -> None:
        self.place(services.AutoScaling("web"), group="web")


class SimulatedCloudFront(InMemory, worlds.CloudFrontWorld):
    def __init__(self) -> None:
        self.place(services.CloudFront("E1234567890ABC"), distribution_id="E1234567890ABC")


class SimulatedRoute53(InMemory, worlds.Route53World):
    def __init__(self) -> None:
        self.place(services.Route53("Z1234567890ABC", worlds.records()), zone_id="Z1234567890ABC")


class SimulatedSqs(InMemory, worlds.SqsWorld):
    def __init__(self) -> None:
        url = f"https://sqs.{REGION}.amazonaws.com/123456789012/jobs"
        self.dead = f"{url}-dead"
        self.place(services.Sqs(url, f"arn:aws:sqs:{REGION}:123456789012:jobs"), queue_url=url)


SIMULATED: dict[str, type[World]] = {
    "aws-ec2": SimulatedEc2,
    "aws-elbv2": SimulatedElbv2,
    "aws-rds": SimulatedRds,
    "aws-autoscaling": SimulatedAutoScaling,
    "aws-cloudfront": SimulatedCloudFront,
    "aws-route53": SimulatedRoute53,
    "aws-sqs": SimulatedSqs,
}
