"""What can be done to a host: run an allowed command, replace an allowed file, restart a service, reboot."""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Nothing, Parameters, Report, Risk
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.ssh import guard
from drivers.ssh.files import ReplaceFile
from drivers.ssh.templates import RESERVED

if TYPE_CHECKING:
    from drivers.ssh.connection import Connection
    from drivers.ssh.host import SshHost
    from drivers.ssh.templates import Template

START_SECONDS = 30.0
# reboots only the boot that was meant: the host may have come back between looking and asking
_REBOOT = 'if [ "$(cat -- "$1")" = "$2" ]; then shift 2; exec "$@"; fi'


class RunParameters(Parameters):
    command: Annotated[
        str, Meta(title="Command", description="One that the connection allows.", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    ]
    arguments: Annotated[
        list[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}=.{1,200}$")]],
        Meta(title="Arguments", description="As name=value.", max_length=20),
    ] = []


class _Runs(Act["SshHost", RunParameters]):
    """Runs one allowed command, once for each plan."""

    Parameters = RunParameters
    timeout_seconds = 600
    undoable: ClassVar[bool]

    def check(self, params: RunParameters) -> None:
        _values(params)

    def before(self, driver: SshHost, params: RunParameters) -> Report:
        return {"run": uuid.uuid4().hex, "argv": self._command(driver, params)[1]}

    def sends(self, driver: SshHost, params: RunParameters, before: Mapping[str, Any]) -> list[str]:
        return [shlex.join(before["argv"])]

    def done(self, driver: SshHost, params: RunParameters, before: Mapping[str, Any]) -> bool:
        with driver.connected() as host:
            return guard.succeeded(host, driver.fence_dir, before["run"])

    def do(self, driver: SshHost, params: RunParameters, before: Mapping[str, Any], call: Call) -> Report:
        template, argv = self._command(driver, params)
        if argv != before["argv"]:
            raise PermanentError("the allowed command has changed since this was planned")
        with driver.connected() as host:
            return {"output": _ran(driver, host, template, argv, call, before["run"])}

    def _command(self, driver: SshHost, params: RunParameters) -> tuple[Template, list[str]]:
        template = driver.template(params.command)
        if template.name in RESERVED:
            raise InvalidInput(f"{template.name} has an act of its own")
        if self.undoable != (template.undo is not None):
            other = RunWithUndo.name if template.undo else Run.name
            raise InvalidInput(f"{template.name} is for the act {other}")
        return template, template.filled(_values(params))


class Run(_Runs):
    name = "run"
    title = "Run {command}"
    summary = (
        "One command that the connection allows is run on the host, once, alone, and with exactly these arguments. "
        "What it does is for whoever has allowed it to know; nothing takes it back."
    )
    risk = Risk.HIGH
    why_no_undo = "The connection names no command that takes this one back."
    undoable = False


class RunWithUndo(_Runs):
    name = "run-with-undo"
    title = "Run {command}"
    summary = (
        "One command that the connection allows is run on the host, once, alone, and with exactly these arguments. "
        "The connection names another command that takes it back."
    )
    risk = Risk.MEDIUM
    undo_title = "Run the command that takes it back"
    undoable = True

    def undo(self, driver: SshHost, params: RunParameters, before: Mapping[str, Any], call: Call) -> Report:
        template, _ = self._command(driver, params)
        back = driver.template(str(template.undo))
        argv = back.filled({name: value for name, value in _values(params).items() if name in back.patterns})
        with driver.connected() as host:
            if not guard.begun(host, driver.fence_dir, before["run"]):
                return {"output": ""}
            return {"output": _ran(driver, host, back, argv, call, f"{before['run']}-undo")}


class UnitParameters(Parameters):
    unit: Annotated[
        str,
        Meta(
            title="Service",
            description="One that the connection lists.",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9@._:-]{0,127}$",
        ),
    ]


class RestartService(Act["SshHost", UnitParameters]):
    """The template `restart-service`, seen by what the template `service-status` prints, where there is one."""

    name = "restart-service"
    title = "Restart {unit}"
    summary = (
        "The service is stopped and started again. Until it is up, it serves nobody; connections to it end. It has "
        "restarted when its main process is another one and it is active."
    )
    risk = Risk.HIGH
    Parameters = UnitParameters
    why_no_undo = "A process that has ended cannot be brought back; the service runs again after a restart."
    timeout_seconds = 600

    def before(self, driver: SshHost, params: UnitParameters) -> Report:
        found: Report = {"run": uuid.uuid4().hex, "argv": self._argv(driver, params), "status": None}
        with driver.connected() as host:
            if "service-status" in driver.commands:
                found["status"] = driver.unit_status(host, driver.unit(params.unit))
                found["identity"] = _identity(found["status"])
                if not found["identity"]:
                    raise PermanentError("service-status prints neither MainPID nor a timestamp of the start")
        return found

    def sends(self, driver: SshHost, params: UnitParameters, before: Mapping[str, Any]) -> list[str]:
        return [shlex.join(before["argv"])]

    def done(self, driver: SshHost, params: UnitParameters, before: Mapping[str, Any]) -> bool:
        with driver.connected() as host:
            return self._restarted(driver, host, params, before)

    def do(self, driver: SshHost, params: UnitParameters, before: Mapping[str, Any], call: Call) -> Report:
        argv = self._argv(driver, params)
        with driver.connected() as host:
            if not self._restarted(driver, host, params, before):
                _ran(driver, host, driver.template(self.name), argv, call, before["run"], mode="again")
                until = time.monotonic() + START_SECONDS
                while not self._restarted(driver, host, params, before):
                    if time.monotonic() > until:
                        raise PermanentError(f"{params.unit} was restarted and does not become active")
                    time.sleep(0.5)
            return {"status": driver.unit_status(host, params.unit) if before["status"] else None}

    @staticmethod
    def _argv(driver: SshHost, params: UnitParameters) -> list[str]:
        return driver.template("restart-service").filled({"unit": driver.unit(params.unit)})

    @staticmethod
    def _restarted(driver: SshHost, host: Connection, params: UnitParameters, before: Mapping[str, Any]) -> bool:
        if before["status"] is None:
            return guard.succeeded(host, driver.fence_dir, before["run"])
        now = driver.unit_status(host, params.unit)
        up = now.get("ActiveState", "active") == "active" and now.get("MainPID") != "0"
        return up and bool(_identity(now) != before["identity"])


class Reboot(Act["SshHost", Nothing]):
    """The template `reboot`, and waiting until the host is back with another boot id."""

    name = "reboot"
    title = "Reboot the host"
    summary = (
        "The host shuts down and starts again: everything on it is away for some minutes, and what was only in memory "
        "is lost. It is done when the host answers again with another boot id."
    )
    risk = Risk.HIGH
    why_no_undo = "A host that has rebooted cannot go back to what was in its memory."
    timeout_seconds = 600

    def conditions(self, driver: SshHost, params: Nothing) -> list[Condition]:
        return [Condition("The connection has the command reboot", "reboot" in driver.commands)]

    def before(self, driver: SshHost, params: Nothing) -> Report:
        return {"run": uuid.uuid4().hex, "boot_id": driver.boot_id()}

    def sends(self, driver: SshHost, params: Nothing, before: Mapping[str, Any]) -> list[str]:
        return [shlex.join(driver.template("reboot").filled({}))]

    def done(self, driver: SshHost, params: Nothing, before: Mapping[str, Any]) -> bool:
        return bool(driver.boot_id() != before["boot_id"])

    def do(self, driver: SshHost, params: Nothing, before: Mapping[str, Any], call: Call) -> Report:
        template = driver.template("reboot")
        argv = ["sh", "-c", _REBOOT, "reboot", driver.boot_id_file, before["boot_id"], *template.filled({})]
        with driver.connected() as host:
            if driver.boot_id(host) == before["boot_id"]:
                try:
                    _ran(driver, host, template, argv, call, before["run"], mode="again")
                except TransientError as error:  # most often the connection is the first to go
                    call.log(str(error))
        return {"boot_id": self._back(driver, before["boot_id"], call)}

    @staticmethod
    def _back(driver: SshHost, former: str, call: Call) -> str:
        """Wait until the host answers with another boot id; that id."""
        begun = time.monotonic()
        while True:
            try:
                if (now := driver.boot_id()) != former:
                    call.log(f"{driver.host} is back with boot id {now}")
                    return now
            except (TransientError, PermanentError) as error:  # a host that starts may refuse logins for a while
                reason = str(error)
            else:
                reason = "it has not gone down yet"
            waited = time.monotonic() - begun
            call.progress(int(waited), driver.reboot_seconds)
            if waited > driver.reboot_seconds:
                raise TransientError(f"{driver.host} has not come back within {driver.reboot_seconds} s: {reason}")
            time.sleep(1)


def _values(params: RunParameters) -> dict[str, str]:
    pairs = [text.partition("=") for text in params.arguments]
    values = {name: value for name, _, value in pairs}
    if len(values) < len(pairs):
        raise InvalidInput("an argument is given twice")
    return values


def _identity(status: Mapping[str, str]) -> dict[str, str]:
    """What is another one after a restart."""
    return {name: value for name, value in status.items() if name == "MainPID" or "Timestamp" in name}


def _ran(
    driver: SshHost,
    host: Connection,
    template: Template,
    argv: list[str],
    call: Call,
    run: str,
    mode: guard.Mode = "once",
) -> str:
    """Run it under the guard; what it said, or a `PermanentError` when it failed."""
    mode = "again" if template.repeatable else mode
    ended = guard.run(host, driver.fence_dir, argv, call, run=run, mode=mode, seconds=template.seconds)
    said = ended.output.strip()
    if ended.status != 0:
        raise PermanentError(f"{template.name} ended with status {ended.status}: {said[-300:]}")
    for line in said.splitlines()[-20:]:
        call.log(line[:300])
    return said[-1000:]


ACTS = (Run(), RunWithUndo(), ReplaceFile(), RestartService(), Reboot())
