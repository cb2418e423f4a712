"""Operations under fire: workers killed, broker and database restarted, and every effect counted by its target.

200 operations on 40 components, four workers, one of them killed with SIGKILL every two seconds. Ends with 1 unless
every operation ended done, undone or stuck with a reason, and nothing was done twice, taken back twice or left half.
The seed decides the plans, the faults of the targets and who is killed; how the processes interleave it cannot decide.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.chaos_cast import STICKS, Cast, Wanted
from bench.stage import Stage, Worker, stage
from bench.table import show

WORKERS, THREADS = 4, 4
KILL_EVERY = 2.0
ASK_EVERY = 0.2
TICK = 0.1
PATIENCE_SECONDS = 900
# What else happens, once so many of the operations have ended.
DISTURBANCES = ((0.15, "broker"), (0.4, "database"), (0.65, "broker that forgets"))
SETTLED_SECONDS = 3.0
"""After the last operation ended: time in which a worker that had lost its claim would show that it still acts."""


@dataclass
class Counts:
    """What was done to the portal during one run."""

    kills: int = 0
    ended_alone: int = 0
    broker: int = 0
    database: int = 0
    repeated: int = 0
    retried: int = 0
    seconds: float = 0.0
    undisturbed: list[tuple[float, str]] = field(default_factory=lambda: list(DISTURBANCES))


def main(options: argparse.Namespace) -> int:
    broken = []
    with stage(EDYE_BENCH="chaos") as it:
        for seed in options.seed or [secrets.randbelow(100_000)]:
            print(f"\nseed {seed}", flush=True)
            broken += _run(it, seed)
    for each in broken:
        print(f"BROKEN: {each}")
    print(f"\n{len(broken)} invariants broken" if broken else "\nEvery invariant held.")
    return 1 if broken else 0


def _run(it: Stage, seed: int) -> list[str]:
    from django.conf import settings

    from bench import chaos_judge

    cast = Cast(it.folder / f"run-{seed}", seed)
    try:
        cast.start(Path(settings.CONNECTIONS_FILE))
        run = Run(it, cast)
        try:
            run.to_the_end()
        finally:
            it.dismiss()
        broken = chaos_judge.judge(cast, run.asked)
        _tell(seed, run.counts)
        return [f"seed {seed}: {each}" for each in broken]
    finally:
        cast.stop()


class Run:
    """One run: asks for everything, disturbs everything, until everything has ended."""

    def __init__(self, it: Stage, cast: Cast) -> None:
        from bench import plans
        from operations.plan import registry
        from tests import world

        if (plans.TALLY, 1) not in registry:
            plans.register_all()
        self.stage, self.cast, self.counts = it, cast, Counts()
        self.dice = random.Random(cast.seed)
        self.components = {slug: world.component(slug, service="api") for slug in cast.components}
        self.asked: dict[str, Any] = {}
        self.to_ask: list[Wanted] = list(reversed(cast.wanted))
        self.crew: list[Worker] = []
        self.disturbance: Future[None] | None = None

    def to_the_end(self) -> None:
        self.crew = self.stage.employ(WORKERS, THREADS)
        begun = time.monotonic()
        kill_at, ask_at = begun + KILL_EVERY, begun
        while not self._ended():
            now = time.monotonic()
            if now - begun > PATIENCE_SECONDS:
                print("It took too long; what has not ended is told below.")
                break
            if now >= kill_at:
                self._kill()
                kill_at += KILL_EVERY
            self._revive()
            if now >= ask_at:
                self._ask()
                ask_at = now + ASK_EVERY
            time.sleep(TICK)
        self.counts.seconds = time.monotonic() - begun
        time.sleep(SETTLED_SECONDS)

    def _kill(self) -> None:
        victim = self.dice.choice(self.crew)
        victim.kill()
        victim.start()
        self.counts.kills += 1

    def _revive(self) -> None:
        """What ended without having been killed is started again, and counted: it should not happen."""
        for worker in self.stage.workers:
            if not worker.alive:
                self.counts.ended_alone += 1
                worker.start()

    def _ask(self) -> None:
        """Ask for the next. Whoever got no answer asks again with the same key."""
        from django.db import Error, connection

        from inventory.actions.operate import operate
        from operations import actions
        from portal import events

        if not self.to_ask:
            return
        wanted = self.to_ask[-1]
        component, key = self.components[wanted.component], f"{self.cast.seed}:{wanted.key}"
        try:
            if wanted.plan.startswith("bench."):
                asked = actions.request(wanted.plan, component, by=events.SYSTEM, params=wanted.params, key=key)
            else:
                asked = operate(component, by=events.SYSTEM, plan=wanted.plan, params=wanted.params, key=key)
        except Error:
            self.counts.repeated += 1
            connection.close()
            return
        self.asked[wanted.key] = asked
        self.to_ask.pop()

    def _ended(self) -> bool:
        """Whether nothing is left to be done; disturbs, when it is time for that."""
        from django.db import Error, connection

        from operations.models import Operation

        mine = Operation.objects.filter(pk__in=[each.pk for each in self.asked.values()])
        try:
            share = mine.filter(state__in=("done", "undone", "cancelled", "stuck")).count() / len(self.cast.wanted)
            self._mend(mine)
            active = mine.active().exclude(state="stuck").exists()
        except Error:
            connection.close()
            return False
        if self.counts.undisturbed and share >= self.counts.undisturbed[0][0] and not self._disturbing():
            what = self.counts.undisturbed.pop(0)[1]
            self.disturbance = self.stage.aside.submit(self._disturb, what)
        return not self.to_ask and not active and not self._disturbing()

    def _disturbing(self) -> bool:
        """Whether one goes on; raises what made it fail."""
        if self.disturbance is not None and self.disturbance.done():
            self.disturbance.result()
            self.disturbance = None
        return self.disturbance is not None

    def _disturb(self, what: str) -> None:
        """In another thread: meanwhile operations are asked for and workers are killed as before."""
        if what == "database":
            self.stage.crash_database()
            self.counts.database += 1
        else:
            self.stage.restart_broker(forgetting="forgets" in what)
            self.counts.broker += 1

    def _mend(self, mine: Any) -> None:
        """An operation may get stuck for want of tries. A person would tell it to try again; others wait behind it."""
        from operations import actions
        from portal import events

        meant = [self.asked[each.key].pk for each in self.cast.wanted if each.ends == STICKS and each.key in self.asked]
        for operation in mine.filter(state="stuck").exclude(pk__in=meant):
            actions.retry(operation, by=events.SYSTEM)
            self.counts.retried += 1


def _tell(seed: int, counts: Counts) -> None:
    head = ("workers killed", "ended by themselves", "broker restarts", "database crashes", "requests repeated")
    head += ("retried by hand", "wall s", "load")
    row = (counts.kills, counts.ended_alone, counts.broker, counts.database, counts.repeated, counts.retried)
    show(f"Seed {seed}: what was done to it", head, [(*row, counts.seconds, os.getloadavg()[0])])
