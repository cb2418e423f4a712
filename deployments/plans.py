"""How a version gets its traffic: side by side in two slots, weights at the edge, judged, and back when it is worse.

Registered plans: ``deployments.canary`` (weights in steps, judged at each), ``deployments.direct`` (all at once,
proved by probes; staging) and ``deployments.switch_back`` (the old slot gets all traffic again).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from deployments.judge import Bin, Judgement, Verdict, judge
from drivers import connections, releases
from drivers.app import App
from drivers.errors import PermanentError, TransientError
from inventory.models import Component
from operations.plan import Act, Plan, Report, StepContext, StepDraft, Wait, register
from portal import clock
from portal.errors import Invalid

CANARY_WEIGHTS = (10, 50, 100)
MINIMUM_SAMPLE = 60
"""Canary requests before any verdict but FAIL."""
TOLERATED_RATE = 0.05
"""How much above the old version's failure rate the upper bound of the new one's may lie."""
HORIZON_SECONDS = 120
"""A step that is still inconclusive then is withdrawn: silence never approves."""
PROBES = 40
"""Requests the judge itself sends through the edge per look, when users send too few."""
LOOK_SECONDS = 2.0
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


def connect(key: str) -> App:
    """The app driver of a connection key. Tests put a simulated one in its place."""
    driver = connections.load(settings.CONNECTIONS_FILE).driver(key)
    if not isinstance(driver, App):
        raise PermanentError(f"{key} is not an application with slots")
    return driver


def _app(ctx: StepContext) -> App:
    return connect(ctx.arguments["connection"])


def _weights(ctx: StepContext) -> dict[str, int]:
    share = ctx.arguments["weight"]
    return {ctx.arguments["from_slot"]: 100 - share, ctx.arguments["to_slot"]: share}


def _home(ctx: StepContext) -> dict[str, int]:
    return {ctx.arguments["from_slot"]: 100, ctx.arguments["to_slot"]: 0}


# -- baseline ----------------------------------------------------------------------------------------------------------


def baseline_holds(ctx: StepContext) -> bool:
    app, slot = _app(ctx), ctx.arguments["from_slot"]
    return app.weights() == _home(ctx) and app.version(slot) == ctx.arguments["from_version"]


def check_baseline(ctx: StepContext) -> Report:
    app, slot = _app(ctx), ctx.arguments["from_slot"]
    if not baseline_holds(ctx):
        raise PermanentError(
            f"the plan is outdated: it was made for version {ctx.arguments['from_version']} alone in slot {slot}, "
            f"now slot {slot} runs {app.version(slot)} and the weights are {app.weights()}"
        )
    return {"serving": slot, "version": ctx.arguments["from_version"]}


# -- artifact ----------------------------------------------------------------------------------------------------------


def release_there(ctx: StepContext) -> bool:
    return releases.digest_of(_app(ctx).releases / ctx.params["version"]) == ctx.params["digest"]


def fetch(ctx: StepContext) -> Report:
    ctx.log(f"fetching {ctx.params['location']}")
    path = releases.install(ctx.params["location"], ctx.params["digest"], _app(ctx).releases, ctx.params["version"])
    return {"release": path.name, "digest": ctx.params["digest"]}


# -- slot --------------------------------------------------------------------------------------------------------------


def slot_runs(ctx: StepContext) -> bool:
    app, slot = _app(ctx), ctx.arguments["to_slot"]
    online = [worker for worker in app.workers(slot) if worker.online]
    health = app.health(slot)
    return len(online) == app.instances and health.ok and health.version == ctx.params["version"]


def start_slot(ctx: StepContext) -> Report:
    workers = _app(ctx).start_slot(ctx.arguments["to_slot"], ctx.params["version"])
    return {"slot": ctx.arguments["to_slot"], "workers": [worker.pm_id for worker in workers]}


def stop_slot(ctx: StepContext) -> Report:
    """Drain and stop the new version's processes."""
    return {"stopped": _app(ctx).stop_slot(ctx.arguments["to_slot"])}


# -- traffic -----------------------------------------------------------------------------------------------------------


def shifted(ctx: StepContext) -> bool:
    app = _app(ctx)
    return app.weights() == _weights(ctx) and app.nginx.served_generation() == app.nginx.generation()


def _seen(app: App) -> Report:
    return {"weights": app.weights(), "generation": app.nginx.generation(), "at": clock.now().isoformat()}


def shift(ctx: StepContext) -> Report:
    app = _app(ctx)
    switched = app.shift(_weights(ctx), ctx.token, ctx.fence)
    ctx.log(f"generation {switched.generation} serves weights {_weights(ctx)}")
    return _seen(app)


def read_shift(ctx: StepContext) -> Report:
    return _seen(_app(ctx))


def shift_home(ctx: StepContext) -> Report:
    """Give the old version all traffic again, in one switch."""
    app = _app(ctx)
    app.shift(_home(ctx), f"{ctx.token}:back", ctx.fence)
    return _seen(app)


# -- judging -----------------------------------------------------------------------------------------------------------


def _looked_at(ctx: StepContext) -> tuple[Judgement, Bin, float]:
    """Judge everything seen so far: earlier judged weights, and this one since its shift."""
    since = datetime.fromisoformat(ctx.facts[ctx.position - 1]["at"])
    traffic = _app(ctx).traffic(since)
    new, old = traffic[ctx.arguments["to_slot"]], traffic[ctx.arguments["from_slot"]]
    present = Bin(new.requests, new.errors, old.requests, old.errors)
    earlier = [Bin(**fact["bin"]) for fact in ctx.facts.values() if "bin" in fact]
    verdict = judge([*earlier, present], minimum=MINIMUM_SAMPLE, tolerated_rate=TOLERATED_RATE)
    return verdict, present, (clock.now() - since).total_seconds()


def off_target(present: Bin, weight: int) -> bool:
    """Whether the observed split is further from ``weight`` % than chance explains (three standard deviations)."""
    total = present.canary + present.baseline
    share = weight / 100
    if not total:
        return True
    return abs(present.canary / total - share) > 3 * math.sqrt(share * (1 - share) / total) + 1 / total + 0.02


def _passes(ctx: StepContext, verdict: Judgement, present: Bin) -> bool:
    enough = present.canary >= MINIMUM_SAMPLE
    return verdict.verdict is Verdict.PASS and enough and not off_target(present, ctx.arguments["weight"])


def judged_good(ctx: StepContext) -> bool:
    verdict, present, _ = _looked_at(ctx)
    return _passes(ctx, verdict, present)


def read_verdict(ctx: StepContext) -> Report:
    verdict, present, _ = _looked_at(ctx)
    return {"verdict": verdict.verdict, "sentence": verdict.sentence, "bin": asdict(present)}


def watch(ctx: StepContext) -> Report:
    verdict, present, seconds = _looked_at(ctx)
    ctx.log(verdict.sentence)
    ctx.progress(min(present.canary, MINIMUM_SAMPLE), MINIMUM_SAMPLE)
    if verdict.verdict is Verdict.FAIL:
        raise PermanentError(f"withdrawn: {verdict.sentence}")
    if _passes(ctx, verdict, present):
        return read_verdict(ctx)
    if seconds > HORIZON_SECONDS:
        raise PermanentError(f"withdrawn after {HORIZON_SECONDS} s without a verdict: {verdict.sentence}")
    _top_up(ctx, present, seconds)
    raise Wait(LOOK_SECONDS, verdict.sentence)


def _top_up(ctx: StepContext, present: Bin, seconds: float) -> None:
    """Send probes through the edge when users alone would not fill the sample within half the horizon."""
    rate = present.canary / seconds if seconds > 0 else 0.0
    if rate * HORIZON_SECONDS / 2 >= MINIMUM_SAMPLE:
        return
    failed = _app(ctx).probe_edge(PROBES)
    ctx.log(f"few requests from users: sent {PROBES} probes of our own through the edge, {failed} failed")


def serves_everywhere(ctx: StepContext) -> bool:
    app = _app(ctx)
    return shifted(ctx) and app.version(ctx.arguments["to_slot"]) == ctx.params["version"]


def prove(ctx: StepContext) -> Report:
    if not serves_everywhere(ctx):
        raise TransientError("the edge does not serve the new version alone yet")
    failed = _app(ctx).probe_edge(PROBES // 2)
    if failed:
        raise PermanentError(f"{failed} of {PROBES // 2} probes through the edge failed on the new version")
    return {"serving": ctx.arguments["to_slot"], "version": ctx.params["version"], "probes": PROBES // 2}


LOOKS_ONLY = "It only looks."
CHECK = Act("check", "Check the starting point", check_baseline, None, baseline_holds, why_no_undo=LOOKS_ONLY)
FETCH = Act(
    "fetch",
    "Fetch and prove the artifact",
    fetch,
    None,
    release_there,
    why_no_undo="A release folder that nobody runs changes nothing; the next try finds it there.",
    timeout_seconds=180,
)
START = Act("start", "Start the new version beside the old", start_slot, stop_slot, slot_runs, timeout_seconds=120)
SHIFT = Act("shift", "Shift traffic at the edge", shift, shift_home, shifted, timeout_seconds=60, read=read_shift)
JUDGE = Act(
    "judge", "Judge the new version", watch, None, judged_good, why_no_undo=LOOKS_ONLY, read=read_verdict,
    timeout_seconds=300,
)  # fmt: skip
PROVE = Act("prove", "Prove the result", prove, None, serves_everywhere, why_no_undo=LOOKS_ONLY, timeout_seconds=120)


class _OnOneHost(Plan):
    """What the plans of this app share: they change one component and run where it stands."""

    observes = True
    # The first step checks that the world still is what the plan was made for, so a draft may wait for its approver.
    draft_valid = timedelta(days=7)
    params_schema = PARAMS

    def target(self, subject: Component) -> str:
        return subject.slug

    def queue(self, subject: Component) -> str:
        return subject.data_center.slug if subject.data_center else "default"

    def _slots(self, subject: Component) -> dict[str, Any]:
        """The slot that serves now, what runs in it, and the free one. Raises ``Invalid`` when both serve."""
        app = connect(subject.connection)
        weights = app.weights()
        serving = [slot for slot, weight in weights.items() if weight]
        if len(serving) != 1:
            raise Invalid(f"{subject} is between two versions (weights {weights}); finish or withdraw that first.")
        version = app.version(serving[0])
        if version is None:
            raise Invalid(f"{subject} does not answer in its serving slot; mend that before deploying.")
        free = "b" if serving[0] == "a" else "a"
        return {"connection": subject.connection, "from_slot": serving[0], "to_slot": free, "from_version": version}


def _bring(weights: tuple[int, ...], judged: bool) -> Callable[[dict[str, Any], dict[str, Any]], list[StepDraft]]:
    """The drafting of a plan that shifts through ``weights``, judging after each when ``judged``."""

    def draft(slots: dict[str, Any], params: dict[str, Any]) -> list[StepDraft]:
        old, new = f"{slots['from_version']} in slot {slots['from_slot']}", params["version"]
        steps = [
            StepDraft("check", f"Check that {old} serves alone", slots),
            StepDraft("fetch", f"Fetch {new} and prove its digest {params['digest'][:19]}…", slots),
            StepDraft("start", f"Start {new} in slot {slots['to_slot']}, healthy on its own port", slots),
        ]
        for weight in weights:
            arguments = {**slots, "weight": weight}
            steps.append(StepDraft("shift", f"Give {new} {weight} % of the traffic", arguments))
            if judged and weight < 100:
                steps.append(
                    StepDraft("judge", f"Judge {new} against {slots['from_version']} at {weight} %", arguments)
                )
        steps.append(StepDraft("prove", f"Prove that {new} serves alone", {**slots, "weight": 100}))
        return steps

    return draft


class Canary(_OnOneHost):
    kind = "deployments.canary"
    title = "Canary deployment"
    summary = "Side by side in two slots; 10 %, 50 %, 100 % of the traffic, judged at each; back when it is worse."
    permission = "deployments.request"
    acts = (CHECK, FETCH, START, SHIFT, JUDGE, PROVE)

    def draft(self, subject: Component, params: Report) -> list[StepDraft]:
        return _bring(CANARY_WEIGHTS, judged=True)(self._slots(subject), params)


class Direct(_OnOneHost):
    kind = "deployments.direct"
    title = "Direct deployment"
    summary = "Side by side in two slots; all traffic at once, proved by probes; back when it fails."
    permission = "deployments.request"
    acts = (CHECK, FETCH, START, SHIFT, PROVE)

    def draft(self, subject: Component, params: Report) -> list[StepDraft]:
        return _bring((100,), judged=False)(self._slots(subject), params)


# -- switching back ----------------------------------------------------------------------------------------------------


def back_home(ctx: StepContext) -> bool:
    return _app(ctx).weights() == _home(ctx)


class SwitchBack(_OnOneHost):
    kind = "deployments.switch_back"
    title = "Switch back"
    summary = "The warm old version gets all traffic again, in one switch."
    permission = "deployments.roll_back"
    acts = (
        Act(
            "return",
            "Give the old version all traffic",
            shift_home,
            None,
            back_home,
            why_no_undo="The version that was withdrawn is not brought back by itself.",
            read=read_shift,
        ),
    )
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
        warm = connect(subject.connection).health(params["from_slot"])
        if not warm.ok or warm.version != params["from_version"]:
            raise Invalid(f"{params['from_version']} no longer runs in slot {params['from_slot']} of {subject}.")
        arguments = {"connection": subject.connection, **params}
        title = f"Give {params['from_version']} in slot {params['from_slot']} all traffic"
        return [StepDraft("return", title, arguments)]


for plan in (Canary(), Direct(), SwitchBack()):
    register(plan)
