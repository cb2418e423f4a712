"""A planned switchover: another member becomes the primary, and no acknowledged write is lost.

Seven steps, each of them repeatable and each with its way back, for a durable plan to call one after another with what
`look` saw before the first. Between them anything may crash: at no moment do two members take writes, because the old
primary refuses them before the new one takes any, in both directions. Writes are refused from `fence` to `promote`.

The way back is a switchover too. Writes that the new primary has taken meanwhile are replicated to the old one before
that takes writes again: so members stay attached on the way back until `promote` is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.acts import Call, Condition, Facts, Report
from drivers.errors import PermanentError, TransientError
from drivers.mariadb import gtid, replication, topology
from drivers.mariadb.judge import conditions, wrong_in_the_end
from drivers.mariadb.node import Node

WAIT = "SELECT MASTER_GTID_WAIT(%s, %s)"
CATCH_UP_SECONDS = 10
"""How long writes stay refused for a candidate that lags, before it is given up."""


class Switchover:
    """The members by any name (a connection's key), the primary and the one to become it. Only `steps` change anything.

    `InvalidInput` when the names do not fit. Every member must name all others among its `peers`.
    """

    def __init__(self, members: Mapping[str, Node], old: str, new: str) -> None:
        if old == new or old not in members or new not in members:
            raise PermanentError("a switchover needs two different members of the cluster")
        self.members = dict(members)
        self.old, self.new = members[old], members[new]
        self.names = (old, new)
        self.others = {name: node for name, node in members.items() if name not in (old, new)}

    def look(self) -> Report:
        """Where every member stands. Keep it: the way back leads there."""
        return {"old": self.names[0], "new": self.names[1], "members": {n: _stand(m) for n, m in self.members.items()}}

    def conditions(self, max_lag_seconds: float = 5.0) -> list[Condition]:
        """What must hold before the first step."""
        return conditions(self.members, *self.names, max_lag_seconds)


class Step:
    """One step. `done` only looks. `do` and `undo` may be called again after a crash at any moment, also out of
    another process, and do nothing where nothing is left to do."""

    name: ClassVar[str]
    title: ClassVar[str]
    undo_title: ClassVar[str]

    def done(self, cluster: Switchover, seen: Facts) -> bool:
        raise NotImplementedError

    def do(self, cluster: Switchover, seen: Facts, call: Call) -> Report:
        raise NotImplementedError

    def undo(self, cluster: Switchover, seen: Facts, call: Call) -> None:
        """Nothing to take back unless a step says otherwise."""


class Fence(Step):
    name: ClassVar[str] = "fence"
    title: ClassVar[str] = "Refuse writes on the old primary and close sessions that hold transactions or locks"
    undo_title: ClassVar[str] = "Take writes on the old primary again"

    def done(self, cluster: Switchover, seen: Facts) -> bool:
        return cluster.old.state().read_only

    def do(self, cluster: Switchover, seen: Facts, call: Call) -> Report:
        if not cluster.new.state().read_only and not cluster.old.state().read_only:
            raise PermanentError("both take writes; somebody must decide which of them is right")
        return {"closed_sessions": replication.make_read_only(cluster.old, call, stop_writers=True)}

    def undo(self, cluster: Switchover, seen: Facts, call: Call) -> None:
        if cluster.old.state().channels:
            raise PermanentError(f"{cluster.old.where} still follows another member")
        if not cluster.new.state().read_only:  # must answer: of the others, none was ever to take writes
            raise PermanentError(f"{cluster.new.where} takes writes")
        _semi_sync(cluster.old, call, seen["members"][seen["old"]])
        replication.make_writable(cluster.old, call, silent=True)


class CatchUp(Step):
    name: ClassVar[str] = "catch-up"
    title: ClassVar[str] = "Wait until the new primary has every transaction of the old one"
    undo_title: ClassVar[str] = "Nothing to take back"

    def done(self, cluster: Switchover, seen: Facts) -> bool:
        return not _lacking(cluster.old, cluster.new)

    def do(self, cluster: Switchover, seen: Facts, call: Call) -> Report:
        position = cluster.old.state().position
        if cluster.new.state().channels:
            _await(cluster.new, position, CATCH_UP_SECONDS)
        if lacking := _lacking(cluster.old, cluster.new):
            raise PermanentError(f"{cluster.new.where} lacks {lacking} after {CATCH_UP_SECONDS} seconds")
        return {"position": position}


class Promote(Step):
    name: ClassVar[str] = "promote"
    title: ClassVar[str] = "Take writes on the new primary"
    undo_title: ClassVar[str] = "Bring its writes to the old primary and follow that again"

    def done(self, cluster: Switchover, seen: Facts) -> bool:
        state = cluster.new.state()
        return not state.read_only and not state.channels

    def do(self, cluster: Switchover, seen: Facts, call: Call) -> Report:
        if self.done(cluster, seen):
            return {"position": cluster.new.state().position}
        if lacking := _lacking(cluster.old, cluster.new):
            raise PermanentError(f"{cluster.new.where} is not promoted: it lacks {lacking}")
        topology.promote(cluster.new, call, seen["members"][seen["new"]]["received"])
        return {"position": cluster.new.state().position}

    def undo(self, cluster: Switchover, seen: Facts, call: Call) -> None:
        old, new, before = cluster.old, cluster.new, seen["members"][seen["new"]]
        if not new.state().channels:
            replication.make_read_only(new, call, stop_writers=True)
            if _lacking(new, old):
                topology.lead(old, new.where, call)
                _await(old, new.state().position, replication.DRAIN_SECONDS)
            if lacking := _lacking(new, old):
                raise TransientError(f"{old.where} lacks {lacking} of {new.where} still")
        replication.unfollow(old, call)
        _semi_sync(new, call, before)
        replication.restore(new, before, call)


class Rejoin(Step):
    """Its way back is that of `promote`: as long as the new primary takes writes, the old one has to get them."""

    name: ClassVar[str] = "rejoin"
    title: ClassVar[str] = "Let the old primary follow the new one"
    undo_title: ClassVar[str] = "Nothing yet: it follows until the new primary's writes have arrived"

    def done(self, cluster: Switchover, seen: Facts) -> bool:
        return _follows(cluster.old, cluster.new)

    def do(self, cluster: Switchover, seen: Facts, call: Call) -> Report:
        swapped = {**seen["members"][seen["new"]]["semi_sync"], "primary": False}
        _semi_sync(cluster.old, call, {"semi_sync": swapped})
        if not self.done(cluster, seen):
            topology.lead(cluster.old, cluster.new.where, call)
        return {}


class Repoint(Step):
    name: ClassVar[str] = "repoint"
    title: ClassVar[str] = "Let the other replicas follow the new primary"
    undo_title: ClassVar[str] = "Let the other replicas follow the old primary"

    def done(self, cluster: Switchover, seen: Facts) -> bool:
        return all(_follows(node, cluster.new) for node in cluster.others.values())

    def do(self, cluster: Switchover, seen: Facts, call: Call) -> Report:
        for name, node in cluster.others.items():
            if not _follows(node, cluster.new):
                topology.lead(node, cluster.new.where, call)
                call.log(f"{name} follows {cluster.new.where}")
        return {}

    def undo(self, cluster: Switchover, seen: Facts, call: Call) -> None:
        for node in cluster.others.values():
            if _follows(node, cluster.old):
                continue
            replication.drain(node, call)  # else it would run ahead of the old primary while we compare them
            if cluster.old.state().channels:
                _await(cluster.old, node.state().position, CATCH_UP_SECONDS)
            topology.lead(node, cluster.old.where, call)


class Protect(Step):
    name: ClassVar[str] = "protect"
    title: ClassVar[str] = "Switch semi-synchronous replication on where the old primary had it"
    undo_title: ClassVar[str] = "Switch it off on the new primary"

    def done(self, cluster: Switchover, seen: Facts) -> bool:
        wanted: bool = seen["members"][seen["old"]]["semi_sync"]["primary"]
        return cluster.new.state().on("rpl_semi_sync_master_enabled") == wanted

    def do(self, cluster: Switchover, seen: Facts, call: Call) -> Report:
        wanted = seen["members"][seen["old"]]["semi_sync"]["primary"]
        _semi_sync(cluster.new, call, {"semi_sync": {"primary": wanted}})
        return {}

    def undo(self, cluster: Switchover, seen: Facts, call: Call) -> None:
        _semi_sync(cluster.new, call, {"semi_sync": {"primary": False}})


class Verify(Step):
    name: ClassVar[str] = "verify"
    title: ClassVar[str] = "Check that exactly the new primary takes writes and everybody follows it"
    undo_title: ClassVar[str] = "Nothing to take back"

    def done(self, cluster: Switchover, seen: Facts) -> bool:
        return not wrong_in_the_end(cluster.members, *cluster.names)

    def do(self, cluster: Switchover, seen: Facts, call: Call) -> Report:
        try:
            replication.until(lambda: self.done(cluster, seen), replication.SETTLE_SECONDS, "it is not as it should be")
        except TransientError:
            problems = wrong_in_the_end(cluster.members, *cluster.names)
            raise PermanentError("; ".join(problems) or "it became right too late") from None
        return {name: node.state().position for name, node in cluster.members.items()}


STEPS: tuple[Step, ...] = (Fence(), CatchUp(), Promote(), Rejoin(), Repoint(), Protect(), Verify())


def _stand(node: Node) -> dict[str, Any]:
    state = node.state()
    sides = {"primary": state.on("rpl_semi_sync_master_enabled"), "replica": state.on("rpl_semi_sync_slave_enabled")}
    return {**replication.place(state), "address": node.where, "semi_sync": sides}


def _lacking(source: Node, target: Node) -> str:
    """What `source` has and `target` has not applied; the source is asked first."""
    here = source.state().history
    return gtid.shown(gtid.beyond(here, target.state().history))


def _follows(node: Node, primary: Node) -> bool:
    channel = node.state().follows
    return channel is not None and channel.primary == primary.where and channel.running


def _await(node: Node, position: str, seconds: float) -> None:
    """Return as soon as `node` has applied `position`, or when the seconds are over; the caller looks."""
    with node.session(seconds + 5) as session:
        session.value(WAIT, position, seconds)


def _semi_sync(node: Node, call: Call, stand: Mapping[str, Any]) -> None:
    """Set the sides that `stand` names. A replica acknowledges from its next connection on, which is to come."""
    state = node.state()
    for side, variable in (("primary", "rpl_semi_sync_master_enabled"), ("replica", "rpl_semi_sync_slave_enabled")):
        wanted = stand["semi_sync"].get(side, state.on(variable))
        if state.on(variable) != wanted:
            with node.session() as session:
                call.check()
                session.run(f"SET GLOBAL {variable} = %s", int(wanted))
