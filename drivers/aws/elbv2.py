"""One target group of an Application or Network Load Balancer.

Source: the Elastic Load Balancing v2 API reference (DescribeTargetHealth, ModifyRule, DeregisterTargets).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.aws.session import AwsDriver, matching
from drivers.base import Observation
from drivers.errors import PermanentError

if TYPE_CHECKING:
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

_ELB = r"arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}"
RULE = rf"^{_ELB}:listener-rule/(app|net)/[A-Za-z0-9-]{{1,32}}/[0-9a-f]{{1,32}}/[0-9a-f]{{1,32}}/[0-9a-f]{{1,32}}$"
GROUP = rf"{_ELB}:targetgroup/[A-Za-z0-9-]{{1,32}}/[0-9a-f]{{1,32}}"
Weights = dict[str, int]


class Weight(Parameters):
    """Which rule, and how much of its traffic this group gets."""

    rule: Annotated[str, Meta(title="Listener rule (ARN)", pattern=RULE, max_length=512)]
    weight: Annotated[int, Meta(title="Weight", description="Relative to the rule's other groups.", ge=0, le=999)]


class SetTargetWeight(Act["TargetGroup", Weight]):
    """Set the weight of this group in a rule."""

    name = "set-target-weight"
    title = "Give this target group the weight {weight}"
    summary = (
        "The listener rule sends new requests to its target groups in proportion to their weights; this changes the "
        "weight of this group at once. Requests under way are not cut. With stickiness, known visitors stay where "
        "they are until their cookie ends."
    )
    risk = Risk.HIGH
    Parameters = Weight
    undo_title = "Give back the former weight"

    def conditions(self, driver: TargetGroup, params: Weight) -> list[Condition]:
        weights = driver.weights(params.rule)
        forwards = Condition("The rule forwards to this target group", driver.arn in weights, _shown(weights))
        rest = sum(weight for arn, weight in weights.items() if arn != driver.arn)
        healthy = driver.healthy()
        return [
            forwards,
            Condition("Some group of the rule keeps a weight above 0", rest + params.weight > 0, _shown(weights)),
            Condition(
                "The group has a healthy target, if it is to get traffic",
                not params.weight or healthy > 0,
                str(healthy),
            ),
        ]

    def before(self, driver: TargetGroup, params: Weight) -> Report:
        return {"weights": driver.weights(params.rule)}

    def sends(self, driver: TargetGroup, params: Weight, before: Facts) -> list[str]:
        weights = {**before["weights"], driver.arn: params.weight}
        return [f"aws elbv2 modify-rule --rule-arn {params.rule} (weights: {_shown(weights)})"]

    def done(self, driver: TargetGroup, params: Weight, before: Facts) -> bool:
        return driver.weights(params.rule).get(driver.arn) == params.weight

    def do(self, driver: TargetGroup, params: Weight, before: Facts, call: Call) -> Report:
        return driver.set_weight(params.rule, params.weight, call)

    def undo(self, driver: TargetGroup, params: Weight, before: Facts, call: Call) -> Report:
        return driver.set_weight(params.rule, before["weights"][driver.arn], call)


class Target(Parameters):
    """One target of the group."""

    target: Annotated[
        str,
        Meta(
            title="Target", description="Instance id or IP address.", pattern=r"^(i-[0-9a-f]{8,17}|[0-9a-f.:]{3,39})$"
        ),
    ]
    port: Annotated[int, Meta(title="Port", ge=1, le=65535)]


class DrainTarget(Act["TargetGroup", Target]):
    """Take one target out of the group."""

    name = "drain-target"
    title = "Drain {target}"
    summary = (
        "The target gets no new requests; those under way may end within the group's deregistration delay (300 s "
        "unless set otherwise), after which they are cut. The other targets take its share."
    )
    risk = Risk.MEDIUM
    Parameters = Target
    undo_title = "Register the target again"
    timeout_seconds = 600

    def conditions(self, driver: TargetGroup, params: Target) -> list[Condition]:
        targets = driver.targets()
        state = targets.get((params.target, params.port))
        others = sum(1 for key, seen in targets.items() if seen == "healthy" and key != (params.target, params.port))
        return [
            Condition("The target is registered", state is not None, state or "not registered"),
            Condition("Another target of the group is healthy", others > 0, str(others)),
        ]

    def before(self, driver: TargetGroup, params: Target) -> Report:
        state = driver.targets().get((params.target, params.port), "")
        return {"state": state, "registered": state not in ("", "draining")}

    def sends(self, driver: TargetGroup, params: Target, before: Facts) -> list[str]:
        return [
            f"aws elbv2 deregister-targets --target-group-arn {driver.arn} "
            f"--targets Id={params.target},Port={params.port}"
        ]

    def done(self, driver: TargetGroup, params: Target, before: Facts) -> bool:
        return (params.target, params.port) not in driver.targets()

    def do(self, driver: TargetGroup, params: Target, before: Facts, call: Call) -> Report:
        state = driver.targets().get((params.target, params.port))
        if state not in (None, "draining"):
            with driver.asking():
                call.check()
                driver.api.deregister_targets(TargetGroupArn=driver.arn, Targets=[_target(params)])
        driver.wait(f"{params.target} is drained", lambda: self.done(driver, params, before), call)
        return {"was": state or "not registered"}

    def undo(self, driver: TargetGroup, params: Target, before: Facts, call: Call) -> Report:
        if not before["registered"]:
            return {}
        if driver.targets().get((params.target, params.port)) in (None, "draining"):
            with driver.asking():
                call.check()
                driver.api.register_targets(TargetGroupArn=driver.arn, Targets=[_target(params)])
        settled = (None, "draining", "initial")
        driver.wait(
            f"{params.target} is checked again",
            lambda: driver.targets().get((params.target, params.port)) not in settled,
            call,
        )
        return {"state": driver.targets().get((params.target, params.port), "")}


class TargetGroup(AwsDriver):
    """Facts: those of `AwsDriver`, and `target_group_arn`."""

    kind: ClassVar[str] = "aws-elbv2"
    service: ClassVar[str] = "Elastic Load Balancing"
    required: ClassVar[tuple[str, ...]] = ("region", "target_group_arn")
    acts: ClassVar[tuple[Any, ...]] = (SetTargetWeight(), DrainTarget())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arn = matching(GROUP, "target group", self.facts["target_group_arn"])

    @property
    def api(self) -> ElasticLoadBalancingv2Client:
        return cast("ElasticLoadBalancingv2Client", self.client("elbv2"))

    def targets(self) -> dict[tuple[str, int], str]:
        """State by (id, port): `initial`, `healthy`, `unhealthy`, `unused`, `draining` or `unavailable`."""
        with self.asking():
            found = self.api.describe_target_health(TargetGroupArn=self.arn)["TargetHealthDescriptions"]
            return {
                (one["Target"]["Id"], int(one["Target"].get("Port", 0))): str(one["TargetHealth"]["State"])
                for one in found
            }

    def healthy(self) -> int:
        """How many targets are healthy."""
        return list(self.targets().values()).count("healthy")

    def rule(self, arn: str) -> dict[str, Any]:
        """The rule as AWS gives it; `Missing` when there is none."""
        with self.asking():
            return dict(self.api.describe_rules(RuleArns=[arn])["Rules"][0])

    def weights(self, rule_arn: str) -> Weights:
        """Weight by target group of the rule's forward action; empty when it forwards nowhere."""
        return {
            group["TargetGroupArn"]: int(group.get("Weight", 1)) for group in _groups(self.rule(rule_arn)["Actions"])
        }

    def set_weight(self, rule_arn: str, weight: int, call: Call) -> Report:
        """Change this group's weight in the rule, and nothing else of it."""
        rule = self.rule(rule_arn)
        actions: list[Any] = [_sendable(action) for action in rule["Actions"]]
        mine = [group for group in _groups(actions) if group["TargetGroupArn"] == self.arn]
        if not mine:
            raise PermanentError("the rule does not forward to this target group any more")
        was = int(mine[0].get("Weight", 1))
        if was != weight:
            mine[0]["Weight"] = weight
            with self.asking():
                call.check()
                if rule.get("IsDefault"):  # belongs to its listener; ModifyRule refuses it
                    listener = rule_arn.replace(":listener-rule/", ":listener/").rpartition("/")[0]
                    self.api.modify_listener(ListenerArn=listener, DefaultActions=actions)
                else:
                    self.api.modify_rule(RuleArn=rule_arn, Actions=actions)
        return {"weight": weight, "former": was}

    def look(self) -> Observation:
        """The group and its targets. Healthy: at least one target is, and none is unhealthy."""
        with self.asking():
            group = self.api.describe_target_groups(TargetGroupArns=[self.arn])["TargetGroups"][0]
        targets = self.targets()
        states = list(targets.values())
        facts: dict[str, Any] = {
            "name": group.get("TargetGroupName", ""),
            "protocol": str(group.get("Protocol", "")),
            "port": group.get("Port", 0),
            "load_balancers": list(group.get("LoadBalancerArns", [])),
            "targets": [{"target": who, "port": port, "state": state} for (who, port), state in targets.items()],
        }
        readings = {"targets": float(len(targets)), "healthy_targets": float(states.count("healthy"))}
        if states and set(states) <= {"unused", "initial"}:  # nobody asks it yet, so nobody checks it
            return self.seen(None, facts, readings)
        return self.seen("healthy" in states and "unhealthy" not in states, facts, readings)


def _groups(actions: list[Any]) -> list[Any]:
    return [
        group
        for action in actions
        if action["Type"] == "forward"
        for group in action.get("ForwardConfig", {}).get("TargetGroups", [])
    ]


def _sendable(action: dict[str, Any]) -> dict[str, Any]:
    """A described action as ModifyRule takes it: one target group field, and the secret that is not described."""
    made = copy.deepcopy(action)
    if "ForwardConfig" in made:
        made.pop("TargetGroupArn", None)
    if "AuthenticateOidcConfig" in made:
        made["AuthenticateOidcConfig"]["UseExistingClientSecret"] = True
    return made


def _shown(weights: Weights) -> str:
    return ", ".join(f"{arn.split('/')[-2]} {weight}" for arn, weight in weights.items()) or "none"


def _target(params: Target) -> Any:
    return {"Id": params.target, "Port": params.port}
