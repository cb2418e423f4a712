"""AWS as moto simulates it, on loopback: one server for the run, and one world for each driver.

What moto does not do is done here, and said: SQS has no message move tasks. It fails clusters over at once, and plain
instances never, so the failover is tried on an Aurora cluster there.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.acts import Act
from drivers.aws.session import AwsDriver
from drivers.secret import SecretStore
from tests.drivers.daemons import free_port
from tests.drivers.simulated.aws import REGION, worlds

IMAGE = "ami-12c6146b"  # one of the images that moto knows


@contextmanager
def serving(ground: Path) -> Iterator[dict[str, Any]]:
    """The facts that every connection to the server has."""
    from moto.backends import get_backend
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.server import ThreadedMotoServer

    _ = get_backend("ec2")[DEFAULT_ACCOUNT_ID][REGION]  # takes seconds at first, which no driver would wait
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    keys = {name: ground / f"aws-{name}" for name in ("access_key", "secret_key")}
    for path in keys.values():
        path.write_text("testing")
    try:
        yield {
            "region": REGION,
            "endpoint_url": f"http://127.0.0.1:{server._port}",
            **{name: f"file:{path}" for name, path in keys.items()},
        }
    finally:
        server.stop()


class Moto(worlds.AwsWorld):
    """A world behind the server; resources are made with the driver's own client, past the driver."""

    def __init__(self, common: dict[str, Any], *given: Any) -> None:
        super().__init__(*given)
        self.facts = dict(common)
        self.raw = self.other(self.service)
        self.facts |= self.build()

    def other(self, service: str) -> Any:
        return AwsDriver(self.facts, SecretStore()).client(service)

    def build(self) -> dict[str, Any]:
        """Make the resource; the facts that name it."""
        raise NotImplementedError

    def kind(self, *, silent: bool = False) -> type[AwsDriver]:
        """Drivers share one client here: making one costs more CPU than the call."""
        if not silent:
            shared = self.raw

            def connect(driver: AwsDriver, service: str) -> Any:
                return shared if service == self.service and not driver.role else AwsDriver.connect(driver, service)

            return worlds.hasty(self.driver_class, connect=connect)
        nowhere = f"http://127.0.0.1:{free_port()}"

        def elsewhere(driver: AwsDriver, service: str) -> Any:
            driver.endpoint = nowhere
            return AwsDriver.connect(driver, service)

        return worlds.hasty(self.driver_class, connect=elsewhere)


class MotoEc2(Moto, worlds.Ec2World):
    def build(self) -> dict[str, Any]:
        made = self.raw.run_instances(
            ImageId=IMAGE,
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            UserData="#!/bin/sh\ntrue\n",
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": "Name", "Value": "api-1"}, {"Key": "World", "Value": "api"}],
                }
            ],
        )
        return {"instance_id": made["Instances"][0]["InstanceId"]}


class MotoElbv2(Moto, worlds.ElbWorld):
    numbers = itertools.count(1)

    def __init__(self, common: dict[str, Any]) -> None:
        super().__init__(common, "")

    def build(self) -> dict[str, Any]:
        number = next(self.numbers)
        subnets = self.other("ec2").describe_subnets()["Subnets"]
        vpc = subnets[0]["VpcId"]
        api = self.raw
        group = {"Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": "ip"}
        blue, green = (
            api.create_target_group(Name=name, **group)["TargetGroups"][0]["TargetGroupArn"]
            for name in (f"api-blue-{number}", f"api-green-{number}")
        )
        api.register_targets(TargetGroupArn=blue, Targets=[{"Id": f"10.0.0.{n}", "Port": 80} for n in (1, 2)])
        balancer = api.create_load_balancer(Name=f"edge-{number}", Subnets=[one["SubnetId"] for one in subnets[:2]])
        listener = api.create_listener(
            LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[self.forward({blue: 70, green: 30})],
        )["Listeners"][0]["ListenerArn"]
        rule = api.create_rule(
            ListenerArn=listener,
            Priority=1,
            Conditions=[{"Field": "path-pattern", "Values": ["/api/*"]}],
            Actions=[self.forward({blue: 90, green: 10})],
        )
        self.default = next(
            one["RuleArn"] for one in api.describe_rules(ListenerArn=listener)["Rules"] if one["IsDefault"]
        )
        worlds.ElbWorld.__init__(self, rule["Rules"][0]["RuleArn"])
        return {"target_group_arn": blue}

    @staticmethod
    def forward(weights: dict[str, int]) -> dict[str, Any]:
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
        return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}


class MotoRds(Moto, worlds.RdsWorld):
    def build(self) -> dict[str, Any]:
        self.raw.create_db_instance(
            DBInstanceIdentifier="plain",
            DBInstanceClass="db.m6g.large",
            Engine="mariadb",
            EngineVersion="10.11.8",
            AllocatedStorage=20,
            MasterUsername="root",
            MasterUserPassword="not-a-secret",
        )
        self.raw.create_db_cluster(
            DBClusterIdentifier="aurora",
            Engine="aurora-mysql",
            MasterUsername="root",
            MasterUserPassword="not-a-secret",
        )
        for name in ("aurora-1", "aurora-2"):
            self.raw.create_db_instance(
                DBInstanceIdentifier=name,
                DBInstanceClass="db.r6g.large",
                Engine="aurora-mysql",
                DBClusterIdentifier="aurora",
            )
        return {"db_instance": "plain"}

    def prepare(self, act: Act[Any, Any]) -> None:
        self.facts["db_instance"] = "aurora-1" if act.name == "failover" else "plain"


class MotoAutoScaling(Moto, worlds.AutoScalingWorld):
    def build(self) -> dict[str, Any]:
        self.raw.create_launch_configuration(LaunchConfigurationName="web", ImageId=IMAGE, InstanceType="t3.small")
        self.raw.create_auto_scaling_group(
            AutoScalingGroupName="web",
            LaunchConfigurationName="web",
            MinSize=1,
            MaxSize=5,
            DesiredCapacity=2,
            AvailabilityZones=[f"{REGION}a"],
        )
        return {"group": "web"}


class MotoCloudFront(Moto, worlds.CloudFrontWorld):
    def build(self) -> dict[str, Any]:
        custom = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}
        origin = {"Id": "o", "DomainName": "origin.edye.example", "CustomOriginConfig": custom}
        behaviour = {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all", "MinTTL": 0}
        behaviour["ForwardedValues"] = {"QueryString": False, "Cookies": {"Forward": "none"}}
        made = self.raw.create_distribution(
            DistributionConfig={
                "CallerReference": "world",
                "Comment": "",
                "Enabled": True,
                "Origins": {"Quantity": 1, "Items": [origin]},
                "DefaultCacheBehavior": behaviour,
            }
        )
        return {"distribution_id": made["Distribution"]["Id"]}


class MotoRoute53(Moto, worlds.Route53World):
    def build(self) -> dict[str, Any]:
        zone = self.raw.create_hosted_zone(Name=worlds.ZONE, CallerReference="world")["HostedZone"]["Id"]
        changes = [{"Action": "CREATE", "ResourceRecordSet": one} for one in worlds.records()]
        self.raw.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
        return {"zone_id": zone.rpartition("/")[2]}


class MotoSqs(Moto, worlds.SqsWorld):
    def build(self) -> dict[str, Any]:
        self.moves: list[dict[str, Any]] = []
        self.started = itertools.count(1)
        self.dead = self.raw.create_queue(QueueName="jobs-dead")["QueueUrl"]
        dead_arn = self.raw.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])["Attributes"]
        policy = {"deadLetterTargetArn": dead_arn["QueueArn"], "maxReceiveCount": 3}
        self.raw.meta.events.register("before-call.sqs.StartMessageMoveTask", self.start)
        self.raw.meta.events.register("before-call.sqs.ListMessageMoveTasks", self.list)
        self.url = self.raw.create_queue(QueueName="jobs", Attributes={"RedrivePolicy": json.dumps(policy)})["QueueUrl"]
        return {"queue_url": self.url}

    def start(self, **_: Any) -> Any:
        """Move all messages at once, which moto has no call for."""
        found = self.raw.receive_message(QueueUrl=self.dead, MaxNumberOfMessages=10).get("Messages", [])
        for one in found:
            self.raw.send_message(QueueUrl=self.url, MessageBody=one["Body"])
            self.raw.delete_message(QueueUrl=self.dead, ReceiptHandle=one["ReceiptHandle"])
        self.moves.append(
            {
                "StartedTimestamp": next(self.started),
                "Status": "COMPLETED",
                "ApproximateNumberOfMessagesMoved": len(found),
            }
        )
        return _answered({"TaskHandle": "handle"})

    def list(self, **_: Any) -> Any:
        return _answered({"Results": self.moves[::-1]})


def _answered(parsed: dict[str, Any]) -> Any:
    """What a handler of `before-call` gives back instead of an answer from the network."""

    class Http:
        status_code = 200

    return Http(), parsed
