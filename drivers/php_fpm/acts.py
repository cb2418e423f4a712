"""What can be done to a pool: reload it, change one of its numbers, empty the opcache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Nothing, Parameters, Report, Risk
from drivers.errors import TransientError
from drivers.php_fpm import pool_file

if TYPE_CHECKING:
    from drivers.php_fpm.driver import PhpFpm

RESET_SECONDS = 15.0


def graceful(driver: PhpFpm) -> Condition:
    """The condition without which a reload loses requests."""
    seconds = driver.grace_seconds()
    return Condition(
        "process_control_timeout is set, so that running requests are finished", seconds > 0, f"it is {seconds} s"
    )


def loadable(driver: PhpFpm) -> Condition:
    faults = driver.faults()
    return Condition("PHP-FPM accepts its configuration", not faults, faults)


class Reload(Act["PhpFpm", Nothing]):
    """SIGUSR2 to the master."""

    name = "reload"
    title = "Reload PHP-FPM"
    summary = (
        "The master finishes running requests, starts itself afresh and replaces the workers of all its pools. "
        "Requests that arrive meanwhile wait, at most for process_control_timeout. The opcache is empty afterwards, "
        "so that the first requests are slower."
    )
    risk = Risk.MEDIUM
    why_no_undo = "Workers that have ended cannot be brought back; the configuration is what lies on the host."
    timeout_seconds = 300

    def conditions(self, driver: PhpFpm, params: Nothing) -> list[Condition]:
        return [graceful(driver), loadable(driver)]

    def before(self, driver: PhpFpm, params: Nothing) -> Report:
        return driver.generation()

    def sends(self, driver: PhpFpm, params: Nothing, before: Mapping[str, Any]) -> list[str]:
        return [f"kill -USR2 {before['master']}"]

    def done(self, driver: PhpFpm, params: Nothing, before: Mapping[str, Any]) -> bool:
        now = driver.generation()
        return now["started"] != before["started"] and not set(now["workers"]) & set(before["workers"])

    def do(self, driver: PhpFpm, params: Nothing, before: Mapping[str, Any], call: Call) -> Report:
        with driver.machine.alone(driver.state, call.fence):
            if self.done(driver, params, before):
                return driver.generation()
            return driver.restart_workers(dict(before), call)


class PoolParameters(Parameters):
    name: Annotated[
        Literal[
            "pm.max_children",
            "pm.start_servers",
            "pm.min_spare_servers",
            "pm.max_spare_servers",
            "pm.max_requests",
        ],
        Meta(title="Parameter"),
    ]
    value: Annotated[int, Meta(title="Value", ge=0, le=10_000)]


class SetPoolParameter(Act["PhpFpm", PoolParameters]):
    """One line of the pool's file, proved before it is put in place, then a reload."""

    name = "set-pool-parameter"
    title = "Set {name} to {value}"
    summary = (
        "One number in the pool's file is changed after PHP-FPM has accepted a copy, then PHP-FPM is reloaded: running "
        "requests are finished, new ones wait a moment. More workers need more memory."
    )
    risk = Risk.MEDIUM
    Parameters = PoolParameters
    undo_title = "Put the former line back and reload"
    timeout_seconds = 300

    def conditions(self, driver: PhpFpm, params: PoolParameters) -> list[Condition]:
        return [graceful(driver), loadable(driver)]

    def before(self, driver: PhpFpm, params: PoolParameters) -> Report:
        line = driver.parameter(params.name)
        return {"line": line, "value": pool_file.value_of(line), **driver.generation()}

    def sends(self, driver: PhpFpm, params: PoolParameters, before: Mapping[str, Any]) -> list[str]:
        program = " ".join([*driver.command, "-t"])
        change = f"{driver.pool_file}: {before['line'] or '(no line)'} → {_line(params)}"
        return [f"{program} (on a copy)", change, f"kill -USR2 {before['master']}"]

    def done(self, driver: PhpFpm, params: PoolParameters, before: Mapping[str, Any]) -> bool:
        return self._is_set(driver, params) and driver.loaded()

    def do(self, driver: PhpFpm, params: PoolParameters, before: Mapping[str, Any], call: Call) -> Report:
        with driver.machine.alone(driver.state, call.fence):
            self._bring(driver, params, _line(params), call)
        return {"value": str(params.value)}

    def undo(self, driver: PhpFpm, params: PoolParameters, before: Mapping[str, Any], call: Call) -> Report:
        with driver.machine.alone(driver.state, call.fence):
            ours = self._is_set(driver, params) and pool_file.value_of(before["line"]) != str(params.value)
            untouched = driver.generation()["started"] == before["started"]
            if ours or not (untouched or driver.loaded()):
                self._bring(driver, params, before["line"] if ours else driver.parameter(params.name), call)
        return {"value": before["value"]}

    @staticmethod
    def _is_set(driver: PhpFpm, params: PoolParameters) -> bool:
        return pool_file.value_of(driver.parameter(params.name)) == str(params.value)

    @staticmethod
    def _bring(driver: PhpFpm, params: PoolParameters, line: str | None, call: Call) -> None:
        """Have this line in the file and in the running pool."""
        text, running = driver.pool_text(), driver.generation()  # what does not run could not take the file over
        wanted = pool_file.with_line(text, driver.pool, params.name, line)
        if wanted != text and pool_file.value_of(line) != pool_file.value_of(driver.parameter(params.name)):
            driver.proved(wanted)
            call.check()
            driver.machine.replace(driver.pool_file, wanted)
            call.log(f"{driver.pool_file} is written")
        elif driver.loaded():
            return
        driver.restart_workers(running, call)


def _line(params: PoolParameters) -> str:
    return f"{params.name} = {params.value}"


class ResetOpcache(Act["PhpFpm", Nothing]):
    """The operator's script calls `opcache_reset()` inside the pool; on the command line it would empty another."""

    name = "reset-opcache"
    title = "Empty the opcache"
    summary = (
        "PHP forgets every compiled file and compiles it again when it is next asked for, in all pools of this master. "
        "Pages are slower for some seconds, and the processor is busier."
    )
    risk = Risk.MEDIUM
    why_no_undo = "Compiled code cannot be put back; PHP compiles each file again by itself."

    def conditions(self, driver: PhpFpm, params: Nothing) -> list[Condition]:
        missing = [name for name in ("opcache_script", "reset_script") if name not in driver.facts]
        text = "The connection names the scripts for the opcache"
        return [Condition(text, not missing, f"missing: {', '.join(missing)}" if missing else "")]

    def before(self, driver: PhpFpm, params: Nothing) -> Report:
        counts = driver.opcache()["opcache_statistics"]
        kept = ("start_time", "last_restart_time", "manual_restarts", "num_cached_scripts")
        return {name: counts[name] for name in kept}

    def sends(self, driver: PhpFpm, params: Nothing, before: Mapping[str, Any]) -> list[str]:
        return [f"FastCGI GET {driver.facts['reset_script']}"]

    def done(self, driver: PhpFpm, params: Nothing, before: Mapping[str, Any]) -> bool:
        said = driver.opcache()
        now = said["opcache_statistics"]
        changed = [now[name] != before[name] for name in ("start_time", "manual_restarts")]  # a reload empties it, too
        return any(changed) and not said["restart_pending"] and not said["restart_in_progress"]

    def do(self, driver: PhpFpm, params: Nothing, before: Mapping[str, Any], call: Call) -> Report:
        with driver.machine.alone(driver.state, call.fence):
            if not self.done(driver, params, before):
                if not driver.opcache()["restart_pending"]:
                    call.check()
                    driver.reset_opcache()
                # it is emptied by the next request that finds nobody reading it
                until = driver.machine.now() + RESET_SECONDS
                while not self.done(driver, params, before):
                    if driver.machine.now() > until:
                        raise TransientError("the opcache waits for running requests before it is emptied")
                    driver.machine.pause()
            now = driver.opcache()["opcache_statistics"]
        return {"scripts_before": before["num_cached_scripts"], "scripts": now["num_cached_scripts"]}


ACTS = (Reload(), SetPoolParameter(), ResetOpcache())
