"""One EC2 instance. Source: the Amazon EC2 API reference (DescribeInstances, StartInstances, RebootInstances …)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from botocore.exceptions import ClientError

from drivers.acts import Act, Call, Condition, Facts, Nothing, Report, Risk
from drivers.aws.errors import code, refused
from drivers.aws.replace import Replace
from drivers.aws.session import AwsDriver, matching, tags
from drivers.base import Observation
from drivers.errors import PermanentError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

REBOOTED = "edye:rebooted"
GROUP = "aws:autoscaling:groupName"
GONE = ("shutting-down", "terminated")


class _Power(Act["Ec2Instance", Nothing]):
    """What starting and stopping have in common: both are a state that is waited for."""

    goal: ClassVar[str]
    risk = Risk.HIGH
    timeout_seconds = 600

    def before(self, driver: Ec2Instance, params: Nothing) -> Report:
        return {"state": driver.state()}

    def sends(self, driver: Ec2Instance, params: Nothing, before: Facts) -> list[str]:
        return [f"aws ec2 {self.name}-instances --instance-ids {driver.instance_id}"]

    def done(self, driver: Ec2Instance, params: Nothing, before: Facts) -> bool:
        return driver.state() == self.goal

    def do(self, driver: Ec2Instance, params: Nothing, before: Facts, call: Call) -> Report:
        return driver.bring_to(self.goal, call)

    def undo(self, driver: Ec2Instance, params: Nothing, before: Facts, call: Call) -> Report:
        was = {"pending": "running", "stopping": "stopped"}.get(before["state"], before["state"])
        return driver.bring_to(was, call) if was in ("running", "stopped") else {}


class Start(_Power):
    """Start the instance."""

    name = "start"
    title = "Start the instance"
    summary = (
        "The stopped instance is started and waited for until it runs. It begins to cost money, and gets a new public "
        "address unless it has an Elastic IP. Its programs start as its own system is set up to start them."
    )
    goal = "running"
    risk = Risk.LOW
    undo_title = "Stop the instance again"

    def conditions(self, driver: Ec2Instance, params: Nothing) -> list[Condition]:
        return [driver.there(), driver.permitted(driver.api.start_instances)]


class Stop(_Power):
    """Stop the instance."""

    name = "stop"
    title = "Stop the instance"
    summary = (
        "The instance is shut down and waited for until it is stopped. Everything it serves is gone until it is "
        "started again. Its disks stay; data on instance store and the public address (without an Elastic IP) are lost."
    )
    goal = "stopped"
    undo_title = "Start the instance again"

    def conditions(self, driver: Ec2Instance, params: Nothing) -> list[Condition]:
        instance = driver.instance()
        group = tags(instance.get("Tags")).get(GROUP, "")
        root = str(instance.get("RootDeviceType", ""))
        return [
            driver.there(),
            Condition("The root device is an EBS volume, which outlives a stop", root == "ebs", root or "unknown"),
            Condition("No Auto Scaling group would replace it when it stops", not group, group or "none"),
            driver.permitted(driver.api.stop_instances),
        ]


class Reboot(Act["Ec2Instance", Nothing]):
    """Reboot the instance.

    AWS keeps no trace of a reboot in the instance's description, so a tag is set after the call. A worker that dies
    between the two reboots once more: twice is possible, not at all is not.
    """

    name = "reboot"
    title = "Reboot the instance"
    summary = (
        "The instance's system is asked to restart, and is forced to when it does not within a few minutes. What it "
        f"serves is gone for some minutes. The tag {REBOOTED} is set afterwards as proof; if the worker dies just "
        "between the two, the instance is rebooted once more."
    )
    risk = Risk.HIGH
    why_no_undo = "A restart has happened when it has happened; the instance comes back by itself."

    def conditions(self, driver: Ec2Instance, params: Nothing) -> list[Condition]:
        state = driver.state()
        return [
            Condition("The instance runs", state == "running", state),
            driver.permitted(driver.api.reboot_instances),
        ]

    def before(self, driver: Ec2Instance, params: Nothing) -> Report:
        return {"state": driver.state(), "rebooted": driver.rebooted()}

    def sends(self, driver: Ec2Instance, params: Nothing, before: Facts) -> list[str]:
        return [
            f"aws ec2 reboot-instances --instance-ids {driver.instance_id}",
            f"aws ec2 create-tags --resources {driver.instance_id} --tags Key={REBOOTED},Value=<this step>",
        ]

    def done(self, driver: Ec2Instance, params: Nothing, before: Facts) -> bool:
        return driver.rebooted() != str(before["rebooted"])

    def do(self, driver: Ec2Instance, params: Nothing, before: Facts, call: Call) -> Report:
        if driver.rebooted() == call.token:
            return {"rebooted": False}
        with driver.asking():
            call.check()
            driver.api.reboot_instances(InstanceIds=[driver.instance_id])
            call.check()
            driver.api.create_tags(Resources=[driver.instance_id], Tags=[{"Key": REBOOTED, "Value": call.token}])
        return {"rebooted": True}


class Ec2Instance(AwsDriver):
    """Facts: those of `AwsDriver`, and `instance_id`."""

    kind: ClassVar[str] = "aws-ec2"
    service: ClassVar[str] = "EC2"
    required: ClassVar[tuple[str, ...]] = ("region", "instance_id")
    acts: ClassVar[tuple[Any, ...]] = (Start(), Stop(), Reboot(), Replace())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance_id = matching(r"i-[0-9a-f]{8,17}", "instance", self.facts["instance_id"])

    @property
    def api(self) -> EC2Client:
        return cast("EC2Client", self.client("ec2"))

    def instance(self, instance_id: str = "") -> dict[str, Any]:
        """The description as AWS gives it; `Missing` when there is no such instance."""
        with self.asking():
            found = self.api.describe_instances(InstanceIds=[instance_id or self.instance_id])
            return dict(found["Reservations"][0]["Instances"][0])

    def state(self) -> str:
        """`pending`, `running`, `stopping`, `stopped`, `shutting-down` or `terminated`."""
        with self.asking():
            return str(self.instance()["State"]["Name"])

    def rebooted(self) -> str:
        """The token of the last reboot that was asked for here; empty when there was none."""
        return tags(self.instance().get("Tags")).get(REBOOTED, "")

    def there(self) -> Condition:
        """A terminated instance is shown for about an hour and can do nothing."""
        state = self.state()
        return Condition("The instance has not been terminated", state not in GONE, state)

    def permitted(self, action: Callable[..., object]) -> Condition:
        """Whether AWS would let these credentials do it, asked with DryRun, which does nothing."""
        text = "AWS allows these credentials to do it"
        try:
            action(InstanceIds=[self.instance_id], DryRun=True)
        except ClientError as error:
            if code(error) not in ("DryRunOperation", "UnauthorizedOperation"):
                raise refused(self.where, error) from None
            return Condition(text, code(error) == "DryRunOperation", code(error))
        raise PermanentError(f"{self.where} does not know DryRun")

    def checks(self, instance_id: str = "") -> str:
        """The worse of the two status checks: `ok`, `initializing`, `impaired` …; `not-applicable` when it is off."""
        with self.asking():
            found = self.api.describe_instance_status(InstanceIds=[instance_id or self.instance_id])["InstanceStatuses"]
            seen = [found[0][which]["Status"] for which in ("InstanceStatus", "SystemStatus")] if found else []
        return next((str(each) for each in seen if each != "ok"), "ok") if seen else "not-applicable"

    def bring_to(self, goal: str, call: Call) -> Report:
        """Start or stop, and wait for it. Where it is on its way there already, only wait."""
        state = self.state()
        halfway = {"running": "stopping", "stopped": "pending"}[goal]
        if state == halfway:  # AWS refuses both calls until it has arrived
            self.wait(f"it is no longer {halfway}", lambda: self.state() != halfway, call, seconds=270)
            state = self.state()
        if state == goal:
            return {"state": state}
        if state in GONE:
            raise PermanentError(f"the instance is {state}: it will never be {goal} again")
        with self.asking():
            call.check()
            act = self.api.start_instances if goal == "running" else self.api.stop_instances
            act(InstanceIds=[self.instance_id])
        self.wait(f"it is {goal}", lambda: self.state() == goal, call, seconds=270)
        return {"state": goal}

    def look(self) -> Observation:
        """State, both status checks, and what it is made of. Healthy: it runs and both checks pass."""
        instance = self.instance()
        with self.asking():
            state = str(instance["State"]["Name"])
            named = tags(instance.get("Tags"))
            facts: dict[str, Any] = {
                "name": named.get("Name", ""),
                "state": state,
                "checks": self.checks(),
                "type": instance["InstanceType"],
                "image": instance["ImageId"],
                "zone": instance.get("Placement", {}).get("AvailabilityZone", ""),
                "private_address": instance.get("PrivateIpAddress", ""),
                "public_address": instance.get("PublicIpAddress", ""),
                "launched_at": instance["LaunchTime"].isoformat(),
                "auto_scaling_group": named.get(GROUP, ""),
            }
        if state != "running":
            return self.seen(False, {**facts, "error": f"the instance is {state}"})
        healthy = {"ok": True, "initializing": None, "insufficient-data": None}.get(facts["checks"], False)
        return self.seen(healthy, facts)
