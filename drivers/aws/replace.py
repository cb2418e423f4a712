"""Replacing an EC2 instance by a new one like it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.aws.session import short_token, tags
from drivers.errors import PermanentError

if TYPE_CHECKING:
    from drivers.aws.ec2 import Ec2Instance

STEP = "edye:step"
REPLACES = "edye:replaces"
ALIVE = ("pending", "running", "stopping", "stopped")


class Replacement(Parameters):
    """What becomes of the old one."""

    terminate_old: Annotated[bool, Meta(title="Terminate the old instance once the new one runs")] = False


class Replace(Act["Ec2Instance", Replacement]):
    """Run a new instance like this one beside it.

    Once only: AWS makes one instance for one client token however often it is asked (RunInstances, "Ensuring
    idempotency"), and the instance carries the token as a tag from its first moment.
    """

    name = "replace"
    title = "Replace the instance by a new one"
    summary = (
        "A new instance is run from the same image, type, subnet, security groups, key, role, user data and tags, and "
        "waited for until AWS's checks pass. What was changed on the old one by hand is not on it, and neither target "
        "groups nor addresses move to it. When asked for, the old one is terminated afterwards: its disks go with it."
    )
    risk = Risk.HIGH
    Parameters = Replacement
    undo_title = "Terminate the new instance"
    timeout_seconds = 600

    def conditions(self, driver: Ec2Instance, params: Replacement) -> list[Condition]:
        group = tags(driver.instance().get("Tags")).get("aws:autoscaling:groupName", "")
        held = [Condition("It belongs to no Auto Scaling group, which replaces by itself", not group, group or "none")]
        if params.terminate_old:
            held.append(Condition("It is not protected from termination", not _protected(driver)))
            return [*held, driver.permitted(driver.api.terminate_instances)]
        return [driver.there(), *held]

    def before(self, driver: Ec2Instance, params: Replacement) -> Report:
        return {"replacements": sorted(_replacements(driver)), "like": _description(driver.instance())}

    def sends(self, driver: Ec2Instance, params: Replacement, before: Facts) -> list[str]:
        like = before["like"]
        lines = [
            f"aws ec2 run-instances --count 1 --image-id {like['ImageId']} --instance-type {like['InstanceType']} "
            f"--subnet-id {like.get('SubnetId', '')} --security-group-ids {' '.join(like['SecurityGroupIds'])} "
            "--client-token <this step>"
        ]
        if params.terminate_old:
            lines.append(f"aws ec2 terminate-instances --instance-ids {driver.instance_id}")
        return lines

    def done(self, driver: Ec2Instance, params: Replacement, before: Facts) -> bool:
        fresh = {one: state for one, state in _replacements(driver).items() if one not in before["replacements"]}
        gone = not params.terminate_old or driver.state() in ("shutting-down", "terminated")
        return gone and "running" in fresh.values()

    def do(self, driver: Ec2Instance, params: Replacement, before: Facts, call: Call) -> Report:
        made = next(iter(_replacements(driver, short_token(call.token))), None) or _run(driver, before["like"], call)
        driver.wait(f"{made} runs", lambda: _running(driver, made), call, seconds=200)
        driver.wait(f"{made} passes its checks", lambda: driver.checks(made) == "ok", call, seconds=300)
        if params.terminate_old and driver.state() not in ("shutting-down", "terminated"):
            with driver.asking():
                call.check()
                driver.api.terminate_instances(InstanceIds=[driver.instance_id])
        return {"instance": made, "old_terminated": params.terminate_old}

    def undo(self, driver: Ec2Instance, params: Replacement, before: Facts, call: Call) -> Report:
        made = sorted(_replacements(driver, short_token(call.token)))
        if made and driver.state() in ("shutting-down", "terminated"):
            # Whoever wants the old one back would be left with none.
            raise PermanentError(f"the old instance is gone for good; {made[0]} stays, as nothing else is left")
        if made:
            with driver.asking():
                call.check()
                driver.api.terminate_instances(InstanceIds=made)
        return {"terminated": made}


def _replacements(driver: Ec2Instance, step: str = "") -> dict[str, str]:
    """State by id of the living instances that replace this one, of one step or of all."""
    filters: list[Any] = [
        {"Name": f"tag:{REPLACES}", "Values": [driver.instance_id]},
        {"Name": "instance-state-name", "Values": list(ALIVE)},
    ]
    if step:
        filters.append({"Name": f"tag:{STEP}", "Values": [step]})
    with driver.asking():
        found = driver.api.describe_instances(Filters=filters)["Reservations"]
        return {one["InstanceId"]: str(one["State"]["Name"]) for each in found for one in each["Instances"]}


def _running(driver: Ec2Instance, instance_id: str) -> bool:
    state = driver.instance(instance_id)["State"]["Name"]
    if state in ("shutting-down", "terminated"):
        raise PermanentError(f"the new instance {instance_id} was terminated while it started")
    return bool(state == "running")


def _protected(driver: Ec2Instance) -> bool:
    with driver.asking():
        found = driver.api.describe_instance_attribute(InstanceId=driver.instance_id, Attribute="disableApiTermination")
        return bool(found.get("DisableApiTermination", {}).get("Value"))


def _description(instance: dict[str, Any]) -> Report:
    """What RunInstances needs for another one like it, without user data, which may hold secrets."""
    like: Report = {
        "ImageId": instance["ImageId"],
        "InstanceType": instance["InstanceType"],
        "SecurityGroupIds": sorted(group["GroupId"] for group in instance.get("SecurityGroups", [])),
        "Tags": {
            key: value
            for key, value in sorted(tags(instance.get("Tags")).items())
            if not key.startswith(("aws:", "edye:"))
        },
    }
    like |= {key: instance[key] for key in ("SubnetId", "KeyName", "EbsOptimized") if instance.get(key)}
    if profile := instance.get("IamInstanceProfile", {}).get("Arn"):
        like["IamInstanceProfile"] = {"Arn": profile}
    return like


def _run(driver: Ec2Instance, like: Facts, call: Call) -> str:
    """Ask for the instance, with the old one's user data, which is passed on unread; its id."""
    marks = {**like["Tags"], REPLACES: driver.instance_id, STEP: short_token(call.token)}
    with driver.asking():
        kept = driver.api.describe_instance_attribute(InstanceId=driver.instance_id, Attribute="userData")
        request: dict[str, Any] = {key: value for key, value in like.items() if key != "Tags"}
        if coded := kept.get("UserData", {}).get("Value"):
            request["UserData"] = base64.b64decode(coded)  # boto3 encodes it again
        call.check()
        found = driver.api.run_instances(
            MinCount=1,
            MaxCount=1,
            ClientToken=short_token(call.token),
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in marks.items()]}
            ],
            **request,
        )
        made = found["Instances"][0]["InstanceId"]
    call.log(f"{made} was asked for")
    return made
