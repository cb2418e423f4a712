"""A cluster of MariaDB servers in memory: positions, channels, settings and sessions, and what statements do to them.

Replication is instantaneous. Only the statements that the driver sends are understood; any other one is an error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pymysql

from drivers.mariadb import MariaDB, discovery, gtid, queries, rebuild, replication, state, switchover
from drivers.mariadb.judge import LONG
from drivers.secret import Secret, SecretStore
from tests.drivers.contract import World

PASSWORD = "simulated"
Gtid = tuple[int, int, int]
Rows = list[dict[str, Any]]


class Secrets(SecretStore):
    def resolve(self, reference: object) -> Secret:
        return Secret(PASSWORD)


@dataclass
class Channel:
    port: int
    io: bool = False
    sql: bool = False
    received: list[tuple[Gtid, int]] = field(default_factory=list)
    acknowledges: bool = False


@dataclass
class Server:
    """One server. `log` is its binary log: each transaction writes one number into app.writes."""

    number: int
    port: int
    read_only: bool = False
    log: list[tuple[Gtid, int]] = field(default_factory=list)
    past: gtid.Gtids = field(default_factory=dict)
    slave: dict[int, tuple[int, int]] = field(default_factory=dict)
    channel: Channel | None = None
    sends: bool = False
    acknowledges: bool = False
    databases: dict[str, set[int]] = field(default_factory=lambda: {"app": set()})
    sessions: dict[int, dict[str, Any]] = field(default_factory=dict)

    def write(self, number: int) -> None:
        last = max([n for (_, n) in self.slave.values()] + [one[0][2] for one in self.log], default=0)
        self.apply((0, self.number, last + 1), number, own=True)

    def apply(self, at: Gtid, number: int, *, own: bool = False) -> None:
        self.log.append((at, number))
        self.databases["app"].add(number)
        if not own:
            self.slave[at[0]] = at[1:]

    @property
    def history(self) -> str:
        own = {(domain, server): number for (domain, server, number), _ in self.log}
        return gtid.shown({**self.past, **own})

    @property
    def slave_position(self) -> str:
        return ",".join(f"{domain}-{server}-{number}" for domain, (server, number) in sorted(self.slave.items()))

    @property
    def position(self) -> str:
        last = self.log[-1][0] if self.log and self.log[-1][0][1] == self.number else None
        return f"{last[0]}-{last[1]}-{last[2]}" if last else self.slave_position


class Cluster:
    """Servers 1, 2 and 3 on ports 3301 to 3303; 1 is the primary of the others."""

    def __init__(self) -> None:
        self.servers = {3300 + number: Server(number, 3300 + number) for number in (1, 2, 3)}
        self.fresh()

    def fresh(self) -> None:
        for port in self.servers:
            self.servers[port] = Server(port - 3300, port)
        self.server(1).write(0)
        for number in (2, 3):
            self.server(number).read_only = True
            self.server(number).channel = Channel(3301, io=True, sql=True)
        self.flow()

    def server(self, number: int) -> Server:
        return self.servers[3300 + number]

    def driver(self, number: int, **more: Any) -> MariaDB:
        """A fresh driver of one server."""
        kind = type("SimulatedMariaDB", (Simulated,), {"cluster": self})
        facts = {"host": "127.0.0.1", "port": 3300 + number, "user": "portal", "password": "env:DATABASE_PASSWORD"}
        for role in ("replication", "rebuild"):
            facts |= {f"{role}_user": role, f"{role}_password": "env:DATABASE_PASSWORD"}
        facts["peers"] = [f"127.0.0.1:{3300 + other}" for other in (1, 2, 3) if other != number]
        return kind({**facts, **more}, Secrets())

    def flow(self) -> None:
        """Let every running thread do its work, until nothing moves any more."""
        while any(self._step(server) for server in self.servers.values()):
            pass

    def _step(self, server: Server) -> bool:
        channel, moved = server.channel, False
        if channel is None:
            return False
        if channel.io:
            known = max([n for _, n in server.slave.values()] + [at[2] for at, _ in channel.received], default=0)
            fetched = [one for one in self.servers[channel.port].log if one[0][2] > known]
            channel.received += fetched
            moved = bool(fetched)
        while channel.sql and channel.received:
            server.apply(*channel.received.pop(0))
            moved = True
        return moved


class Link:
    """A connection and its only cursor."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        if port not in cluster.servers:
            raise pymysql.OperationalError(2003, "Can't connect to MySQL server (Connection refused)")
        self.cluster, self.at, self.answer = cluster, cluster.servers[port], Rows()

    def cursor(self) -> Link:
        return self

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def fetchall(self) -> Rows:
        return self.answer

    def execute(self, statement: str, values: tuple[Any, ...] | None = None) -> None:
        text = " ".join((statement % tuple(map(repr, values)) if values else statement).split())
        for pattern, answer in STATEMENTS:
            if match := re.fullmatch(pattern, text):
                self.answer = answer(self, *match.groups()) or []
                self.cluster.flow()
                return
        raise pymysql.ProgrammingError(1064, f"not simulated: {text}")

    def variables(self) -> Rows:
        at = self.at
        values = {
            "version": "10.11.19-MariaDB-simulated",
            "read_only": "ON" if at.read_only else "OFF",
            "server_id": at.number,
            "gtid_current_pos": at.position,
            "gtid_binlog_pos": at.position,
            "gtid_slave_pos": at.slave_position,
            "gtid_binlog_state": at.history,
            **dict.fromkeys(("gtid_strict_mode", "log_bin", "log_slave_updates"), "ON"),
            "rpl_semi_sync_master_enabled": "ON" if at.sends else "OFF",
            "rpl_semi_sync_slave_enabled": "ON" if at.acknowledges else "OFF",
            "rpl_semi_sync_master_timeout": 10000,
            "rpl_semi_sync_master_wait_point": "AFTER_COMMIT",
        }
        return [{"Variable_name": name, "Value": str(value)} for name, value in values.items()]

    def status(self) -> Rows:
        channels = [one.channel for one in self.cluster.servers.values() if one.channel]
        clients = sum(one.port == self.at.port and one.io and one.acknowledges for one in channels)
        receives = self.at.channel is not None and self.at.channel.io and self.at.channel.acknowledges
        values = {
            "Threads_connected": 1 + len(self.at.sessions),
            "Uptime": 100,
            "Rpl_semi_sync_master_status": "ON" if self.at.sends else "OFF",
            "Rpl_semi_sync_slave_status": "ON" if receives else "OFF",
            "Rpl_semi_sync_master_clients": clients,
            "Rpl_semi_sync_master_no_tx": 0,
        }
        return [{"Variable_name": name, "Value": str(value)} for name, value in values.items()]

    def channels(self) -> Rows:
        channel = self.at.channel
        if channel is None:
            return []
        received = gtid.shown({at[:2]: at[2] for at, _ in channel.received}) or self.at.slave_position
        return [
            {
                "Connection_name": "",
                "Master_Host": "127.0.0.1",
                "Master_Port": channel.port,
                "Slave_IO_Running": "Yes" if channel.io else "No",
                "Slave_SQL_Running": "Yes" if channel.sql else "No",
                "Seconds_Behind_Master": 0 if channel.sql else None,
                "Gtid_IO_Pos": received,
                "Using_Gtid": "Slave_Pos",
                **dict.fromkeys(("Last_IO_Error", "Last_SQL_Error"), ""),
                "Last_IO_Errno": 0,
            }
        ]

    def threads(self, word: str, which: str | None) -> None:
        channel = self.at.channel
        if channel is None:
            return
        if word == "START" and not channel.io and not channel.sql:
            channel.received.clear()  # as the real one does
        if which in (None, "IO"):
            channel.io = word == "START"
            channel.acknowledges = self.at.acknowledges
        if which in (None, "SQL"):
            channel.sql = word == "START"

    def change(self, port: str) -> None:
        self.at.channel = Channel(int(port))

    def forget(self) -> None:
        self.at.channel = None

    def reset(self) -> None:
        self.at.log, self.at.past = [], {}

    def put(self, name: str, value: str) -> None:
        if name == "gtid_slave_pos":
            self.at.slave = {domain: (server, number) for (domain, server), number in gtid.parse(value).items()}
        elif name == "gtid_binlog_state":
            self.at.past = gtid.parse(value)
        else:
            names = {"rpl_semi_sync_master_enabled": "sends", "rpl_semi_sync_slave_enabled": "acknowledges"}
            setattr(self.at, names.get(name, name), value == "1")

    def get(self, name: str) -> Rows:
        return [{name: {row["Variable_name"]: row["Value"] for row in self.variables()}[name]}]

    def clients(self) -> Rows:
        return [{"id": number, "transaction": one["transaction"]} for number, one in self.at.sessions.items()]

    def query(self, connection: str) -> Rows:
        found = self.at.sessions.get(int(connection))
        row = {"id": int(connection), "host": "127.0.0.1:50000", "db": "app", "own": 1, "user": "app"}
        now = time.time()
        return [{**row, **found, "now": now, "seconds": now - found["since"]}] if found else []

    def kill_query(self, number: str) -> None:
        for one in self.at.sessions.values():
            if one["query_id"] == int(number):
                one |= {"command": "Sleep", "info": None}

    def kill(self, connection: str) -> None:
        self.at.sessions.pop(int(connection), None)

    def identity(self) -> Rows:
        said = {"server_uid": f"uid-{self.at.number}", "innodb_encrypt_tables": "OFF", "version_comment": "simulated"}
        return [{"Variable_name": name, "Value": value} for name, value in said.items()]

    def followers(self) -> Rows:
        """Each simulated server has the port 3300 and its number."""
        everyone = self.cluster.servers.values()
        follow = [one for one in everyone if one.channel and one.channel.port == 3300 + self.at.number]
        return [{"Host": "127.0.0.1", "Port": 3300 + one.number} for one in follow]

    def names(self) -> Rows:
        return [{"name": name} for name in sorted(self.at.databases)]

    def drop(self, name: str) -> None:
        self.at.databases.pop(name, None)

    def create(self, name: str) -> None:
        self.at.databases[name] = set()

    def load(self, numbers: str) -> None:
        self.at.databases["app"] |= {int(number) for number in re.findall(r"\d+", numbers)}


def _says(**row: Any) -> Callable[..., Rows]:
    return lambda *_: [row]


def _plain(statement: str) -> str:
    """A statement of the driver as a pattern; its values are what `execute` puts there."""
    return re.escape(" ".join(statement.split())).replace("%s", r"(.+)")


STATEMENTS: list[tuple[str, Callable[..., Rows | None]]] = [
    (_plain(state.VARIABLES), Link.variables),
    (_plain(state.STATUS), Link.status),
    (_plain(state.CHANNELS), Link.channels),
    (_plain(state.GRANTS), _says(grants="GRANT PROCESS, READ_ONLY ADMIN ON *.* TO `portal`@`%`")),
    (_plain(replication.SESSIONS), Link.clients),
    (_plain(queries.QUERY), Link.query),
    (_plain(queries.KILL), Link.kill_query),
    (_plain(rebuild.DATABASES), Link.names),
    (_plain(discovery.IDENTITY), Link.identity),
    (_plain(discovery.REPLICAS), Link.followers),
    (_plain(discovery.DATABASES), Link.names),
    (_plain(rebuild.SIZE), _says(size=100)),
    (_plain(rebuild.CLAIM), _says(lock=1)),
    (_plain(LONG), _says(number=0)),
    (_plain(switchover.WAIT), _says(waited=0)),
    (r"(START|STOP) SLAVE(?: (IO|SQL)_THREAD)?", Link.threads),
    (r"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=(\d+), .*", Link.change),
    (r"RESET SLAVE ALL", Link.forget),
    (r"RESET MASTER", Link.reset),
    (r"SET SESSION .*|FLUSH PRIVILEGES|SELECT \* FROM mysql\.\w+", _says()),
    (r"SET GLOBAL (\w+) = '?([^']*)'?", Link.put),
    (r"SELECT @@GLOBAL\.(\w+)", Link.get),
    (r"KILL CONNECTION (\d+)", Link.kill),
    (r"DROP DATABASE IF EXISTS `(\w+)`", Link.drop),
    (r"CREATE DATABASE `(\w+)`", Link.create),
    (r"REPLACE INTO `app`.`writes` VALUES (.*)", Link.load),
]


class Simulated(MariaDB):
    """The driver's own code; what it opens are links in memory."""

    cluster: ClassVar[Cluster]

    def link(self, user: str, password: Secret, seconds: float) -> Link:
        return Link(self.cluster, self.port)

    def dumper(self) -> Path:
        return Path("/usr/bin/mariadb-dump")

    @contextmanager
    def dump(self, databases: list[str]) -> Iterator[Iterator[str]]:
        at = self.cluster.servers[self.port]
        rows = ",".join(f"({number})" for number in sorted(at.databases["app"]))
        yield iter(
            [
                *(f"CREATE DATABASE `{name}`;\n" for name in databases),
                f"REPLACE INTO `app`.`writes` VALUES {rows};\n",
                f"-- SET GLOBAL gtid_slave_pos='{at.position}';\n",
                "-- Dump completed\n",
            ]
        )


class SimulatedWorld(World):
    """The cluster above; each act is tried on the server that it is meant for."""

    driver_class = MariaDB
    examples: ClassVar[dict[str, dict[str, Any]]] = {
        "kill-query": {"connection": 7},
        "start-replication": {},
        "stop-replication": {},
        "set-read-only": {"state": "on", "stop_writers": True},
        "set-semi-sync": {"side": "replica", "state": "on"},
        "follow-primary": {"primary": "127.0.0.1:3302"},
        "promote-replica": {},
        "rebuild-replica": {"primary": "127.0.0.1:3301"},
    }

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.target = 3

    def driver(self) -> MariaDB:
        return self.cluster.driver(self.target)

    def unreachable(self) -> MariaDB:
        return self.cluster.driver(self.target, port=3399)

    def prepare(self, act: Any) -> None:
        self.cluster.fresh()
        self.target = {"set-read-only": 1, "promote-replica": 2}.get(act.name, 3)
        at = self.cluster.server(self.target)
        if act.name == "kill-query":
            running = {"command": "Query", "query_id": 42, "info": "SELECT SLEEP(600)", "transaction": None}
            at.sessions[7] = {**running, "since": time.time()}
        if act.name == "start-replication":
            at.channel = Channel(3301)
        if act.name == "promote-replica":
            self.cluster.server(1).read_only = True
        if act.name == "rebuild-replica":
            at.databases["stray"] = set()
            at.write(99)

    def picture(self) -> Any:
        return {
            port: {
                "read_only": one.read_only,
                "history": one.history,
                "semi_sync": (one.sends, one.acknowledges),
                "channel": one.channel and (one.channel.port, one.channel.io, one.channel.sql),
                "databases": {name: sorted(numbers) for name, numbers in one.databases.items()},
                "running": [number for number, session in one.sessions.items() if session["command"] == "Query"],
            }
            for port, one in self.cluster.servers.items()
        }


SIMULATED = {"mariadb": SimulatedWorld}
