"""Switches of one server: read-only, semi-synchronous replication, replication itself. None outlives a restart."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from drivers.acts import Act, Call, Condition, Facts, Nothing, Parameters, Report, Risk
from drivers.errors import PermanentError
from drivers.mariadb import replication
from drivers.mariadb.node import Node
from drivers.mariadb.state import State

OnOff = Literal["on", "off"]
_RECONNECT = ("STOP SLAVE IO_THREAD", "START SLAVE IO_THREAD")


class ReadOnly(Parameters):
    state: Annotated[OnOff, msgspec.Meta(title="Read-only")]
    stop_writers: Annotated[
        bool,
        msgspec.Meta(title="Close sessions that write", description="Those with open transactions or table locks."),
    ] = False
    silent_members_are_stopped: Annotated[
        bool,
        msgspec.Meta(
            title="Members that do not answer are known to be stopped",
            description="Somebody has made sure of it. Without this, writes are not allowed while one is silent.",
        ),
    ] = False


class SetReadOnly(Act[Node, ReadOnly]):
    name: ClassVar[str] = "set-read-only"
    title: ClassVar[str] = "Set read-only {state}"
    summary: ClassVar[str] = (
        "On: writes are refused with an error, except from accounts with READ ONLY ADMIN; open transactions cannot"
        " commit. Off: this server takes writes. It is refused while another member takes them or does not answer."
        " The setting holds until the next restart: the configuration file decides then."
    )
    risk: ClassVar[Risk] = Risk.HIGH
    Parameters: ClassVar[type[Parameters]] = ReadOnly
    undo_title: ClassVar[str] = "Set read-only as it was"

    def conditions(self, driver: Node, params: ReadOnly) -> list[Condition]:
        if params.state == "on":
            return []
        state = driver.state()
        return [
            Condition("It follows no primary.", not state.channels, f"{len(state.channels or ())} channels"),
            only_writer(driver, silent=params.silent_members_are_stopped),
        ]

    def before(self, driver: Node, params: ReadOnly) -> Report:
        return {"read_only": driver.state().read_only}

    def sends(self, driver: Node, params: ReadOnly, before: Facts) -> list[str]:
        return [f"SET GLOBAL read_only = {int(params.state == 'on')}"]

    def done(self, driver: Node, params: ReadOnly, before: Facts) -> bool:
        return driver.state().read_only == (params.state == "on")

    def do(self, driver: Node, params: ReadOnly, before: Facts, call: Call) -> Report:
        if params.state == "on":
            return {"closed_sessions": replication.make_read_only(driver, call, stop_writers=params.stop_writers)}
        replication.make_writable(driver, call, silent=params.silent_members_are_stopped)
        return {}

    def undo(self, driver: Node, params: ReadOnly, before: Facts, call: Call) -> Report:
        if before["read_only"]:
            replication.make_read_only(driver, call)
        else:
            replication.make_writable(driver, call, silent=params.silent_members_are_stopped)
        return {}


def only_writer(driver: Node, *, silent: bool = False) -> Condition:
    """Every other member answers (or `silent` ones are accepted) and takes no writes."""
    others = driver.others()
    wrong = [
        f"{where} takes writes" for where, state in others.items() if isinstance(state, State) and not state.read_only
    ]
    if not silent:
        wrong += [state for state in others.values() if isinstance(state, str)]
    return Condition("No other member takes writes.", not wrong, "; ".join(wrong))


class SemiSync(Parameters):
    side: Annotated[
        Literal["primary", "replica"],
        msgspec.Meta(title="Side", description="primary: wait for a replica. replica: acknowledge what was received."),
    ]
    state: Annotated[OnOff, msgspec.Meta(title="Semi-synchronous")]


class SetSemiSync(Act[Node, SemiSync]):
    """Source: mariadb.com/kb/en/semisynchronous-replication/. A replica begins to acknowledge when it connects anew."""

    name: ClassVar[str] = "set-semi-sync"
    title: ClassVar[str] = "Set semi-synchronous replication {state} on the {side} side"
    summary: ClassVar[str] = (
        "With the primary side on, a commit waits until one replica has received it, so each write takes a network"
        " round trip longer; after the timeout it goes on alone. On the replica side receiving is interrupted for a"
        " moment. The setting holds until the next restart."
    )
    risk: ClassVar[Risk] = Risk.MEDIUM
    Parameters: ClassVar[type[Parameters]] = SemiSync
    undo_title: ClassVar[str] = "Set it as it was"

    def conditions(self, driver: Node, params: SemiSync) -> list[Condition]:
        follows = driver.state().follows is not None
        fits = follows == (params.side == "replica")
        found = [Condition(f"It is a {params.side}.", fits, "it follows a primary" if follows else "it follows nobody")]
        if params == SemiSync(side="primary", state="on"):
            ready = [where for where, other in driver.others().items() if isinstance(other, State) and _ready(other)]
            found.append(Condition("A replica is ready to acknowledge.", bool(ready), ", ".join(ready) or "none"))
        return found

    def before(self, driver: Node, params: SemiSync) -> Report:
        state = driver.state()
        return {"enabled": state.on(_variable(params)), "receiving": replication.place(state)["receiving"]}

    def sends(self, driver: Node, params: SemiSync, before: Facts) -> list[str]:
        reconnect = _RECONNECT if params.side == "replica" and before["receiving"] else ()
        return [f"SET GLOBAL {_variable(params)} = {int(params.state == 'on')}", *reconnect]

    def done(self, driver: Node, params: SemiSync, before: Facts) -> bool:
        return _in_effect(driver.state(), params, params.state == "on", before["receiving"])

    def do(self, driver: Node, params: SemiSync, before: Facts, call: Call) -> Report:
        _bring_about(driver, params, params.state == "on", before["receiving"], call)
        return {}

    def undo(self, driver: Node, params: SemiSync, before: Facts, call: Call) -> Report:
        _bring_about(driver, params, before["enabled"], before["receiving"], call)
        return {}


def _bring_about(driver: Node, params: SemiSync, on: bool, receiving: bool, call: Call) -> None:
    if _in_effect(driver.state(), params, on, receiving):
        return
    with driver.session(replication.SETTLE_SECONDS) as session:
        call.check()
        session.run(f"SET GLOBAL {_variable(params)} = %s", int(on))
        for statement in _RECONNECT if params.side == "replica" and receiving else ():
            call.check()
            session.run(statement)
    replication.until(
        lambda: _in_effect(driver.state(), params, on, receiving), replication.SETTLE_SECONDS, "it has no effect"
    )


def _variable(params: SemiSync) -> str:
    return f"rpl_semi_sync_{'master' if params.side == 'primary' else 'slave'}_enabled"


def _ready(state: State) -> bool:
    return state.status.get("rpl_semi_sync_slave_status") == "ON"


def _in_effect(state: State, params: SemiSync, on: bool, receiving: bool) -> bool:
    """The variable, and on a replica that is to receive also that it does, and what it really acknowledges."""
    if state.on(_variable(params)) != on:
        return False
    if params.side == "primary" or not receiving:
        return True
    return state.follows is not None and state.follows.io == "Yes" and _ready(state) == on


class _Threads(Act[Node, Nothing]):
    """Both threads of the one channel, running or not."""

    run: ClassVar[bool]

    def conditions(self, driver: Node, params: Nothing) -> list[Condition]:
        return [one_channel(driver.state())]

    def before(self, driver: Node, params: Nothing) -> Report:
        return replication.place(driver.state())

    def sends(self, driver: Node, params: Nothing, before: Facts) -> list[str]:
        return [f"{'START' if self.run else 'STOP'} SLAVE {thread}_THREAD" for thread in ("IO", "SQL")]

    def done(self, driver: Node, params: Nothing, before: Facts) -> bool:
        channel = driver.state().follows
        return channel is not None and (channel.running if self.run else channel.stopped)

    def do(self, driver: Node, params: Nothing, before: Facts, call: Call) -> Report:
        replication.run_threads(driver, call, receiving=self.run, applying=self.run)
        if self.run:
            replication.settle(driver)
        return {}

    def undo(self, driver: Node, params: Nothing, before: Facts, call: Call) -> Report:
        if before["primary"] is None:
            raise PermanentError("it followed no primary")
        replication.run_threads(driver, call, receiving=before["receiving"], applying=before["applying"])
        return {}


def one_channel(state: State) -> Condition:
    """It follows exactly one primary, over the unnamed channel and by GTID."""
    channels = state.channels
    fits = channels is not None and len(channels) == 1 and state.follows is not None and state.follows.gtid
    seen = "unknown" if channels is None else ", ".join(f"{one.name or 'unnamed'}: {one.primary}" for one in channels)
    return Condition("It follows one primary by GTID.", bool(fits), seen or "it follows nobody")


class StartReplication(_Threads):
    name: ClassVar[str] = "start-replication"
    title: ClassVar[str] = "Start replication"
    summary: ClassVar[str] = (
        "The replica receives and applies what its primary has done since. Readers see newer data as it catches up."
    )
    risk: ClassVar[Risk] = Risk.LOW
    undo_title: ClassVar[str] = "Stop what did not run"
    run: ClassVar[bool] = True


class StopReplication(_Threads):
    name: ClassVar[str] = "stop-replication"
    title: ClassVar[str] = "Stop replication"
    summary: ClassVar[str] = (
        "Readers of this replica see ever older data. What it received but had not applied is fetched again from the"
        " primary at the next start. It must be started again before the primary deletes its binary logs."
    )
    risk: ClassVar[Risk] = Risk.MEDIUM
    undo_title: ClassVar[str] = "Start what ran"
    run: ClassVar[bool] = False
