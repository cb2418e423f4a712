"""How a version gets its traffic: side by side in two slots, weights at the edge, judged, and back when it is worse.

Registered plans: ``deployments.canary`` (weights in steps, judged at each), ``deployments.direct`` (all at once,
proved by probes; staging) and ``deployments.switch_back`` (the old slot gets all traffic again).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from deployments.plans.acts import SlotActs, connect
from inventory.models import Component
from operations.plan import Plan, Report, StepDraft, register
from portal.errors import Invalid

CANARY_WEIGHTS = (10, 50, 100)
PARAMS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "digest", "location"],
    "properties": {
        "version": {"type": "string", "maxLength": 64},
        "digest": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
        "location": {"type": "string", "maxLength": 500},
    },
}


class OnOneHost(Plan):
    """What the plans of this app share: they change one component and run where it stands."""

    observes = True
    risk = "medium"
    # People agree to the deployment; who may run operations must not run a part of one that nobody agreed to.
    steered = True
    # The first step checks that the world still is what the plan was made for, so a draft may wait for its approver.
    draft_valid = timedelta(days=7)
    params_schema = PARAMS

    def __init__(self, reach: Callable[[str], Any] = connect) -> None:
        self.connect = reach
        self.acts = SlotActs(reach).acts

    def target(self, subject: Component) -> str:
        return subject.slug

    def queue(self, subject: Component) -> str:
        return subject.data_center.slug if subject.data_center else "default"

    def slots(self, subject: Component) -> dict[str, Any]:
        """The slot that serves now, what runs in it, and the free one. Raises ``Invalid`` when both serve."""
        app = self.connect(subject.connection)
        weights = app.weights()
        serving = [slot for slot, weight in weights.items() if weight]
        if len(serving) != 1:
            raise Invalid(f"{subject} is between two versions (weights {weights}); finish or withdraw that first.")
        version = app.version(serving[0])
        if version is None:
            raise Invalid(f"{subject} does not answer in its serving slot; mend that before deploying.")
        free = "b" if serving[0] == "a" else "a"
        return {"connection": subject.connection, "from_slot": serving[0], "to_slot": free, "from_version": version}


def bring(slots: dict[str, Any], params: Report, weights: tuple[int, ...]) -> list[StepDraft]:
    """The steps that bring a version in through ``weights`` (per cent), judged at each but the last."""
    old, new = f"{slots['from_version']} in slot {slots['from_slot']}", params["version"]
    steps = [
        StepDraft("check", f"Check that {old} serves alone", slots),
        StepDraft("fetch", f"Fetch {new} and prove its digest {params['digest'][:19]}…", slots),
        StepDraft("start", f"Start {new} in slot {slots['to_slot']}, healthy on its own port", slots),
    ]
    for weight in weights:
        arguments = {**slots, "weight": weight}
        steps.append(StepDraft("shift", f"Give {new} {weight} % of the traffic", arguments))
        if weight < 100:
            steps.append(StepDraft("judge", f"Judge {new} against {slots['from_version']} at {weight} %", arguments))
    return [*steps, StepDraft("prove", f"Prove that {new} serves alone", {**slots, "weight": 100})]


class Canary(OnOneHost):
    kind = "deployments.canary"
    title = "Canary deployment on {subject}"
    summary = "Side by side in two slots; 10 %, 50 %, 100 % of the traffic, judged at each; back when it is worse."
    permission = "deployments.request"

    def draft(self, subject: Component, params: Report) -> list[StepDraft]:
        return bring(self.slots(subject), params, CANARY_WEIGHTS)


class Direct(OnOneHost):
    kind = "deployments.direct"
    title = "Direct deployment on {subject}"
    summary = "Side by side in two slots; all traffic at once, proved by probes; back when it fails."
    permission = "deployments.request"

    def draft(self, subject: Component, params: Report) -> list[StepDraft]:
        return bring(self.slots(subject), params, (100,))


class SwitchBack(OnOneHost):
    kind = "deployments.switch_back"
    title = "Switch {subject} back"
    summary = "The warm old version gets all traffic again, in one switch."
    permission = "deployments.roll_back"
    params_schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["from_slot", "to_slot", "from_version"],
        "properties": {
            "from_slot": {"enum": ["a", "b"]},
            "to_slot": {"enum": ["a", "b"]},
            "from_version": {"type": "string", "maxLength": 64},
        },
    }

    def draft(self, subject: Component, params: Report) -> list[StepDraft]:
        warm = self.connect(subject.connection).health(params["from_slot"])
        if not warm.ok or warm.version != params["from_version"]:
            raise Invalid(f"{params['from_version']} no longer runs in slot {params['from_slot']} of {subject}.")
        arguments = {"connection": subject.connection, "weight": 100, **params}
        title = f"Give {params['from_version']} in slot {params['from_slot']} all traffic"
        return [StepDraft("return", title, arguments)]


for plan in (Canary(), Direct(), SwitchBack()):
    register(plan)
