"""What the services behind `Client` keep and answer; shapes as in the AWS API references."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.drivers.simulated.aws.client import refuse

START = datetime(2026, 1, 1, tzinfo=UTC)


class Ec2:
    def __init__(self) -> None:
        self.instances: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {}
        self.reboots: dict[str, int] = {}
        self.protected: set[str] = set()

    def run_instances(self, ClientToken: str, TagSpecifications: list[Any], **like: Any) -> Any:
        if ClientToken not in self.tokens:
            made = f"i-{len(self.instances) + 1:017x}"
            self.tokens[ClientToken] = made
            groups = [{"GroupId": one, "GroupName": one} for one in like["SecurityGroupIds"]]
            kept = {key: like[key] for key in ("ImageId", "InstanceType", "SubnetId", "KeyName") if key in like}
            self.instances[made] = kept | {
                "InstanceId": made,
                "State": {"Name": "pending"},
                "Tags": TagSpecifications[0]["Tags"],
                "SecurityGroups": groups,
                "RootDeviceType": "ebs",
                "LaunchTime": START,
                "UserData": like.get("UserData"),
            }
        return {"Instances": [self.instances[self.tokens[ClientToken]]]}

    def describe_instances(self, InstanceIds: list[str] | None = None, Filters: Any = ()) -> Any:
        if InstanceIds and InstanceIds[0] not in self.instances:
            raise refuse("InvalidInstanceID.NotFound")
        found = [one for who, one in self.instances.items() if not InstanceIds or who in InstanceIds]
        answer = [{**one, "State": dict(one["State"])} for one in found if self._fits(one, Filters)]
        for one in found:
            state = one["State"]["Name"]
            arrives = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
            one["State"]["Name"] = arrives.get(state, state)
        return {"Reservations": [{"Instances": [one]} for one in answer]}

    @staticmethod
    def _fits(one: dict[str, Any], filters: Any) -> bool:
        seen = {f"tag:{tag['Key']}": tag["Value"] for tag in one["Tags"]} | {
            "instance-state-name": one["State"]["Name"]
        }
        return all(seen.get(each["Name"]) in each["Values"] for each in filters)

    def describe_instance_status(self, InstanceIds: list[str]) -> Any:
        running = self.instances[InstanceIds[0]]["State"]["Name"] == "running"
        good = {"Status": "ok"}
        return {"InstanceStatuses": [{"InstanceStatus": good, "SystemStatus": good}] if running else []}

    def describe_instance_attribute(self, InstanceId: str, Attribute: str) -> Any:
        if Attribute == "userData":
            return {"UserData": {}}
        return {"DisableApiTermination": {"Value": InstanceId in self.protected}}

    def start_instances(self, InstanceIds: list[str]) -> Any:
        return self._move(InstanceIds, ("stopped",), "pending")

    def stop_instances(self, InstanceIds: list[str]) -> Any:
        return self._move(InstanceIds, ("running",), "stopping")

    def terminate_instances(self, InstanceIds: list[str]) -> Any:
        return self._move(InstanceIds, ("pending", "running", "stopping", "stopped"), "shutting-down")

    def reboot_instances(self, InstanceIds: list[str]) -> Any:
        self.reboots[InstanceIds[0]] = self.reboots.get(InstanceIds[0], 0) + 1
        return {}

    def _move(self, ids: list[str], sources: tuple[str, ...], to: str) -> Any:
        for one in ids:
            if self.instances[one]["State"]["Name"] not in sources:
                raise refuse("IncorrectInstanceState", "not in a state for this")
            self.instances[one]["State"]["Name"] = to
        return {}

    def create_tags(self, Resources: list[str], Tags: list[Any]) -> Any:
        for one in Resources:
            fresh = {tag["Key"] for tag in Tags}
            kept = [tag for tag in self.instances[one]["Tags"] if tag["Key"] not in fresh]
            self.instances[one]["Tags"] = kept + Tags
        return {}


class Elbv2:
    def __init__(self, groups: list[str], rules: dict[str, dict[str, Any]]) -> None:
        self.targets: dict[str, dict[tuple[str, int], str]] = {arn: {} for arn in groups}
        self.rules = rules

    def describe_target_groups(self, TargetGroupArns: list[str]) -> Any:
        if TargetGroupArns[0] not in self.targets:
            raise refuse("TargetGroupNotFound")
        return {"TargetGroups": [{"TargetGroupName": TargetGroupArns[0].split("/")[1], "Protocol": "HTTP", "Port": 80}]}

    def describe_target_health(self, TargetGroupArn: str) -> Any:
        targets = self.targets[TargetGroupArn]
        answer = [
            {"Target": {"Id": who, "Port": port}, "TargetHealth": {"State": state}}
            for (who, port), state in targets.items()
        ]
        for key, state in list(targets.items()):
            if state == "draining":
                del targets[key]
            elif state == "initial":
                targets[key] = "healthy"
        return {"TargetHealthDescriptions": answer}

    def register_targets(self, TargetGroupArn: str, Targets: list[Any]) -> Any:
        self.targets[TargetGroupArn] |= {(one["Id"], one["Port"]): "initial" for one in Targets}
        return {}

    def deregister_targets(self, TargetGroupArn: str, Targets: list[Any]) -> Any:
        self.targets[TargetGroupArn] |= {(one["Id"], one["Port"]): "draining" for one in Targets}
        return {}

    def describe_rules(self, RuleArns: list[str]) -> Any:
        if RuleArns[0] not in self.rules:
            raise refuse("RuleNotFound")
        return {"Rules": [self.rules[RuleArns[0]]]}

    def modify_rule(self, RuleArn: str, Actions: list[Any]) -> Any:
        if self.rules[RuleArn]["IsDefault"]:
            raise refuse("OperationNotPermitted", "Default rule cannot be modified")
        self.rules[RuleArn]["Actions"] = Actions
        return {}

    def modify_listener(self, ListenerArn: str, DefaultActions: list[Any]) -> Any:
        (rule,) = (one for arn, one in self.rules.items() if one["IsDefault"] and ListenerArn.split("/")[-1] in arn)
        rule["Actions"] = DefaultActions
        return {}


class Rds:
    """One instance with a standby in another zone."""

    def __init__(self, name: str) -> None:
        self.instance = {
            "DBInstanceIdentifier": name,
            "DBInstanceStatus": "available",
            "Engine": "mariadb",
            "EngineVersion": "10.11.8",
            "DBInstanceClass": "db.m6g.large",
            "MultiAZ": True,
            "AvailabilityZone": "us-east-1a",
            "SecondaryAvailabilityZone": "us-east-1b",
            "AllocatedStorage": 100,
        }
        self.made: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []

    def describe_db_instances(self, DBInstanceIdentifier: str) -> Any:
        if DBInstanceIdentifier != self.instance["DBInstanceIdentifier"]:
            raise refuse("DBInstanceNotFound", status=404)
        answer = {"DBInstances": [dict(self.instance)]}
        self.instance["DBInstanceStatus"] = "available"
        return answer

    def describe_events(self, **_: Any) -> Any:
        return {"Events": self.events}

    def reboot_db_instance(self, DBInstanceIdentifier: str, ForceFailover: bool) -> Any:
        if self.instance["DBInstanceStatus"] != "available":
            raise refuse("InvalidDBInstanceState")
        assert ForceFailover
        both = ("AvailabilityZone", "SecondaryAvailabilityZone")
        swapped = {one: self.instance[other] for one, other in zip(both, reversed(both), strict=True)}
        self.instance |= swapped | {"DBInstanceStatus": "rebooting"}
        at = START + timedelta(minutes=len(self.events))
        self.events += [
            {"Date": at, "Message": "Multi-AZ instance failover started."},
            {"Date": at + timedelta(seconds=40), "Message": "Multi-AZ instance failover completed"},
        ]
        return {}

    def describe_db_snapshots(self, **_: Any) -> Any:
        answer = [dict(one) for one in self.made.values()]
        for one in self.made.values():
            one |= {"Status": "available", "PercentProgress": 100}
        return {"DBSnapshots": answer}

    def create_db_snapshot(self, DBInstanceIdentifier: str, DBSnapshotIdentifier: str) -> Any:
        if DBSnapshotIdentifier in self.made:
            raise refuse("DBSnapshotAlreadyExists")
        self.made[DBSnapshotIdentifier] = {
            "DBSnapshotIdentifier": DBSnapshotIdentifier,
            "Status": "creating",
            "PercentProgress": 10,
        }
        return {}

    def delete_db_snapshot(self, DBSnapshotIdentifier: str) -> Any:
        if self.made.pop(DBSnapshotIdentifier, None) is None:
            raise refuse("DBSnapshotNotFound", status=404)
        return {}


class AutoScaling:
    def __init__(self, name: str) -> None:
        self.name, self.wanted, self.halted = name, 2, []  # type: tuple[str, int, list[str]]
        self.states = ["InService", "InService"]

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> Any:
        instances = [
            {
                "InstanceId": f"i-{at:08x}",
                "AvailabilityZone": "us-east-1a",
                "LifecycleState": state,
                "HealthStatus": "Healthy",
            }
            for at, state in enumerate(self.states)
        ]
        self.states = ["InService"] * self.wanted
        group = {
            "MinSize": 1,
            "MaxSize": 5,
            "DesiredCapacity": self.wanted,
            "AvailabilityZones": ["us-east-1a"],
            "SuspendedProcesses": [{"ProcessName": one} for one in self.halted],
            "Instances": instances,
        }
        return {"AutoScalingGroups": [group] if AutoScalingGroupNames == [self.name] else []}

    def set_desired_capacity(self, AutoScalingGroupName: str, DesiredCapacity: int, HonorCooldown: bool) -> Any:
        if not 1 <= DesiredCapacity <= 5:
            raise refuse("ValidationError", "outside the limits")
        more, fewer = max(0, DesiredCapacity - self.wanted), max(0, self.wanted - DesiredCapacity)
        self.states = ["Terminating"] * fewer + ["InService"] * (self.wanted - fewer) + ["Pending"] * more
        self.wanted = DesiredCapacity
        return {}


class CloudFront:
    def __init__(self, distribution_id: str) -> None:
        self.distribution_id, self.enabled = distribution_id, True
        self.made: list[dict[str, Any]] = []

    def get_distribution(self, Id: str) -> Any:
        if Id != self.distribution_id:
            raise refuse("NoSuchDistribution", status=404)
        config = {"Enabled": self.enabled, "Origins": {"Items": [{"DomainName": "origin.edye.example"}]}}
        return {"Distribution": {"DomainName": "d1.cloudfront.net", "Status": "Deployed", "DistributionConfig": config}}

    def list_invalidations(self, DistributionId: str, MaxItems: str) -> Any:
        newest = self.made[::-1][: int(MaxItems)]
        return {"InvalidationList": {"Items": [{"Id": one["Id"], "Status": one["Status"]} for one in newest]}}

    def get_invalidation(self, DistributionId: str, Id: str) -> Any:
        (found,) = (one for one in self.made if one["Id"] == Id)
        answer = {"Invalidation": dict(found)}
        found["Status"] = "Completed"
        return answer

    def create_invalidation(self, DistributionId: str, InvalidationBatch: Any) -> Any:
        for one in self.made:
            if one["InvalidationBatch"]["CallerReference"] == InvalidationBatch["CallerReference"]:
                return {"Invalidation": one}
        made = {"Id": f"I{len(self.made)}", "Status": "InProgress", "InvalidationBatch": InvalidationBatch}
        self.made.append(made)
        return {"Invalidation": made}


class Route53:
    def __init__(self, zone_id: str, records: list[dict[str, Any]]) -> None:
        self.zone_id, self.records = zone_id, records
        self.pending: set[str] = set()
        self.numbers = itertools.count(1)

    @staticmethod
    def _key(record: dict[str, Any]) -> tuple[str, str, str]:
        return (record["Name"].rstrip("."), record["Type"], record.get("SetIdentifier", ""))

    def get_hosted_zone(self, Id: str) -> Any:
        if Id != self.zone_id:
            raise refuse("NoSuchHostedZone", status=404)
        return {"HostedZone": {"Name": "edye.example.", "ResourceRecordSetCount": len(self.records)}}

    def list_resource_record_sets(self, StartRecordName: str = "", **_: Any) -> Any:
        begun = StartRecordName.rstrip(".")
        found = [one for one in sorted(self.records, key=self._key) if self._key(one)[0] >= begun]
        return {"ResourceRecordSets": found, "IsTruncated": False}

    def change_resource_record_sets(self, HostedZoneId: str, ChangeBatch: Any) -> Any:
        for change in ChangeBatch["Changes"]:
            fresh = change["ResourceRecordSet"]
            self.records = [one for one in self.records if self._key(one) != self._key(fresh)] + [fresh]
        number = f"/change/C{next(self.numbers)}"
        self.pending.add(number)
        return {"ChangeInfo": {"Id": number, "Status": "PENDING"}}

    def get_change(self, Id: str) -> Any:
        status = "PENDING" if Id in self.pending else "INSYNC"
        self.pending.discard(Id)
        return {"ChangeInfo": {"Id": Id, "Status": status}}


class Sqs:
    """A queue and its dead-letter queue."""

    def __init__(self, url: str, arn: str) -> None:
        self.url, self.dead_arn = url, f"{arn}-dead"
        policy = f'{{"deadLetterTargetArn": "{self.dead_arn}", "maxReceiveCount": 3}}'
        self.kept = {"QueueArn": arn, "RedrivePolicy": policy, "VisibilityTimeout": "30", "DelaySeconds": "0"}
        self.kept |= {"MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0"}
        self.messages: dict[str, list[str]] = {arn: [], self.dead_arn: []}
        self.tags: dict[str, str] = {}
        self.moves: list[dict[str, Any]] = []

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> Any:
        if QueueUrl not in (self.url, f"{self.url}-dead"):
            raise refuse("QueueDoesNotExist")
        waiting = self.messages[self.kept["QueueArn"] if QueueUrl == self.url else self.dead_arn]
        return {"Attributes": {**self.kept, "ApproximateNumberOfMessages": str(len(waiting))}}

    def set_queue_attributes(self, QueueUrl: str, Attributes: dict[str, str]) -> Any:
        self.kept |= Attributes
        return {}

    def send_message(self, QueueUrl: str, MessageBody: str) -> Any:
        self.messages[self.kept["QueueArn"] if QueueUrl == self.url else self.dead_arn].append(MessageBody)
        return {}

    def purge_queue(self, QueueUrl: str) -> Any:
        self.messages[self.kept["QueueArn"]].clear()
        return {}

    def list_queue_tags(self, QueueUrl: str) -> Any:
        return {"Tags": self.tags} if self.tags else {}

    def tag_queue(self, QueueUrl: str, Tags: dict[str, str]) -> Any:
        self.tags |= Tags
        return {}

    def start_message_move_task(self, SourceArn: str, DestinationArn: str) -> Any:
        if any(one["Status"] == "RUNNING" for one in self.moves):
            raise refuse("AWS.SimpleQueueService.UnsupportedOperation", "There is already a task running.")
        moved = self.messages[SourceArn]
        self.messages[DestinationArn] += moved
        counts = {"ApproximateNumberOfMessagesMoved": len(moved), "ApproximateNumberOfMessagesToMove": len(moved)}
        self.messages[SourceArn] = []
        self.moves.append({"StartedTimestamp": len(self.moves) + 1, "Status": "RUNNING", **counts})
        return {"TaskHandle": "handle"}

    def list_message_move_tasks(self, SourceArn: str, MaxResults: int) -> Any:
        answer = [dict(one) for one in self.moves[::-1][:MaxResults]]
        for one in self.moves:
            one["Status"] = "COMPLETED"
        return {"Results": answer}
