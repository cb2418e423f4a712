"""The kinds of steps of which deployments are made, on a service in two slots behind an edge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from deployments.judge import Bin, Judgement, Verdict, judge
from drivers import connections, releases
from drivers.app import App
from drivers.errors import PermanentError, TransientError
from operations.plan import Act, Report, StepContext, Wait
from portal import clock

MINIMUM_SAMPLE = 60
"""Canary requests before any verdict but FAIL."""
TOLERATED_RATE = 0.05
"""How much above the old version's failure rate the upper bound of the new one's may lie."""
HORIZON_SECONDS = 120
"""A step that is still inconclusive then is withdrawn: silence never approves."""
PROBES = 40
"""Requests the judge itself sends through the edge per look, when users send too few."""
LOOK_SECONDS = 2.0
LOOKS_ONLY = "It only looks."
RELEASE_STAYS = "A release folder that nobody runs changes nothing; the next try finds it there."


def connect(key: str) -> App:
    """The app driver of a connection key."""
    driver = connections.load(settings.CONNECTIONS_FILE).driver(key)
    if not isinstance(driver, App):
        raise PermanentError(f"{key} is not an application with slots")
    return driver


def off_target(present: Bin, weight: int) -> bool:
    """Whether the observed split is further from ``weight`` % than chance explains (three standard deviations)."""
    total = present.canary + present.baseline
    share = weight / 100
    if not total:
        return True
    return abs(present.canary / total - share) > 3 * math.sqrt(share * (1 - share) / total) + 1 / total + 0.02


@dataclass(frozen=True)
class SlotActs:
    """The acts, bound to a way of reaching hosts: ``connect(connection key)`` gives the app driver."""

    connect: Callable[[str], Any] = connect

    @property
    def acts(self) -> tuple[Act, ...]:
        """Every kind of step, bound to these hosts."""
        return (
            Act("check", "Check the starting point", self.check_baseline, None, self.baseline_holds, LOOKS_ONLY),
            Act("fetch", "Fetch and prove the artifact", self.fetch, None, self.release_there, RELEASE_STAYS, 180),
            Act("start", "Start beside the old version", self.start_slot, self.stop_slot, self.slot_runs, "", 120),
            Act("shift", "Shift traffic", self.shift, self.shift_home, self.shifted, read=self.read_shift),
            Act(
                "judge", "Judge the new version", self.watch, None, self.judged_good, LOOKS_ONLY, 300,
                read=self.read_verdict,
            ),
            Act("prove", "Prove the result", self.prove, None, self.serves_everywhere, LOOKS_ONLY, 120),
            Act(
                "return", "Give the old version all traffic", self.shift_home, self.shift_forth, self.back_home,
                read=self.read_shift,
            ),
        )  # fmt: skip

    def _app(self, ctx: StepContext) -> App:
        app: App = self.connect(ctx.arguments["connection"])
        return app

    def _weights(self, ctx: StepContext) -> dict[str, int]:
        share = ctx.arguments["weight"]
        return {ctx.arguments["from_slot"]: 100 - share, ctx.arguments["to_slot"]: share}

    def _home(self, ctx: StepContext) -> dict[str, int]:
        return {ctx.arguments["from_slot"]: 100, ctx.arguments["to_slot"]: 0}

    def baseline_holds(self, ctx: StepContext) -> bool:
        app, slot = self._app(ctx), ctx.arguments["from_slot"]
        return app.weights() == self._home(ctx) and app.version(slot) == str(ctx.arguments["from_version"])

    def check_baseline(self, ctx: StepContext) -> Report:
        app, slot = self._app(ctx), ctx.arguments["from_slot"]
        if not self.baseline_holds(ctx):
            raise PermanentError(
                f"the plan is outdated: it was made for version {ctx.arguments['from_version']} alone in slot {slot}, "
                f"now slot {slot} runs {app.version(slot)} and the weights are {app.weights()}"
            )
        return {"serving": slot, "version": ctx.arguments["from_version"]}

    def release_there(self, ctx: StepContext) -> bool:
        return releases.digest_of(self._app(ctx).releases / ctx.params["version"]) == str(ctx.params["digest"])

    def fetch(self, ctx: StepContext) -> Report:
        ctx.log(f"fetching {ctx.params['location']}")
        path = releases.install(
            ctx.params["location"], ctx.params["digest"], self._app(ctx).releases, ctx.params["version"]
        )
        return {"release": path.name, "digest": ctx.params["digest"]}

    def slot_runs(self, ctx: StepContext) -> bool:
        app, slot = self._app(ctx), ctx.arguments["to_slot"]
        online = [worker for worker in app.workers(slot) if worker.online]
        health = app.health(slot)
        return len(online) == app.instances and health.ok and health.version == ctx.params["version"]

    def start_slot(self, ctx: StepContext) -> Report:
        workers = self._app(ctx).start_slot(ctx.arguments["to_slot"], ctx.params["version"])
        return {"slot": ctx.arguments["to_slot"], "workers": [worker.pm_id for worker in workers]}

    def stop_slot(self, ctx: StepContext) -> Report:
        """Drain and stop the new version's processes."""
        return {"stopped": self._app(ctx).stop_slot(ctx.arguments["to_slot"])}

    def shifted(self, ctx: StepContext) -> bool:
        app = self._app(ctx)
        return app.weights() == self._weights(ctx) and app.nginx.served_generation() == app.nginx.generation()

    def _seen(self, app: App) -> Report:
        return {"weights": app.weights(), "generation": app.nginx.generation(), "at": clock.now().isoformat()}

    def shift(self, ctx: StepContext) -> Report:
        app = self._app(ctx)
        switched = app.shift(self._weights(ctx), ctx.token, ctx.fence)
        ctx.log(f"generation {switched.generation} serves weights {self._weights(ctx)}")
        return self._seen(app)

    def read_shift(self, ctx: StepContext) -> Report:
        return self._seen(self._app(ctx))

    def shift_forth(self, ctx: StepContext) -> Report:
        """Give the newer version all traffic again."""
        app = self._app(ctx)
        app.shift(self._weights(ctx), f"{ctx.token}:forth", ctx.fence)
        return self._seen(app)

    def shift_home(self, ctx: StepContext) -> Report:
        """Give the old version all traffic again, in one switch."""
        app = self._app(ctx)
        app.shift(self._home(ctx), f"{ctx.token}:back", ctx.fence)
        return self._seen(app)

    def _looked_at(self, ctx: StepContext) -> tuple[Judgement, Bin, float]:
        """Judge everything seen so far: earlier judged weights, and this one since its shift."""
        since = datetime.fromisoformat(ctx.facts[ctx.position - 1]["at"])
        traffic = self._app(ctx).traffic(since)
        new, old = traffic[ctx.arguments["to_slot"]], traffic[ctx.arguments["from_slot"]]
        present = Bin(new.requests, new.errors, old.requests, old.errors)
        earlier = [Bin(**fact["bin"]) for fact in ctx.facts.values() if "bin" in fact]
        verdict = judge([*earlier, present], minimum=MINIMUM_SAMPLE, tolerated_rate=TOLERATED_RATE)
        return verdict, present, (clock.now() - since).total_seconds()

    def _passes(self, ctx: StepContext, verdict: Judgement, present: Bin) -> bool:
        enough = present.canary >= MINIMUM_SAMPLE
        return verdict.verdict is Verdict.PASS and enough and not off_target(present, ctx.arguments["weight"])

    def judged_good(self, ctx: StepContext) -> bool:
        verdict, present, _ = self._looked_at(ctx)
        return self._passes(ctx, verdict, present)

    def read_verdict(self, ctx: StepContext) -> Report:
        verdict, present, _ = self._looked_at(ctx)
        return {"verdict": verdict.verdict, "sentence": verdict.sentence, "bin": asdict(present)}

    def watch(self, ctx: StepContext) -> Report:
        verdict, present, seconds = self._looked_at(ctx)
        ctx.log(verdict.sentence)
        ctx.progress(min(present.canary, MINIMUM_SAMPLE), MINIMUM_SAMPLE)
        if verdict.verdict is Verdict.FAIL:
            raise PermanentError(f"withdrawn: {verdict.sentence}")
        if self._passes(ctx, verdict, present):
            return self.read_verdict(ctx)
        if seconds > HORIZON_SECONDS:
            raise PermanentError(f"withdrawn after {HORIZON_SECONDS} s without a verdict: {verdict.sentence}")
        self._top_up(ctx, present, seconds)
        raise Wait(LOOK_SECONDS, verdict.sentence)

    def _top_up(self, ctx: StepContext, present: Bin, seconds: float) -> None:
        """Send probes through the edge when users alone would not fill the sample within half the horizon."""
        rate = present.canary / seconds if seconds > 0 else 0.0
        if rate * HORIZON_SECONDS / 2 >= MINIMUM_SAMPLE:
            return
        failed = self._app(ctx).probe_edge(PROBES)
        ctx.log(f"few requests from users: sent {PROBES} probes of our own through the edge, {failed} failed")

    def serves_everywhere(self, ctx: StepContext) -> bool:
        app = self._app(ctx)
        return self.shifted(ctx) and app.version(ctx.arguments["to_slot"]) == ctx.params["version"]

    def prove(self, ctx: StepContext) -> Report:
        if not self.serves_everywhere(ctx):
            raise TransientError("the edge does not serve the new version alone yet")
        failed = self._app(ctx).probe_edge(PROBES // 2)
        if failed:
            raise PermanentError(f"{failed} of {PROBES // 2} probes through the edge failed on the new version")
        return {"serving": ctx.arguments["to_slot"], "version": ctx.params["version"], "probes": PROBES // 2}

    def back_home(self, ctx: StepContext) -> bool:
        return self._app(ctx).weights() == self._home(ctx)
