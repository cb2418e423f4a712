"""One Auto Scaling group. Source: the Amazon EC2 Auto Scaling API reference (SetDesiredCapacity)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.aws.errors import Missing
from drivers.aws.session import AwsDriver, matching
from drivers.base import Observation

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient


class Capacity(Parameters):
    """How many instances there shall be."""

    capacity: Annotated[int, Meta(title="Instances", ge=0, le=10000)]


class SetDesiredCapacity(Act["AutoScalingGroup", Capacity]):
    """Set how many instances the group keeps."""

    name = "set-desired-capacity"
    title = "Keep {capacity} instances"
    summary = (
        "The group starts or terminates instances until it has this many in service, and is waited for. Which ones go "
        "is decided by the group's termination policy; what only lay on them is lost. Scaling policies may change "
        "the number again."
    )
    risk = Risk.MEDIUM
    Parameters = Capacity
    undo_title = "Keep as many as before"
    timeout_seconds = 600

    def conditions(self, driver: AutoScalingGroup, params: Capacity) -> list[Condition]:
        group = driver.group()
        low, high = int(group["MinSize"]), int(group["MaxSize"])
        halted = sorted(one["ProcessName"] for one in group.get("SuspendedProcesses", []))
        return [
            Condition(
                f"{params.capacity} lies within the group's limits", low <= params.capacity <= high, f"{low}–{high}"
            ),
            Condition(
                "The group may launch and terminate",
                not {"Launch", "Terminate"} & set(halted),
                f"suspended: {', '.join(halted)}" if halted else "nothing is suspended",
            ),
        ]

    def before(self, driver: AutoScalingGroup, params: Capacity) -> Report:
        group = driver.group()
        return {"capacity": int(group["DesiredCapacity"]), "in_service": driver.in_service(group)}

    def sends(self, driver: AutoScalingGroup, params: Capacity, before: Facts) -> list[str]:
        return [
            f"aws autoscaling set-desired-capacity --auto-scaling-group-name {driver.name} "
            f"--desired-capacity {params.capacity} --no-honor-cooldown"
        ]

    def done(self, driver: AutoScalingGroup, params: Capacity, before: Facts) -> bool:
        return driver.has(params.capacity)

    def do(self, driver: AutoScalingGroup, params: Capacity, before: Facts, call: Call) -> Report:
        return driver.keep(params.capacity, call)

    def undo(self, driver: AutoScalingGroup, params: Capacity, before: Facts, call: Call) -> Report:
        return driver.keep(before["capacity"], call)


class AutoScalingGroup(AwsDriver):
    """Facts: those of `AwsDriver`, and `group`, the group's name."""

    kind: ClassVar[str] = "aws-autoscaling"
    service: ClassVar[str] = "Auto Scaling"
    required: ClassVar[tuple[str, ...]] = ("region", "group")
    acts: ClassVar[tuple[Any, ...]] = (SetDesiredCapacity(),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = matching(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}", "Auto Scaling group", self.facts["group"])

    @property
    def api(self) -> AutoScalingClient:
        return cast("AutoScalingClient", self.client("autoscaling"))

    def group(self) -> dict[str, Any]:
        """The description as AWS gives it; `Missing` when there is no such group (AWS answers an empty list)."""
        with self.asking():
            found = self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        if not found:
            raise Missing(f"{self.where} knows no group {self.name}")
        return dict(found[0])

    @staticmethod
    def in_service(group: dict[str, Any]) -> int:
        """How many instances are in service."""
        return sum(1 for one in group.get("Instances", []) if one["LifecycleState"] == "InService")

    def has(self, capacity: int) -> bool:
        """Whether the group wants and has exactly this many."""
        group = self.group()
        return int(group["DesiredCapacity"]) == capacity == self.in_service(group) == len(group.get("Instances", []))

    def keep(self, capacity: int, call: Call) -> Report:
        """Ask for this many, and wait for them."""
        was = int(self.group()["DesiredCapacity"])
        if was != capacity:
            with self.asking():
                call.check()
                self.api.set_desired_capacity(
                    AutoScalingGroupName=self.name, DesiredCapacity=capacity, HonorCooldown=False
                )
        self.wait(f"{capacity} instances are in service", lambda: self.has(capacity), call)
        return {"capacity": capacity, "former": was}

    def look(self) -> Observation:
        """Limits and instances. Healthy: as many as wanted are in service, and all of them are healthy."""
        group = self.group()
        with self.asking():
            instances = [
                {
                    "instance": one["InstanceId"],
                    "zone": one["AvailabilityZone"],
                    "state": str(one["LifecycleState"]),
                    "health": one["HealthStatus"],
                }
                for one in group.get("Instances", [])
            ]
            wanted, serving = int(group["DesiredCapacity"]), self.in_service(group)
            facts: dict[str, Any] = {
                "limits": [int(group["MinSize"]), int(group["MaxSize"])],
                "zones": list(group["AvailabilityZones"]),
                "suspended": sorted(one["ProcessName"] for one in group.get("SuspendedProcesses", [])),
                "instances": instances,
            }
        readings = {"desired_instances": float(wanted), "in_service_instances": float(serving)}
        sick = [one for one in instances if one["health"].lower() != "healthy"]
        return self.seen(serving >= wanted and not sick, facts, readings)
