"""Who follows whom: promoting a replica, and pointing one at another primary."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import PermanentError
from drivers.mariadb import gtid, replication
from drivers.mariadb.node import Node, address
from drivers.mariadb.settings import one_channel, only_writer
from drivers.mariadb.state import State

ADDRESS = r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}:[0-9]{1,5}$"


class Promotion(Parameters):
    silent_members_are_stopped: Annotated[
        bool,
        msgspec.Meta(
            title="Members that do not answer are known to be stopped",
            description="Somebody has made sure of it. Without this, a primary that does not answer is not replaced.",
        ),
    ] = False


class PromoteReplica(Act[Node, Promotion]):
    name: ClassVar[str] = "promote-replica"
    title: ClassVar[str] = "Promote to primary"
    summary: ClassVar[str] = (
        "Stops receiving, applies everything received, forgets the old primary and takes writes. It is refused while"
        " another member takes writes, and when a transaction that is known to exist would be lost. The applications"
        " and the other replicas must be pointed here afterwards."
    )
    risk: ClassVar[Risk] = Risk.HIGH
    Parameters: ClassVar[type[Parameters]] = Promotion
    undo_title: ClassVar[str] = "Follow the old primary again"
    timeout_seconds: ClassVar[float] = 400

    def conditions(self, driver: Node, params: Promotion) -> list[Condition]:
        state, others = driver.state(), driver.others()
        channel = state.follows
        stuck = replication.keeps_all(channel) if channel else ""
        keeps = state.on("log_bin") and state.on("log_slave_updates")
        return [
            one_channel(state),
            _known_primary(driver, state, params.silent_members_are_stopped),
            Condition("What it received can all be applied.", not stuck, stuck),
            Condition("It keeps a binary log that others can follow.", keeps, "log_bin or log_slave_updates is off"),
            only_writer(driver, silent=params.silent_members_are_stopped),
            further(state, others),
        ]

    def before(self, driver: Node, params: Promotion) -> Report:
        return replication.place(driver.state())

    def sends(self, driver: Node, params: Promotion, before: Facts) -> list[str]:
        return ["STOP SLAVE IO_THREAD", "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"]

    def done(self, driver: Node, params: Promotion, before: Facts) -> bool:
        state = driver.state()
        return not state.channels and not state.read_only

    def do(self, driver: Node, params: Promotion, before: Facts, call: Call) -> Report:
        promote(driver, call, before["received"], silent=params.silent_members_are_stopped)
        return {"position": driver.state().position}

    def undo(self, driver: Node, params: Promotion, before: Facts, call: Call) -> Report:
        if before["primary"] is None:
            raise PermanentError("it followed no primary before")
        if not driver.state().channels:
            self._refuse_if_written(driver, before)
            replication.make_read_only(driver, call, stop_writers=True)
            try:
                self._refuse_if_written(driver, before)  # again, now that nobody can write
            except PermanentError:
                replication.make_writable(driver, call, silent=True)
                raise
        replication.restore(driver, before, call)
        return {}

    @staticmethod
    def _refuse_if_written(driver: Node, before: Facts) -> None:
        here = driver.state().history
        if lost := gtid.shown(gtid.beyond(here, driver.peer(before["primary"]).state().history)):
            raise PermanentError(f"{driver.where} has taken writes since ({lost}); switch over instead")


def _known_primary(node: Node, state: State, silent: bool) -> Condition:
    channel = state.follows
    known = silent or channel is None or channel.primary in node.peers
    return Condition("Its primary is a known member that can be asked.", known, channel.primary if channel else "")


def further(state: State, others: dict[str, State | str]) -> Condition:
    """No member that answers has a transaction that is not here, applied or received."""
    ahead = [
        f"{where} has {gtid.shown(more)}"
        for where, other in others.items()
        if isinstance(other, State) and (more := gtid.beyond(other.holds, state.holds))
    ]
    return Condition("No other member has more.", not ahead, "; ".join(ahead))


def promote(node: Node, call: Call, received: str, *, silent: bool = False) -> None:
    """Drain, detach, take writes. `received` must have been applied by then, whoever detached it."""
    for guard in (_known_primary(node, node.state(), silent), only_writer(node, silent=silent)):
        if not guard.holds:
            raise PermanentError(f"{node.where} is not promoted: {guard.text} {guard.seen}")
    replication.drain(node, call)
    state = node.state()
    if lost := gtid.shown(gtid.beyond(gtid.parse(received), state.history)):
        raise PermanentError(f"{node.where} had received {lost} and does not have it any more")
    if not (least := further(state, node.others())).holds:
        raise PermanentError(f"{node.where} is not promoted: {least.seen}")
    replication.unfollow(node, call)
    replication.make_writable(node, call, silent=silent)


class Following(Parameters):
    primary: Annotated[
        str,
        msgspec.Meta(pattern=ADDRESS, max_length=260, title="New primary", description="host:port of another member."),
    ]


class FollowPrimary(Act[Node, Following]):
    name: ClassVar[str] = "follow-primary"
    title: ClassVar[str] = "Follow {primary}"
    summary: ClassVar[str] = (
        "This server replicates from the given member, beginning where it stands (GTID). Its readers see a pause of"
        " some seconds. It is refused when this server takes writes, or holds transactions that the member never had."
    )
    risk: ClassVar[Risk] = Risk.MEDIUM
    Parameters: ClassVar[type[Parameters]] = Following
    undo_title: ClassVar[str] = "Follow the primary it followed before"
    timeout_seconds: ClassVar[float] = 120

    def check(self, params: Following) -> None:
        address(params.primary)

    def conditions(self, driver: Node, params: Following) -> list[Condition]:
        known = Condition(
            "The new primary is a member of this cluster.", params.primary in driver.peers, params.primary
        )
        if not known.holds:
            return [known]
        return [known, *may_follow(driver, params.primary)]

    def before(self, driver: Node, params: Following) -> Report:
        return replication.place(driver.state())

    def sends(self, driver: Node, params: Following, before: Facts) -> list[str]:
        host, _, port = params.primary.rpartition(":")
        account = "MASTER_USER and MASTER_PASSWORD as the connection says, " if driver.knows("replication") else ""
        change = f"CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, {account}MASTER_USE_GTID=slave_pos"
        own = [] if before["primary"] else [f"SET GLOBAL gtid_slave_pos = '{before['position']}'"]
        return ["STOP SLAVE", *own, change, "START SLAVE"]

    def done(self, driver: Node, params: Following, before: Facts) -> bool:
        channel = driver.state().follows
        return channel is not None and channel.primary == params.primary and channel.gtid and channel.running

    def do(self, driver: Node, params: Following, before: Facts, call: Call) -> Report:
        lead(driver, params.primary, call)
        return {"position": driver.state().position}

    def undo(self, driver: Node, params: Following, before: Facts, call: Call) -> Report:
        replication.restore(driver, before, call)
        return {}


def lead(node: Node, primary: str, call: Call) -> None:
    """Make `node` follow `primary` unless that would end in a loop or hide transactions of its own."""
    peer = node.peer(primary)
    if failing := [f"{each.text} {each.seen}" for each in may_follow(node, peer.where) if not each.holds]:
        raise PermanentError(f"{node.where} cannot follow {primary}: " + "; ".join(failing))
    replication.follow(node, primary, call)


def may_follow(node: Node, primary: str) -> list[Condition]:
    """What must hold for `node` to follow its peer `primary`. `TransientError` when one of them does not answer."""
    here = node.state()
    there = node.peer(primary).state()  # asked second, so that it can only be further
    channel, above = here.follows, there.follows
    extra = gtid.shown(gtid.beyond(here.history, there.history))
    unknown = gtid.shown(gtid.beyond(here.holds, there.holds))
    keeps = there.on("log_bin") and (above is None or there.on("log_slave_updates"))
    same = here.server_id == there.server_id
    return [
        Condition("It is read-only.", here.read_only, "it takes writes"),
        Condition("Its own position is known.", bool(here.position) or not there.position, "it must be rebuilt"),
        Condition("It has at most one, unnamed, channel.", len(here.channels or ()) == int(channel is not None), ""),
        Condition("The new primary is another server.", not same, f"server id {there.server_id}"),
        Condition("The new primary does not follow this one.", above is None or above.primary != node.where, ""),
        Condition("The new primary keeps a binary log.", keeps, "log_bin or log_slave_updates is off"),
        Condition("It holds no transaction that the new primary lacks.", not extra, extra),
        Condition("The new primary has all that it received.", not unknown, unknown),
        Condition("The account to follow with is known.", node.knows("replication") or channel is not None, ""),
    ]
