"""Breaking things for real, each so that `lab heal` can undo it. Every function returns what it did as a sentence."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import redis

from drivers.errors import DriverError
from lab import broken, estate, files
from lab.apps import Apps
from lab.cache import FILL_PREFIX, Cache, Node
from lab.daemon import until
from lab.database import Database
from lab.edge import Edge
from lab.errors import LabError
from lab.layout import Cell, Lab, cell, known_service
from lab.unit import require

_WRONG = "cut-off-by-lab-break"  # no password: the replica is to be refused
_SECONDS = 15.0


def _place(target: str) -> tuple[Cell, str]:
    parts = target.split("/")
    if len(parts) != 3:
        raise LabError(f"{target!r} is not ENV/DC/SERVICE, such as production/us-central/api")
    return cell("/".join(parts[:2])), known_service(parts[2])


def _unit(here: estate.Estate, kind: type[Any], name: str) -> Any:
    """The unit of this class and name; `LabError` when it is not part of what is up."""
    for unit in here.of(kind):
        if unit.name == name:
            return unit
    missing = here.missing.get(name)
    raise LabError(f"{name} is not up{f': {missing}' if missing else ''}; `lab status` shows what is")


def process(lab: Lab, target: str) -> str:
    """SIGKILL one worker of a service, of the slot with more traffic. PM2 starts another, so nothing is remembered."""
    where, name = _place(target)
    here = estate.opened(lab)
    apps: Apps = _unit(here, Apps, f"{where.key}/pm2")
    edge: Edge = _unit(here, Edge, f"{where.key}/nginx")
    try:
        weights = edge.driver.weights(name)
        workers = [one for one in apps.daemon.driver.processes() if one.online]
    except DriverError as error:
        raise LabError(f"{where.key}: {error}") from error
    for slot in sorted(weights, key=lambda letter: -weights[letter]):
        for worker in workers:
            if worker.name == f"{name}-{slot}":
                os.kill(worker.pid, signal.SIGKILL)
                return f"killed worker {worker.pid} of {target} (slot {slot})"
    raise LabError(f"{target} has no running worker to kill")


def service(lab: Lab, target: str, *, errors: float = 0, delay_ms: int = 0, until_reload: bool = False) -> str:
    """Make every worker of a service answer 500 for a share of the requests, slowly, or both."""
    where, name = _place(target)
    if not 0 <= errors <= 1:
        raise LabError(f"--errors is a share between 0 and 1, not {errors}")
    if not 0 <= delay_ms <= 60_000:
        raise LabError(f"--delay-ms lies between 0 and 60000, not {delay_ms}")
    if not errors and not delay_ms:
        raise LabError("say what is to go wrong: --errors, --delay-ms or both")
    apps: Apps = _unit(estate.opened(lab), Apps, f"{where.key}/pm2")
    fault = {"error_rate": errors, "delay_ms": delay_ms, "until_restart": until_reload, "since_ms": time.time() * 1000}
    with files.locked(lab.root / ".broken.lock"):
        files.write_json(apps.faults, {**files.read_json(apps.faults, {}), name: fault})
    broken.remember(lab, "service", target)
    parts = [f"{errors:.0%} of the answers are errors"] if errors else []
    parts += [f"answers take {delay_ms} ms longer"] if delay_ms else []
    return f"{target}: {' and '.join(parts)}{', until it is reloaded' if until_reload else ''}"


def nginx(lab: Lab, target: str) -> str:
    """SIGKILL master and workers of the edge of a data center."""
    edge: Edge = _unit(estate.opened(lab), Edge, f"{cell(target).key}/nginx")
    broken.remember(lab, "nginx", edge.name, daemon=edge.name)
    was = edge.daemon.kill()
    return f"{edge.name}: {'killed' if was else 'was not running'}"


def _replicated(lab: Lab) -> Cache:
    found: Cache = _unit(estate.opened(lab), Cache, "production cache")
    return found


def _node(cache: Cache, role: str, word: str) -> Node:
    node = cache.by_role(role)
    if node is None:
        raise LabError(f"no node of the {cache.name} is the {word} now; `lab heal` brings it back")
    return node


def replication(lab: Lab) -> str:
    """Cut the cache replica off: it gets a wrong password for its primary, and its connection is closed."""
    cache = _replicated(lab)
    replica, primary = _node(cache, "slave", "replica"), _node(cache, "master", "primary")
    broken.remember(lab, "replication", replica.name)
    with replica.client() as client:
        client.config_set("masterauth", _WRONG)
    with primary.client() as client:
        client.client_kill_filter(_type="replica")

    def link_is_down() -> str:
        require(replica.replication().get("master_link_status") == "down", "the link is still up")
        return "down"

    until(link_is_down, _SECONDS, "the cut of the replication")
    return f"{replica.name}: cut off from its primary"


def fill_cache(lab: Lab, environment: str) -> str:
    """Fill the cache of an environment until it refuses writes."""
    cache: Cache = _unit(estate.opened(lab), Cache, f"{environment} cache")
    node = _node(cache, "master", "primary") if cache.sentinels else cache.nodes[0]
    broken.remember(lab, "cache", node.name)
    try:
        with node.client() as client:
            stored = _fill(client)
    except redis.RedisError as error:
        raise LabError(f"{node.name}: {error}") from error
    return f"{node.name}: full after {stored / 1e6:.0f} MB, it refuses writes"


def _fill(client: redis.Redis) -> int:
    """Store pieces until the memory is used up and a megabyte more; the bytes stored.

    The limit is looked at before a command, so the last piece may pass it; without that margin the buffers of any
    client that leaves would make room again. SETRANGE lets the server make the piece, so that sending it takes none.
    """
    stored = 0
    for number in range(10_000):
        info = client.info("memory")
        room = info["maxmemory"] - info["used_memory"]
        if room < 0:
            return stored
        size = 1_000_000 if room > 3_000_000 else room + 1_000_000
        client.setrange(f"{FILL_PREFIX}{number}", size - 1, "x")
        stored += size
    raise LabError("the cache takes everything and has no limit")


def primary(lab: Lab) -> str:
    """SIGKILL the cache primary; Sentinel promotes the replica within seconds."""
    node = _node(_replicated(lab), "master", "primary")
    broken.remember(lab, "primary", node.name, daemon=node.name)
    node.daemon.kill()
    return f"{node.name}: killed; Sentinel promotes the other node"


def database(lab: Lab) -> str:
    """Stop both replication threads of the database replica."""
    unit: Database = _unit(estate.opened(lab), Database, "production database")
    replica = unit.following()
    broken.remember(lab, "database", replica)
    try:
        with unit.root(replica) as cursor:
            cursor.execute("STOP SLAVE")
    except Exception as error:
        broken.forget(lab, "database", replica)
        raise LabError(f"{replica}: {error}") from error
    return f"{replica}: replication threads stopped"
