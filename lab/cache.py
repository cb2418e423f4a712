"""The cache: Valkey, in production a primary and a replica watched by three Sentinels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from lab import broken, files, programs
from lab.daemon import Daemon, until
from lab.layout import Lab
from lab.ports import SENTINELS
from lab.unit import BROKEN, DOWN, UP, Row, Unit, require

MASTER = "edye"
MEMORY = "64mb"
FILL_PREFIX = "lab:fill:"
_FULL = 0.98  # of the limit: buffers of its clients come and go in the rest


class Node:
    """One Valkey server of a cache, key `<env>/<dc>/cache`."""

    def __init__(self, lab: Lab, name: str, port: int, secret: str, primary_port: int | None) -> None:
        self.lab, self.name, self.port, self.secret = lab, name, port, secret
        self.primary_port = primary_port  # where a replica is pointed at first; Sentinel may change it
        self.folder = lab.of(name)
        self.conf = self.folder / "valkey.conf"
        self.daemon = Daemon(lab, name, [str(programs.valkey()), str(self.conf)], self.check, prepare=self.prepare)

    def prepare(self) -> None:
        """Write the configuration, unless one for the same ports is there: Sentinel keeps the roles in that file."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        password = self.lab.value(self.secret)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{self.folder / "data"}"',
            "appendonly yes",
            'save ""',
            f"maxmemory {MEMORY}",
            "maxmemory-policy noeviction",
            "repl-diskless-sync-delay 0",
            f"requirepass {password}",
            f"masterauth {password}",
        ]
        if self.primary_port is not None:
            lines.append(f"replicaof 127.0.0.1 {self.primary_port}")
        write_once(self.conf, lines)

    def client(self) -> redis.Redis:
        """A client that gives up after 3 s."""
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=self.lab.value(self.secret),
            socket_timeout=3,
            socket_connect_timeout=2,
            decode_responses=True,
        )

    def replication(self) -> dict[str, Any]:
        """`INFO replication` of this node."""
        with self.client() as client:
            return dict(client.info("replication"))

    def check(self) -> str:
        """Ready when it answers; a replica must also be in sync."""
        with self.client() as client:
            info = {**client.info("replication"), **client.info("memory")}
        memory = f"{info['used_memory_human']} of {info['maxmemory_human']} used"
        if info["role"] == "master":
            full = info["used_memory"] >= _FULL * info["maxmemory"]
            require(not full, f"memory is full, {memory}: it refuses writes")
            return f"primary, {info['connected_slaves']} replicas, {memory}"
        require(info["master_link_status"] == "up", "replica, the link to the primary is down")
        return f"replica of 127.0.0.1:{info['master_port']}, {memory}"

    @property
    def facts(self) -> dict[str, Any]:
        """Its connection."""
        password = f"file:{self.lab.secret(self.secret)}"
        return {"driver": "redis", "host": "127.0.0.1", "port": self.port, "password": password}


def write_once(path: Path, lines: list[str]) -> None:
    """Write a configuration file that its daemon rewrites later, again only when `lines` are not the ones of before."""
    text = "\n".join([*lines, ""])
    mark = path.with_suffix(".origin")
    digest = hashlib.sha256(text.encode()).hexdigest()
    if not path.exists() or not mark.exists() or mark.read_text() != digest:
        files.write(path, text, 0o600)
        files.write(mark, digest)


class Cache(Unit):
    """A cache without replication, or with when it has two nodes and Sentinels."""

    def __init__(self, lab: Lab, environment: str, names: list[str], numbers: dict[str, int]) -> None:
        super().__init__(lab, f"{environment} cache", {environment})
        self.environment = environment
        secret = f"cache-{environment}"
        first = numbers[names[0]]
        self.nodes = [
            Node(lab, name, numbers[name], secret, None if numbers[name] == first else first) for name in names
        ]
        self.secret = secret
        self.stages = [[node.daemon for node in self.nodes]]
        self.sentinels: dict[str, int] = {}
        if len(names) > 1:
            self.sentinels = {name: numbers[name] for name in SENTINELS}
            self.stages.append([self._sentinel(name, port) for name, port in self.sentinels.items()])

    def _sentinel(self, name: str, port: int) -> Daemon:
        conf = self.lab.of(name) / "sentinel.conf"

        def prepare() -> None:
            conf.parent.mkdir(parents=True, exist_ok=True)
            password = self.lab.value(self.secret)
            write_once(
                conf,
                [
                    f"port {port}",
                    "bind 127.0.0.1",
                    f'dir "{conf.parent}"',
                    f"requirepass {password}",
                    f"sentinel monitor {MASTER} 127.0.0.1 {self.nodes[0].port} 2",
                    f"sentinel auth-pass {MASTER} {password}",
                    f"sentinel down-after-milliseconds {MASTER} 1000",
                    f"sentinel failover-timeout {MASTER} 10000",
                    f"sentinel parallel-syncs {MASTER} 1",
                ],
            )

        argv = [str(programs.valkey()), str(conf), "--sentinel"]
        return Daemon(self.lab, name, argv, lambda: self.sentinel_check(port), prepare=prepare)

    def sentinel(self, port: int) -> redis.Redis:
        """A client of one Sentinel."""
        password = self.lab.value(self.secret)
        return redis.Redis(host="127.0.0.1", port=port, password=password, socket_timeout=3, decode_responses=True)

    def sentinel_check(self, port: int) -> str:
        """Ready when it sees a living primary, a replica and the two other Sentinels."""
        with self.sentinel(port) as client:
            seen = client.sentinel_master(MASTER)
        others = int(seen["num-other-sentinels"])
        require(others == len(self.sentinels) - 1, f"sees {others} other Sentinels")
        require(int(seen["num-slaves"]) == len(self.nodes) - 1, f"sees {seen['num-slaves']} replicas")
        require(not (seen["is_sdown"] or seen["is_odown"]), "holds the primary to be down")
        return f"primary is 127.0.0.1:{seen['port']}"

    def by_role(self, role: str) -> Node | None:
        """The node that says it is `master` or `slave`; None when no node that answers does."""
        for node in self.nodes:
            try:
                if node.replication()["role"] == role:
                    return node
            except (redis.RedisError, OSError):
                continue
        return None

    def agreed_primary(self) -> int | None:
        """The port of the primary according to the first Sentinel that answers; None when none does."""
        for port in self.sentinels.values():
            try:
                with self.sentinel(port) as client:
                    return int(client.sentinel_master(MASTER)["port"])
            except (redis.RedisError, OSError):
                continue
        return None

    def finish(self, seconds: float) -> None:
        """A former primary that comes back still believes in itself until Sentinel notices, up to 10 s: tell it now."""
        primary = self.agreed_primary()
        for node in self.nodes:
            if primary is not None and node.port != primary and node.replication()["role"] == "master":
                with node.client() as client:
                    client.replicaof("127.0.0.1", primary)
            until(node.check, seconds, node.name)

    def restore_roles(self, seconds: float) -> bool:
        """Make the first node primary again by a failover that Sentinel carries out; False when it is already."""
        if not self.sentinels or self.agreed_primary() == self.nodes[0].port:
            return False
        self.finish(seconds)

        def ask() -> str:
            if self.agreed_primary() != self.nodes[0].port:
                with self.sentinel(next(iter(self.sentinels.values()))) as client:
                    client.execute_command("SENTINEL", "FAILOVER", MASTER)
                until(self._first_is_primary, 10, f"{self.nodes[0].name} as primary")
            return "done"

        until(ask, seconds, "the failover back")
        return True

    def _first_is_primary(self) -> str:
        require(self.agreed_primary() == self.nodes[0].port, "still a replica")
        return self.nodes[1].check()

    def connections(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {node.name: node.facts for node in self.nodes}
        if self.sentinels:
            found[f"{self.environment}/us-central/sentinel"] = {
                "driver": "sentinel",
                "sentinels": [["127.0.0.1", port] for port in self.sentinels.values()],
                "master": MASTER,
                "password": self.nodes[0].facts["password"],
            }
        return found

    def rows(self) -> list[Row]:
        known = broken.entries(self.lab)
        stopped = broken.daemons(self.lab)
        primary = self.agreed_primary()
        rows = []
        for node in self.nodes:
            row = self.probe(node.name, "redis", f"127.0.0.1:{node.port}", node.daemon, stopped)
            if row.state == UP and primary not in (None, node.port) and row.detail.startswith("primary"):
                row = Row(row.component, row.driver, row.address, DOWN, f"{row.detail}; Sentinel names another")
            if row.state == DOWN and any(entry["target"] == node.name for entry in known):
                row = Row(row.component, row.driver, row.address, BROKEN, row.detail)
            rows.append(row)
        return [*rows, *self._sentinel_row()]

    def _sentinel_row(self) -> list[Row]:
        if not self.sentinels:
            return []
        answers = [_answer(daemon) for daemon in self.stages[1]]
        good = [text for up, text in answers if up]
        bad = [text for up, text in answers if not up]
        address = " ".join(f"127.0.0.1:{port}" for port in self.sentinels.values())
        detail = f"{len(good)} of {len(answers)} agree; {(bad or good)[0]}"
        # A primary or replica that was broken on purpose is what they are there to notice.
        on_purpose = any(entry["kind"] in ("primary", "replication") for entry in broken.entries(self.lab))
        state = UP if not bad else BROKEN if on_purpose else DOWN
        return [Row(f"{self.environment}/us-central/sentinel", "sentinel", address, state, detail)]


def _answer(daemon: Daemon) -> tuple[bool, str]:
    check: Callable[[], str] = daemon.check
    try:
        return daemon.process() is not None, check()
    except Exception as error:  # noqa: BLE001 - whatever the client raises is the answer
        return False, str(error)[:200]
