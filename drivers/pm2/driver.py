"""The PM2 driver.

Facts it rests on (PM2 7.0.4): any command without `PM2_HOME` starts a daemon in the caller's home, so it is always set;
its sockets live there, hence the limit on the path's length; the command hands its whole environment to the processes
it starts, so it runs with a clean one; a reload removes the *old* worker when the new one is not ready in time, so a
reload must never change the version.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from drivers import names
from drivers.acts import Call
from drivers.errors import PermanentError
from drivers.locks import Ledger, exclusive, replace_text
from drivers.pm2.acts import ACTS
from drivers.pm2.declaration import MOST_INSTANCES, declared, runs
from drivers.pm2.processes import Process, saved
from drivers.pm2.reading import Reader

LISTEN_MILLISECONDS = 15_000
_DIRECT = Call("direct")


class Pm2(Reader):
    """One PM2 daemon that can be acted on (see `Reader` for its facts).

    Acts hold the lock `portal-act.lock` of the home. Their `call` brings the claim: a lower fence than the highest
    seen for a process name is refused there (`StaleFence`), whatever the caller believes.
    """

    acts: ClassVar[tuple[Any, ...]] = ACTS

    @contextmanager
    def _claimed(self, name: str, call: Call) -> Iterator[None]:
        """Be the only one who acts here, by a claim on `name` that still holds."""
        names.name(name, "process name")
        with exclusive(self.home / "portal-act.lock", seconds=90.0):
            Ledger(self.home / "portal-fences.json").raise_fence([name], call.fence)
            call.check()
            yield

    def start(
        self,
        name: str,
        script: Path | str,
        cwd: Path | str,
        instances: int,
        env: Mapping[str, str],
        port: int,
        call: Call = _DIRECT,
    ) -> list[Process]:
        """Start `instances` cluster workers of `script` and return them when all are ready.

        The process gets exactly `env` plus `PORT`. It must tell PM2 that it is ready (`process.send("ready")`) within
        15 s and end within 8 s of SIGINT. When the same thing already runs, nothing is changed. `PermanentError` when
        something else runs under the name, or when a worker crashes or is not ready in time: the attempt is then
        deleted, and the message ends with its error log.
        """
        wanted = declared(name, script, cwd, instances, env, port, listen=LISTEN_MILLISECONDS)
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._claimed(name, call):
            running = self.processes(name)
            if running:
                if not runs(running, wanted):
                    raise PermanentError(f"pm2 already runs something else as {name}; delete it first")
                return running
            self._start(wanted)
            try:
                return self._until(
                    lambda: self._all_ready(name, instances), LISTEN_MILLISECONDS / 1000, f"{name} was not ready"
                )
            except PermanentError as error:
                reason = f"{error}: {self._log_tail(name)}"
                self._delete(name)
                raise PermanentError(reason) from None

    def _start(self, wanted: Mapping[str, Any]) -> None:
        """Hand PM2 a declaration file: values in it never pass through argument parsing."""
        handle, path = tempfile.mkstemp(dir=self.home, prefix="start-", suffix=".json")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump({"apps": [wanted]}, file)
            self.daemon.run("start", path, seconds=60.0)
        finally:
            Path(path).unlink()

    def _all_ready(self, name: str, instances: int) -> list[Process] | None:
        found = self.processes(name)
        if any(process.restarts or process.status == "errored" for process in found):
            raise PermanentError(f"{name} crashed while it started")
        return found if len(found) == instances and all(process.online for process in found) else None

    def reload(self, pm_id: int, *, old_pid: int | None = None, call: Call = _DIRECT) -> Process:
        """Replace one worker by a fresh one of the same version; return it when it is online under a new pid.

        `old_pid` makes repeating safe: when the worker already has another pid, it has been replaced and nothing is
        done. `PermanentError` when the new worker crashes or never comes.
        """
        names.whole(pm_id, 0, 10**6, "pm2 id")
        self.needs_daemon()
        with self._claimed(self.process(pm_id).name, call):
            before = self.process(pm_id)
            if old_pid is not None and before.online and before.pid != old_pid:
                return before
            self.daemon.call("reloadProcessId", {"id": pm_id})
            return self._until(
                lambda: self._replaced(before), LISTEN_MILLISECONDS / 1000, f"the new {before.name} is not online"
            )

    def roll(self, name: str, pids: Collection[int], call: Call = _DIRECT) -> list[Process]:
        """Reload the workers of `name` that are still one of `pids`, one after another, each gated by health.

        The claim is proved anew for each worker: whoever took over in between goes on from where this one stops.
        """
        found = self.known(name)
        for place, worker in enumerate(found):
            call.progress(place, len(found))
            if worker.pid in pids:
                fresh = self.reload(worker.pm_id, old_pid=worker.pid, call=call)
                call.log(f"Worker {worker.pm_id} of {name} is process {fresh.pid} now")
            reason = self.becomes_well(name)
            if reason:
                raise PermanentError(f"{name} does not serve well after its worker {worker.pm_id}: {reason}")
        call.progress(len(found), len(found))
        return self.known(name)

    def _replaced(self, before: Process) -> Process | None:
        now = self.process(before.pm_id)
        if now.status == "errored" or now.restarts > before.restarts + 1:
            raise PermanentError(f"the new worker of {now.name} crashes: {self._log_tail(now.name)}")
        return now if now.online and now.pid != before.pid else None

    def delete(self, name: str, call: Call = _DIRECT) -> bool:
        """Stop and forget every process called `name`, gracefully; False when there was none."""
        names.name(name, "process name")
        if self.daemon_pid() is None:
            return False
        with self._claimed(name, call):
            return self._delete(name)

    def _delete(self, name: str) -> bool:
        found = self.processes(name)
        if not found:
            return False
        self._remove(name, [process.pm_id for process in found])
        return True

    def stop(self, name: str, call: Call = _DIRECT, only: Collection[int] | None = None) -> list[Process]:
        """End the processes called `name` (of `only` these ids), gracefully, and keep them known to PM2."""
        self.needs_daemon()
        with self._claimed(name, call):
            self._end(name, [one.pm_id for one in self.known(name) if only is None or one.pm_id in only])
            self._save()
            return self.known(name)

    def _end(self, name: str, ids: Collection[int]) -> None:
        self._settle(
            "stopProcessId",
            lambda: [one.pm_id for one in self.processes(name) if one.pm_id in ids and one.status != "stopped"],
            f"{name} is not stopped",
        )

    def _remove(self, name: str, ids: Collection[int]) -> None:
        self._settle(
            "deleteProcessId",
            lambda: [one.pm_id for one in self.processes(name) if one.pm_id in ids],
            f"{name} is still there after its deletion",
        )

    def _settle(self, method: str, left: Callable[[], list[int]], otherwise: str) -> None:
        """Ask for the end of what is left until nothing is, at two looks: one that keeps crashing comes back between.

        PM2 refuses a process that has just vanished, which is what was wanted.
        """
        quiet = 0

        def settled() -> bool | None:
            nonlocal quiet
            ids = left()
            quiet = 0 if ids else quiet + 1
            with suppress(PermanentError):
                self.daemon.calls([(method, [pm_id]) for pm_id in ids])
            return quiet == 2 or None

        self._until(settled, 20.0, otherwise)

    def resume(self, name: str, call: Call = _DIRECT, only: Collection[int] | None = None) -> list[Process]:
        """Start the processes called `name` that do not run (of `only` these ids), and see that they can serve.

        `PermanentError` when one crashes or does not answer its probe well; those just started are stopped again.
        """
        self.needs_daemon()
        with self._claimed(name, call):
            idle = [one for one in self.known(name) if not one.online and (only is None or one.pm_id in only)]
            self._bring_up(name, idle, [("startProcessId", [one.pm_id]) for one in idle], give_up=True)
            return self.known(name)

    def restart(self, name: str, pids: Collection[int], call: Call = _DIRECT) -> list[Process]:
        """End and start anew, all at once, the processes called `name` that are still one of `pids` or do not run."""
        self.needs_daemon()
        with self._claimed(name, call):
            old = [one for one in self.known(name) if one.pid in pids or not one.online]
            self._bring_up(name, old, [("restartProcessId", [{"id": one.pm_id}]) for one in old], give_up=False)
            return self.known(name)

    def _bring_up(self, name: str, old: list[Process], calls: list[tuple[str, list[Any]]], *, give_up: bool) -> None:
        if not calls:
            return
        limits = {one.pm_id: one.restarts + one.online for one in old}
        self.daemon.calls(calls)
        reason = self._crash(name, limits)
        # Processes that were left alone on purpose say nothing about those that were started.
        reason = reason or (self.becomes_well(name) if len(old) == len(self.known(name)) else None)
        if reason is None:
            self._save()
            return
        if give_up:
            self._end(name, [one.pm_id for one in old])
        raise PermanentError(f"{name} does not serve after its start: {reason}")

    def scale(self, name: str, instances: int, call: Call = _DIRECT) -> list[Process]:
        """Run `instances` processes called `name`: copies of the first, or without those that came last.

        `PermanentError` when what was added crashes or does not serve; it is removed again.
        """
        names.whole(instances, 1, MOST_INSTANCES, "number of instances")
        self.needs_daemon()
        with self._claimed(name, call):
            found = self.known(name)
            # What does not run goes first, then what came last.
            surplus = sorted(found, key=lambda one: (one.online, -one.pm_id))[: max(0, len(found) - instances)]
            if surplus:
                self._remove(name, [one.pm_id for one in surplus])
            for place in range(instances - len(found)):
                call.check()
                call.log(f"Adding process {len(found) + place + 1} of {name}")
                self.daemon.call("duplicateProcessId", found[0].pm_id)
            if instances > len(found):
                self._grown(name, {one.pm_id for one in found})
            if instances != len(found):
                self._save()
            return self.known(name)

    def _grown(self, name: str, former: Collection[int]) -> None:
        fresh = [one for one in self.known(name) if one.pm_id not in former]
        reason = self._crash(name, {one.pm_id: 0 for one in fresh}) or self.becomes_well(name)
        if reason:
            self._remove(name, [one.pm_id for one in fresh])
            raise PermanentError(f"{name} does not serve with more processes: {reason}")

    def _crash(self, name: str, limits: Mapping[int, int]) -> str | None:
        """Why one of `limits` has not started, or what it said when it was restarted more often than that; or None.

        PM2 may answer before a worker has started or died, and on a busy machine much before: only then is it known.
        """

        def told() -> str | None:
            found = [one for one in self.known(name) if one.pm_id in limits]
            if any(one.status == "errored" or one.restarts > limits[one.pm_id] for one in found):
                return f"it crashes: {self._log_tail(name)}"
            return "" if all(one.online for one in found) else None

        try:
            return self._until(told, LISTEN_MILLISECONDS / 1000, "it has not started") or None
        except PermanentError as error:
            return str(error)

    def save(self) -> None:
        """Remember the present processes for the next start of the machine."""
        self.needs_daemon()
        with exclusive(self.home / "portal-act.lock", seconds=90.0):
            self._save()

    def _save(self) -> None:
        """What `pm2 save --force` writes, but in one rename; the home is closed to others, as it holds environments."""
        listed = self.daemon.call("getMonitorData", {}, seconds=20.0)
        replace_text(self.home / "dump.pm2", json.dumps(saved(listed), indent=2))

    def kill(self) -> bool:
        """End the daemon and everything under it; False when it did not run."""
        if self.daemon_pid() is None:
            return False
        with exclusive(self.home / "portal-act.lock", seconds=90.0):
            self.daemon.run("kill", seconds=60.0)
            self._until(lambda: self.daemon_pid() is None or None, 10.0, "the pm2 daemon is still there")
        return True
