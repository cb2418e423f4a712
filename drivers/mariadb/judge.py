"""Whether a switchover may begin, and whether it has ended well. Only looks."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.acts import Condition
from drivers.mariadb import gtid, state
from drivers.mariadb.node import Node
from drivers.mariadb.state import State

LONG = "SELECT COUNT(*) AS number FROM information_schema.INNODB_TRX WHERE trx_started < NOW() - INTERVAL 10 SECOND"


def conditions(members: Mapping[str, Node], old: str, new: str, max_lag_seconds: float) -> list[Condition]:
    """What must hold before writes are refused on `old`. `TransientError` when a member does not answer."""
    states = {name: node.state() for name, node in members.items() if name != old}
    states[old] = members[old].state()  # last, so that it can only be further than its replicas
    with members[old].session() as session:
        long = int(session.value(LONG))
    strangers = [name for name, node in members.items() if not _knows(node, members)]
    nameless = [name for name, node in members.items() if not node.knows("replication")]
    behind = {name: _late(one, members[old].where, max_lag_seconds) for name, one in states.items() if name != old}
    errant = gtid.shown(gtid.beyond(states[new].history, states[old].history))
    newest = state.release(states[new].variables["version"])
    older = [name for name, one in states.items() if state.release(one.variables["version"]) < newest]
    keepless = [name for name in (old, new) if not _keeps(states[name])]
    writing = [name for name, one in states.items() if name != old and not one.read_only]
    return [
        Condition("Every member knows the others as peers.", not strangers, ", ".join(strangers)),
        Condition("Every member knows the account to follow with.", not nameless, ", ".join(nameless)),
        Condition("The old primary follows nobody.", not states[old].channels, ""),
        Condition("The old primary takes writes.", not states[old].read_only, "it is read-only"),
        Condition("No other member takes writes.", not writing, ", ".join(writing)),
        Condition("The new primary follows the old one closely.", not behind[new], behind[new]),
        Condition(
            "The other replicas follow it closely, too.",
            not any(behind.values()),
            "; ".join(f"{name}: {late}" for name, late in behind.items() if late),
        ),
        Condition("The new primary has no transaction of its own.", not errant, errant),
        Condition("Both keep a binary log with what they replicate.", not keepless, ", ".join(keepless)),
        Condition("No member is of an older release than the new primary.", not older, ", ".join(older)),
        Condition("No transaction has been open for 10 seconds; it would be cut off.", long == 0, f"{long} have"),
    ]


def wrong_in_the_end(members: Mapping[str, Node], old: str, new: str) -> list[str]:
    """What is not as it should be after the last step; empty when all is well."""
    states = {name: node.state() for name, node in members.items() if name != new}
    states[new] = members[new].state()
    problems = []
    for name, one in states.items():
        if one.read_only == (name == new):
            problems.append(f"{name} {'refuses' if one.read_only else 'takes'} writes")
        channel = one.follows
        if name != new and (channel is None or channel.primary != members[new].where or not channel.running):
            problems.append(f"{name} does not follow {new}")
        if extra := gtid.shown(gtid.beyond(one.history, states[new].history)):
            problems.append(f"{name} has {extra}, which {new} lacks")
    if states[new].channels:
        problems.append(f"{new} follows another member")
    return problems


def _knows(node: Node, members: Mapping[str, Node]) -> bool:
    return {one.where for one in members.values()} - {node.where} <= set(node.peers)


def _keeps(one: State) -> bool:
    return one.on("log_bin") and one.on("log_slave_updates")


def _late(one: State, primary: str, max_lag_seconds: float) -> str:
    """Why it cannot be switched to at once; empty when it can."""
    channel = one.follows
    if channel is None or channel.primary != primary:
        return f"it does not follow {primary}"
    if not channel.gtid or not channel.running:
        return channel.error or "it does not replicate by GTID now"
    if channel.lag_seconds is None or channel.lag_seconds > max_lag_seconds:
        return f"it is {channel.lag_seconds} s behind"
    return ""
