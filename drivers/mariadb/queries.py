"""Stopping one query of one connection, and no other."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

import msgspec

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.mariadb.client import NO_SUCH_QUERY, Refused, Row, Session
from drivers.mariadb.node import Node
from drivers.mariadb.replication import until

QUERY = (
    "SELECT ID AS id, USER AS user, HOST AS host, DB AS db, COMMAND AS command, QUERY_ID AS query_id, INFO AS info, \
TIME_MS / 1000 AS seconds, UNIX_TIMESTAMP(NOW(6)) AS now, CONNECTION_ID() AS own \
FROM information_schema.PROCESSLIST WHERE ID = %s"
)
KILL = "KILL QUERY ID %s"
_LITERAL = re.compile(
    r"""'(?:[^'\\]|\\.|'')*(?:'|\Z)|"(?:[^"\\]|\\.|"")*(?:"|\Z)|\b(?:0x[0-9A-Fa-f]+|\d[\d.]*)\b""", re.DOTALL
)
_SAME_SECONDS = 5.0
_END_SECONDS = 30.0


def without_values(statement: str) -> str:
    """The statement with `?` for each literal, at most 300 characters: values may be secrets or people's data."""
    return _LITERAL.sub("?", statement)[:300]


class OneQuery(Parameters):
    connection: Annotated[
        int, msgspec.Meta(ge=1, le=2**63 - 1, title="Connection", description="The id in the process list.")
    ]


class KillQuery(Act[Node, OneQuery]):
    """Ends the query that was seen when the plan was made. `KILL QUERY ID` names it by a number that the server gives
    only once while it runs (mariadb.com/kb/en/kill/), so a later query of the same connection is not hit."""

    name: ClassVar[str] = "kill-query"
    title: ClassVar[str] = "Stop the query of connection {connection}"
    summary: ClassVar[str] = (
        "The running query ends with an error, and what it has changed is rolled back, which can take as long as it"
        " ran. The connection stays open. A query that the connection has started since is left alone."
    )
    risk: ClassVar[Risk] = Risk.MEDIUM
    Parameters: ClassVar[type[Parameters]] = OneQuery
    why_no_undo: ClassVar[str] = "The query's client got an error and must send it again."

    def conditions(self, driver: Node, params: OneQuery) -> list[Condition]:
        with driver.session() as session:
            row = _query(session, params.connection)
        running = row is not None and _is_running(row)
        ordinary = row is not None and row["id"] != row["own"] and row["user"] not in ("system user", "event_scheduler")
        ordinary = ordinary and row is not None and row["command"] != "Binlog Dump"
        seen = f"{row['command']} of {row['user']}" if row else "there is no such connection"
        return [
            Condition(f"Connection {params.connection} runs a query.", running, seen),
            Condition("It is a client's, not part of replication.", bool(ordinary), seen),
        ]

    def before(self, driver: Node, params: OneQuery) -> Report:
        with driver.session() as session:
            row = _query(session, params.connection)
        if row is None or not _is_running(row):
            return {}
        return {
            "query": int(row["query_id"]),
            "started": _started(row),
            "seconds": float(row["seconds"]),
            "user": row["user"],
            "host": row["host"],
            "database": row["db"],
            "statement": without_values(str(row["info"])),
        }

    def sends(self, driver: Node, params: OneQuery, before: Facts) -> list[str]:
        return [KILL % before["query"]] if before else ["nothing: the query has ended"]

    def done(self, driver: Node, params: OneQuery, before: Facts) -> bool:
        with driver.session() as session:
            return not _same(_query(session, params.connection), before)

    def do(self, driver: Node, params: OneQuery, before: Facts, call: Call) -> Report:
        with driver.session() as session:
            if not _same(_query(session, params.connection), before):
                return {"stopped": False}
            call.check()
            try:
                session.run(KILL, before["query"])
            except Refused as error:
                if error.code != NO_SUCH_QUERY:  # it ended by itself in this very moment
                    raise
            until(lambda: not _same(_query(session, params.connection), before), _END_SECONDS, "it is not rolled back")
        return {"stopped": True}


def _query(session: Session, connection: int) -> Row | None:
    return next(iter(session.rows(QUERY, connection)), None)


def _is_running(row: Row) -> bool:
    """An idle connection keeps the number of its last query; a killed one that has ended has no statement left."""
    return row["command"] != "Sleep" and row["info"] is not None


def _started(row: Row) -> float:
    return round(float(row["now"]) - float(row["seconds"]), 3)


def _same(row: Row | None, before: dict[str, Any] | Facts) -> bool:
    """Whether it is the query seen before. Numbers begin anew when the server restarts, so the start must fit too."""
    return (
        bool(before)
        and row is not None
        and _is_running(row)
        and int(row["query_id"]) == before["query"]
        and abs(_started(row) - before["started"]) < _SAME_SECONDS
    )
