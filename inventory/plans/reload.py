"""The rolling reload of an application's workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from drivers.base import DriverError, PermanentError, TransientError
from drivers.registry import LABELS
from inventory.models import Component
from inventory.plans.connect import driver, queue_of
from operations.plan import Act, Plan, StepContext, StepDraft
from portal.errors import Conflict, Invalid

Output = dict[str, Any]


class Worker(Protocol):
    """One process, as PM2 lists it."""

    @property
    def pm_id(self) -> int: ...
    @property
    def pid(self) -> int: ...
    @property
    def version(self) -> str | None: ...
    @property
    def online(self) -> bool: ...


class Answer(Protocol):
    """What a slot says of itself on its own port."""

    @property
    def ok(self) -> bool: ...
    @property
    def version(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


class Manager(Protocol):
    """The process manager beneath an application."""

    def reload(self, pm_id: int, *, old_pid: int | None = None) -> Worker: ...


class Application(Protocol):
    """As much of ``drivers.app.App`` as a reload needs."""

    @property
    def pm2(self) -> Manager: ...
    def serving(self) -> str: ...
    def workers(self, slot: str) -> Sequence[Worker]: ...
    def health(self, slot: str) -> Answer: ...
    def reload_worker(self, pm_id: int, *, old_pid: int | None = None) -> Worker: ...
    def start_slot(self, slot: str, version: str) -> Sequence[Worker]: ...


def connect(key: str) -> Application:
    """The driver of the application that is known as ``key``."""
    return cast(Application, driver(key))


class Reload(Plan):
    """Replace the workers of the serving slot one after the other, each by a fresh one of the same version.

    A service that is healthy when the plan is made must be so again after each worker; then the reload goes on. One
    that is ill already may be cured only by the last worker's reload, so it is only asked at the end.
    ``app`` gives the driver for a connection key.
    """

    kind = "inventory.reload"
    family = LABELS["app"]
    title = "Reload {subject}"
    summary = "Every worker is replaced by a fresh one of the same version, one at a time, while the others serve."
    permission = "inventory.reload"
    observes = True
    risk = "low"
    applies_to = "applications that run under PM2 in two slots"
    needs = "A healthy service, if it is to stay so: after each worker the health of its slot is asked."

    def __init__(self, app: Callable[[str], Application] = connect) -> None:
        self.app = app
        looks = "It only looks, so there is nothing to take back."
        self.acts = (
            Act("check", "Check the workers", self.check, None, self.checked, looks, 30, read=self.counted),
            Act(
                "reload_worker",
                "Reload a worker",
                self.reload,
                self.bring_up,
                self.reloaded,
                timeout_seconds=120,
                read=self.replaced,
            ),
            Act("gate", "Health gate", self.gate, None, self.answers, looks, 60),
            Act("whole", "Check the service", self.whole, None, self.is_whole, looks, 60, read=self.counted),
        )

    def fits(self, subject: Any) -> bool:
        return isinstance(subject, Component) and subject.kind == Component.Kind.APP and bool(subject.connection)

    def target(self, subject: Component) -> str:
        return subject.slug

    def queue(self, subject: Component) -> str:
        return queue_of(subject)

    def draft(self, subject: Component, params: Output) -> list[StepDraft]:
        """Look at what runs now and write one step per worker, with the process id that is to be replaced."""
        if subject.kind != Component.Kind.APP or not subject.connection:
            raise Invalid("Only an application whose connection is known can be reloaded.")
        try:
            app = self.app(subject.connection)
            slot = app.serving()
            workers, health = list(app.workers(slot)), app.health(slot)
        except DriverError as error:
            raise Conflict(f"{subject} cannot be looked at now: {error}") from None
        if not workers:
            raise Conflict(f"No worker of {subject} runs, so there is nothing to reload.")
        gated = health.ok and all(worker.online for worker in workers)
        common = {"connection": subject.connection, "slot": slot, "gated": gated, "version": workers[0].version}
        counted = {**common, "workers": [worker.pm_id for worker in workers], "times": len(workers) + 1}
        state = "healthy" if gated else "there, though the service is not healthy now"
        steps = [StepDraft("check", f"Check that {len(workers)} workers of slot {slot} are {state}", counted)]
        for worker in workers:
            replaced = {**common, "pm_id": worker.pm_id, "pid": worker.pid}
            steps.append(StepDraft("reload_worker", f"Reload worker {worker.pm_id} (process {worker.pid})", replaced))
            if gated:
                title = f"Wait until slot {slot} answers healthy {counted['times']} times in a row"
                steps.append(StepDraft("gate", title, counted))
        title = f"Check that all {len(workers)} workers run and the service is healthy"
        return [*steps, StepDraft("whole", title, counted)]

    # -- check -----------------------------------------------------------------------------------------------------

    def _absent(self, ctx: StepContext) -> list[int]:
        online = {worker.pm_id for worker in self._workers(ctx) if worker.online or not ctx.arguments["gated"]}
        return [pm_id for pm_id in ctx.arguments["workers"] if pm_id not in online]

    def checked(self, ctx: StepContext) -> bool:
        healthy = not ctx.arguments["gated"] or self._app(ctx).health(ctx.arguments["slot"]).ok
        return healthy and not self._absent(ctx)

    def check(self, ctx: StepContext) -> Output:
        """Say what is missing. Nothing has been changed yet, so the plan ends here."""
        if absent := self._absent(ctx):
            raise PermanentError(f"worker {', '.join(map(str, absent))} is not there any more")
        health = self._app(ctx).health(ctx.arguments["slot"])
        if ctx.arguments["gated"] and not health.ok:
            raise PermanentError(f"the service was healthy when this was planned and is not now: {health.error}")
        return self.counted(ctx)

    def counted(self, ctx: StepContext) -> Output:
        """What runs: a line per worker for people, and as facts."""
        workers = self._workers(ctx)
        for worker in workers:
            ctx.log(f"Worker {worker.pm_id}: process {worker.pid}, {'online' if worker.online else 'not online'}")
        return {"workers": [{"pm_id": w.pm_id, "pid": w.pid, "online": w.online} for w in workers]}

    # -- reload ----------------------------------------------------------------------------------------------------

    def reloaded(self, ctx: StepContext) -> bool:
        worker = self._worker(ctx)
        replaced = worker is not None and worker.online and worker.pid != ctx.arguments["pid"]
        return replaced and (not ctx.arguments["gated"] or self._app(ctx).health(ctx.arguments["slot"]).ok)

    def reload(self, ctx: StepContext) -> Output:
        """Replace this worker; PM2 keeps the old one until the new one says that it is ready."""
        pm_id, old = ctx.arguments["pm_id"], ctx.arguments["pid"]
        ctx.log(f"Reloading worker {pm_id}; process {old} serves until its successor is ready.")
        app = self._app(ctx)
        fresh = app.reload_worker(pm_id, old_pid=old) if ctx.arguments["gated"] else app.pm2.reload(pm_id, old_pid=old)
        ctx.log(f"Process {fresh.pid} serves version {fresh.version or 'unknown'}.")
        return self._replacement(ctx, fresh)

    def replaced(self, ctx: StepContext) -> Output:
        """What was reloaded by somebody who did not live to say so."""
        fresh = self._worker(ctx)
        return self._replacement(ctx, fresh) if fresh else {}

    @staticmethod
    def _replacement(ctx: StepContext, fresh: Worker) -> Output:
        wanted = {"pm_id": ctx.arguments["pm_id"], "replaced": ctx.arguments["pid"]}
        return {**wanted, "pid": fresh.pid, "version": fresh.version}

    def bring_up(self, ctx: StepContext) -> Output:
        """The old process is gone for good, and its successor runs the same version: makes sure that it is up."""
        app, slot, version = self._app(ctx), ctx.arguments["slot"], ctx.arguments["version"]
        worker = self._worker(ctx)
        if worker is None and not self._workers(ctx) and version:
            ctx.log(f"No worker of slot {slot} is left; starting version {version} again.")
            app.start_slot(slot, version)
        elif worker is None:
            raise PermanentError(f"worker {ctx.arguments['pm_id']} is gone from PM2, while others still serve")
        elif not worker.online:
            ctx.log(f"Worker {worker.pm_id} is down; starting it again.")
            app.pm2.reload(worker.pm_id)
        if ctx.arguments["gated"] and not (health := app.health(slot)).ok:
            raise TransientError(f"slot {slot} is not healthy: {health.error}")
        worker = self._worker(ctx)
        return {"pm_id": ctx.arguments["pm_id"], "pid": worker.pid if worker else None}

    # -- gates -----------------------------------------------------------------------------------------------------

    def answers(self, ctx: StepContext) -> bool:
        times = ctx.arguments["times"]
        for answered in range(times):
            ctx.progress(answered, times)
            if not self._app(ctx).health(ctx.arguments["slot"]).ok:
                return False
        ctx.progress(times, times)
        return True

    def gate(self, ctx: StepContext) -> Output:
        """It did not answer healthy a moment ago. Fresh workers may need one, so this is asked again a few times."""
        if not self.answers(ctx):
            health = self._app(ctx).health(ctx.arguments["slot"])
            raise TransientError(f"slot {ctx.arguments['slot']} is not healthy: {health.error or 'now and then'}")
        return {"answers": ctx.arguments["times"]}

    def is_whole(self, ctx: StepContext) -> bool:
        online = {worker.pm_id for worker in self._workers(ctx) if worker.online}
        return online.issuperset(ctx.arguments["workers"]) and self.answers(ctx)

    def whole(self, ctx: StepContext) -> Output:
        """Something is missing. It may still come, so this is asked again a few times."""
        online = [worker.pm_id for worker in self._workers(ctx) if worker.online]
        if missing := sorted(set(ctx.arguments["workers"]) - set(online)):
            raise TransientError(f"worker {', '.join(map(str, missing))} is not online")
        return self.gate(ctx) | self.counted(ctx)

    # -- means -----------------------------------------------------------------------------------------------------

    def _app(self, ctx: StepContext) -> Application:
        return self.app(ctx.arguments["connection"])

    def _workers(self, ctx: StepContext) -> list[Worker]:
        return list(self._app(ctx).workers(ctx.arguments["slot"]))

    def _worker(self, ctx: StepContext) -> Worker | None:
        return next((worker for worker in self._workers(ctx) if worker.pm_id == ctx.arguments["pm_id"]), None)
