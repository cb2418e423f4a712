"""The moves that acts and the switchover are made of. Each looks first and stands being cut off and called again.

Measured trap: when both threads of a GTID replica are stopped, starting either of them throws the relay log away and
asks the primary for all of it again. What was received but not applied is lost then if the primary is gone. So the
receiving thread is stopped first, the applying one drains, and only then is it stopped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from drivers.acts import Call
from drivers.errors import PermanentError, TransientError
from drivers.mariadb import gtid
from drivers.mariadb.client import NO_SUCH_CONNECTION, Refused, Session, Waited
from drivers.mariadb.node import Node
from drivers.mariadb.state import Channel, State

CONNECT_RETRY_SECONDS = 5
SETTLE_SECONDS = 20.0
DRAIN_SECONDS = 300.0
LOCK_SECONDS = 1
_POLL_SECONDS = 0.05
_FATAL = frozenset({1045, 1129, 1130, 1236, 1593, 1594})
"""Access denied, host refused, the primary lacks what this replica asks for, equal server ids, damaged relay log."""
SESSIONS = "SELECT p.ID AS id, t.trx_id AS transaction FROM information_schema.PROCESSLIST p \
LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID WHERE p.ID <> CONNECTION_ID() AND p.COMMAND \
NOT IN ('Binlog Dump', 'Daemon', 'Connect') AND p.USER NOT IN ('system user', 'event_scheduler')"


def until[T](probe: Callable[[], T], seconds: float, what: str) -> T:
    """What `probe` answers once that is true; `TransientError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() >= deadline:
            raise TransientError(f"{what} within {seconds:g} seconds")
        time.sleep(_POLL_SECONDS)
    return found


def place(state: State) -> dict[str, Any]:
    """Where a server stands in its cluster, as `restore` needs it: plain data."""
    channel = state.follows
    return {
        "read_only": state.read_only,
        "primary": channel.primary if channel else None,
        "receiving": channel.io != "No" if channel else False,
        "applying": channel.sql != "No" if channel else False,
        "received": channel.received if channel else "",
        "position": state.position,
    }


def restore(node: Node, before: Mapping[str, Any], call: Call) -> None:
    """Bring channel, threads and `read_only` back to what `place` noted. Read-only comes first and goes last.

    Does not wait for a connection to the primary: it may have been broken before, too.
    """
    now = node.state()
    if before["read_only"] and not now.read_only:
        make_read_only(node, call)
    if before["primary"] is None:
        unfollow(node, call)
    else:
        if now.follows is None or now.follows.primary != before["primary"]:
            point(node, before["primary"], call)
        run_threads(node, call, receiving=before["receiving"], applying=before["applying"])
    if now.read_only and not before["read_only"]:
        make_writable(node, call)


def point(node: Node, primary: str, call: Call) -> None:
    """Let `node` follow `primary` from its own position on, without starting it."""
    with node.session(SETTLE_SECONDS) as session:
        call.check()
        session.run("STOP SLAVE")
        _carry_own_position(node, session, call)
        with contextlib.suppress(Refused):  # keeps the password out of a general log, where the account may do that
            session.run("SET SESSION sql_log_off = 1")
        statement, values = change_master(node, primary)
        call.check()
        session.run(statement, *values)


def _carry_own_position(node: Node, session: Session, call: Call) -> None:
    """A former primary knows its own transactions only from its binary log; a replica starts elsewhere."""
    slave, current = (session.value(f"SELECT @@GLOBAL.gtid_{which}_pos") for which in ("slave", "current"))
    if not gtid.covers(slave, current):
        call.check()
        session.run("SET GLOBAL gtid_slave_pos = %s", current)


def change_master(node: Node, primary: str) -> tuple[str, list[object]]:
    """The statement and its values. Without credentials among the facts the channel keeps those that it has."""
    host, _, port = primary.rpartition(":")
    parts: dict[str, object] = {"MASTER_HOST": host, "MASTER_PORT": int(port)}
    if node.knows("replication"):
        user, password = node.account("replication")
        parts |= {"MASTER_USER": user, "MASTER_PASSWORD": password.reveal()}
    if "replication_ca" in node.facts:
        parts |= {
            "MASTER_SSL": 1,
            "MASTER_SSL_CA": str(node.facts["replication_ca"]),
            "MASTER_SSL_VERIFY_SERVER_CERT": 1,
        }
    parts["MASTER_CONNECT_RETRY"] = CONNECT_RETRY_SECONDS
    words = ", ".join(f"{name}=%s" for name in parts)
    return f"CHANGE MASTER TO {words}, MASTER_USE_GTID=slave_pos", list(parts.values())


def unfollow(node: Node, call: Call) -> None:
    """Forget the primary, credentials included."""
    if node.state().follows is None:
        return
    with node.session(SETTLE_SECONDS) as session:
        call.check()
        session.run("STOP SLAVE")
        call.check()
        session.run("RESET SLAVE ALL")


def run_threads(node: Node, call: Call, *, receiving: bool, applying: bool) -> None:
    """Start and stop the threads of the channel as asked."""
    channel = node.state().follows
    if channel is None:
        raise PermanentError(f"{node.where} follows no primary")
    wanted = {"IO": (receiving, channel.io), "SQL": (applying, channel.sql)}
    changes = [(thread, on) for thread, (on, now) in wanted.items() if on != (now != "No")]
    with node.session(SETTLE_SECONDS) as session:
        for thread, on in changes:
            call.check()
            session.run(f"{'START' if on else 'STOP'} SLAVE {thread}_THREAD")


def follow(node: Node, primary: str, call: Call) -> None:
    """Replicate from `primary`: point there unless it does already, start, and wait until both threads run."""
    channel = node.state().follows
    if channel is None or channel.primary != primary or not channel.gtid:
        point(node, primary, call)
    run_threads(node, call, receiving=True, applying=True)
    settle(node)


def settle(node: Node) -> None:
    """Wait until both threads run; `PermanentError` with what the server says when they cannot."""
    until(lambda: _running(node), SETTLE_SECONDS, f"{node.where} does not replicate")


def _running(node: Node) -> bool:
    channel = node.state().follows
    if channel is None:
        raise TransientError(f"{node.where} was detached meanwhile")
    if channel.io_code in _FATAL:
        raise PermanentError(f"{node.where} cannot receive: {channel.io_error[:300]}")
    if channel.sql_error:
        raise PermanentError(f"{node.where} cannot apply: {channel.sql_error[:300]}")
    return channel.running


def drain(node: Node, call: Call, seconds: float = DRAIN_SECONDS) -> None:
    """Stop receiving and apply everything received; `PermanentError` when a part of it could not be kept."""
    channel = node.state().follows
    if channel is None:
        return
    if stuck := keeps_all(channel):
        raise PermanentError(f"{node.where}: {stuck}")
    with node.session(SETTLE_SECONDS) as session:
        if channel.sql == "No" and not channel.drained:
            call.check()
            session.run("START SLAVE SQL_THREAD")
        if channel.io != "No":
            call.check()
            session.run("STOP SLAVE IO_THREAD")
    until(lambda: _drained(node), seconds, f"{node.where} did not apply all that it received")


def _drained(node: Node) -> bool:
    channel = node.state().follows
    if channel is None:
        raise TransientError(f"{node.where} was detached meanwhile")
    if channel.sql_error:
        raise PermanentError(f"{node.where} cannot apply: {channel.sql_error[:300]}")
    return channel.drained


def keeps_all(channel: Channel) -> str:
    """Why what was received cannot all be applied; empty when it can."""
    if channel.drained:
        return ""
    if channel.sql_error:
        return f"it stopped applying: {channel.sql_error[:200]}"
    if channel.stopped:
        return f"it received {channel.received} and applied {channel.applied}; starting it now would drop the rest"
    return ""


def make_read_only(node: Node, call: Call, *, stop_writers: bool = False, seconds: float = 15.0) -> int:
    """Refuse writes from now on; how many sessions were closed for it.

    The server waits for running writes and table locks. With `stop_writers` sessions that keep it waiting are closed,
    and afterwards those whose transactions are still open: their commit would be refused, except to an account that
    writes past `read_only`. Which session holds a table lock cannot be seen, so all clients are closed in that case.
    """
    closed, deadline = 0, time.monotonic() + seconds
    with node.session(LOCK_SECONDS + 5) as session:
        session.run("SET SESSION lock_wait_timeout = %s", LOCK_SECONDS)
        while str(session.value("SELECT @@GLOBAL.read_only")) not in ("1", "ON"):
            call.check()
            try:
                session.run("SET GLOBAL read_only = 1")
            except Waited:
                if not stop_writers or time.monotonic() > deadline:
                    raise TransientError(f"{node.where}: sessions hold locks against read-only") from None
                closed += close_sessions(session, call, everyone=True)
        if stop_writers:
            closed += close_sessions(session, call, everyone=False)
    return closed


def close_sessions(session: Session, call: Call, *, everyone: bool) -> int:
    """Close the client sessions that hold a transaction, or every one, never replication's; how many there were."""
    closed = 0
    for row in session.rows(SESSIONS):
        if not everyone and row["transaction"] is None:
            continue
        call.check()
        try:
            session.run("KILL CONNECTION %s", row["id"])
        except Refused as error:
            if error.code != NO_SUCH_CONNECTION:
                raise
            continue
        call.log(f"closed session {row['id']}")
        closed += 1
    return closed


def make_writable(node: Node, call: Call, *, silent: bool = False) -> None:
    """Take writes; `PermanentError` while another member takes them, `TransientError` while one does not answer.

    `silent` says that members which do not answer cannot take writes.
    """
    if not node.state().read_only:
        return
    others = node.others()
    if busy := [where for where, one in others.items() if isinstance(one, State) and not one.read_only]:
        raise PermanentError(f"{', '.join(busy)} takes writes already")
    if not silent and (unknown := [one for one in others.values() if isinstance(one, str)]):
        raise TransientError(f"whether another member takes writes is not known: {'; '.join(unknown)}")
    with node.session() as session:
        call.check()
        session.run("SET GLOBAL read_only = 0")
