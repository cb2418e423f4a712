"""What a run of ``chaos`` acts on and asks for: real targets that keep count, and plans drawn with a seed.

30 components belong to one counting daemon (``bench.tally``), 10 are Valkey servers which the portal's own driver acts
on and which write every command down in their slow log. Each component gets five operations.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis

from bench import plans
from bench.stage import wait_until
from portal.embedded import ports, process, state
from portal.embedded.valkey import Valkey

TALLIED, SERVERS, EACH = 30, 10, 5
STUCK = 10
"""So many components get an operation whose undoing is refused, as their last: it keeps its target."""
CACHED, KEPT = 1500, 100
TALLY_PORT, SERVER_PORT = 24600, 24620
SETTABLE = ("latency-monitor-threshold", "min-replicas-max-lag")
DONE, UNDONE, STICKS = "done", "undone", "stuck"


@dataclass(frozen=True)
class Wanted:
    """One operation to ask for: on which component, with what, and how it ends if nothing comes in between."""

    key: str
    component: str
    plan: str
    params: dict[str, Any]
    ends: str


@dataclass
class Server:
    """A Valkey that writes down every command, with keys to delete and keys to leave alone."""

    name: str
    daemon: Valkey
    password_file: Path

    @contextlib.contextmanager
    def client(self) -> Any:
        with redis.Redis(port=self.daemon.port, password=self.daemon.password, decode_responses=True) as client:
            yield client

    def start(self) -> None:
        ports.start_on_free(self.daemon, SERVER_PORT)
        with self.client() as client:
            for number in range(CACHED):
                client.set(f"cache:{number}", "x")
            for number in range(KEPT):
                client.set(f"keep:{number}", "x")
            client.config_set("slowlog-max-len", 1_000_000)
            client.config_set("slowlog-log-slower-than", 0)
            client.config_resetstat()
            client.slowlog_reset()

    def commands(self) -> list[str]:
        """What it was told, oldest first; each argument cut after 128 characters."""
        with self.client() as client:
            return [line["command"].decode() for line in reversed(client.slowlog_get(1_000_000))]

    def statistics(self) -> tuple[int, dict[str, str], int, int]:
        """CONFIG SETs it counted, what is set now, cached keys and kept keys that are left."""
        with self.client() as client:
            told = client.info("commandstats").get("cmdstat_config|set", {}).get("calls", 0)
            now = {name: client.config_get(name)[name] for name in SETTABLE}
            left = [sum(1 for _ in client.scan_iter(f"{word}:*", 1000)) for word in ("cache", "keep")]
        return told, now, left[0], left[1]


@dataclass
class Cast:
    """The targets of one run, and what is asked of them."""

    folder: Path
    seed: int
    wanted: list[Wanted] = field(default_factory=list)
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)
    daemon: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.folder.mkdir()
        lines = [self._of_a_thing(f"t{number:02}") for number in range(TALLIED)]
        for line in self.dice.sample(lines, STUCK):
            line[-1] = self._sticking(line[-1])
        lines += [self._of_a_server(f"v{number:02}", number) for number in range(SERVERS)]
        # In any order over the components, in their own order within each.
        turns = [line for line in lines for _ in range(EACH)]
        self.dice.shuffle(turns)
        taken = dict.fromkeys(map(id, lines), 0)
        for line in turns:
            self.wanted.append(line[taken[id(line)]])
            taken[id(line)] += 1

    @property
    def components(self) -> list[str]:
        return sorted({each.component for each in self.wanted})

    @property
    def journal(self) -> list[dict[str, Any]]:
        """What the counting daemon was told and did, oldest first."""
        return [json.loads(line) for line in (self.folder / "journal").read_text().splitlines()]

    def start(self, connections: Path) -> None:
        """Start every target, and write down where the portal finds the servers."""
        (self.folder / "faults.json").write_text(json.dumps(self.faults))
        port = ports.first_free(TALLY_PORT)
        command = [sys.executable, str(state.REPOSITORY / "bench" / "tally.py"), str(port), str(self.folder)]
        self.daemon = process.spawn(command, log=self.folder / "tally.log")
        os.environ["BENCH_TALLY"] = f"http://127.0.0.1:{port}"
        known = {}
        for number in range(SERVERS):
            server = self._server(f"v{number:02}")
            server.start()
            self.servers.append(server)
            facts = {"driver": "redis", "host": "127.0.0.1", "port": server.daemon.port}
            known[self.slug(server.name)] = facts | {"password": f"file:{server.password_file}"}
        connections.parent.mkdir(parents=True, exist_ok=True)
        connections.write_text(json.dumps({"version": 1, "connections": known}))
        wait_until(self._answers, "the counting daemon does not answer", 30)

    def stop(self) -> None:
        for server in self.servers:
            server.daemon.stop()
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()

    def slug(self, name: str) -> str:
        """In staging, where nobody has to agree to what is risky."""
        return f"staging/us-central/s{self.seed}-{name}"

    @staticmethod
    def _answers() -> bool:
        try:
            return httpx.get(f"{os.environ['BENCH_TALLY']}/nothing/1", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _server(self, name: str) -> Server:
        folder = self.folder / name
        folder.mkdir()
        daemon = Valkey(folder, secrets.token_urlsafe(16), self.folder / f"{name}.log")
        (folder / "password").write_text(daemon.password)
        (folder / "password").chmod(0o600)
        return Server(name, daemon, folder / "password")

    # -- what is asked for -----------------------------------------------------------------------------------------

    def _of_a_thing(self, name: str) -> list[Wanted]:
        return [self._tally(name, f"{name}-{turn}") for turn in range(EACH)]

    def _tally(self, name: str, thing: str) -> Wanted:
        steps = self.dice.randint(2, 5)
        for place in range(1, steps + 1):
            self._troubled(f"{thing}/{place}")
        ends = DONE
        if self.dice.random() < 0.35:
            self.faults[f"{thing}/{self.dice.randint(1, steps)}"]["refuse"] = True
            ends = UNDONE
        return Wanted(thing, self.slug(name), plans.TALLY, {"thing": thing, "steps": steps}, ends)

    def _troubled(self, step: str) -> None:
        """Most steps take a moment, some are refused for now, and some answers are lost on the way."""
        found: dict[str, Any] = self.faults.setdefault(step, {})
        if self.dice.random() < 0.7:
            found["slow"] = round(self.dice.uniform(0.02, 0.2), 3)
        for fault, chance, times in (("busy", 0.12, 2), ("lost", 0.08, 1), ("busy_back", 0.12, 2)):
            if self.dice.random() < chance:
                found[fault] = self.dice.randint(1, times)

    def _sticking(self, asked: Wanted) -> Wanted:
        """The same, but a step is never done and an earlier one cannot be taken back."""
        steps = asked.params["steps"]
        for place in range(1, steps + 1):
            self.faults[f"{asked.key}/{place}"].pop("refuse", None)
        at = self.dice.randint(2, steps)
        self.faults[f"{asked.key}/{at}"]["refuse"] = True
        self.faults[f"{asked.key}/{self.dice.randint(1, at - 1)}"]["refuse_back"] = True
        return Wanted(asked.key, asked.component, asked.plan, asked.params, STICKS)

    def _of_a_server(self, name: str, number: int) -> list[Wanted]:
        line = []
        for turn in range(EACH - 1):
            value = str(1000 + 10 * number + turn)  # no two operations set the same
            params = {"name": SETTABLE[turn % 2], "value": value}
            line.append(Wanted(f"{name}-{turn}", self.slug(name), "redis.set-parameter", params, DONE))
        flush = {"prefix": "cache:", "confirm": "cache:"}
        line.insert(self.dice.randrange(EACH), Wanted(f"{name}-f", self.slug(name), "redis.flush-prefix", flush, DONE))
        return line
