"""Undoing what `lab break` did."""

from __future__ import annotations

import contextlib
from typing import Any

import redis

from lab import broken, estate, files
from lab.cache import FILL_PREFIX, Cache, Node
from lab.daemon import COMMAND, SUPERVISOR, supervisor_pid, until
from lab.database import Database
from lab.estate import Estate, Say
from lab.layout import CELLS, Lab

_SECONDS = 30.0


def heal(lab: Lab, say: Say) -> list[str]:
    """Undo every fault and start what does not run; the problems that remain (empty when all is well)."""
    problems = mend(estate.opened(lab), say)
    for problem in problems:
        say(f"FAILED {problem}")
    say("lab: healed" if not problems else "lab: not healed")
    return problems


def mend(here: Estate, say: Say) -> list[str]:
    """`heal` for the units of `here`: daemons first, then data, then roles (the cache's first primary is it again)."""
    problems: list[str] = []
    lab = here.lab
    entries = broken.entries(lab)
    for entry in entries:
        if "daemon" in entry:
            broken.forget(lab, entry["kind"], entry["target"])
    problems += _start(here, say)
    for entry in entries:
        try:
            said = _undo(here, entry)
            broken.forget(lab, entry["kind"], entry["target"])
            say(said)
        except Exception as error:  # noqa: BLE001 - as above; the fault stays on record
            problems.append(f"{entry['kind']} {entry['target']}: {error}")
    return problems + _settle(here, say)


def _start(here: Estate, say: Say) -> list[str]:
    """Start what does not run, without waiting for it."""
    problems = []
    # Beside a supervisor, which would start them itself a moment later, they are its to stop as well.
    owner = SUPERVISOR if supervisor_pid(here.lab) else COMMAND
    for unit in here.units:
        for daemon in unit.daemons:
            try:
                if daemon.process() is None and daemon.start(owner):
                    say(f"started {daemon.name}")
            except Exception as error:  # noqa: BLE001 - the other daemons and faults are to be seen to as well
                problems.append(f"{daemon.name}: {error}")
    return problems


def _undo(here: Estate, entry: dict[str, Any]) -> str:
    kind, target = entry["kind"], entry["target"]
    if kind == "service":
        clear_fault(here.lab, target)
        return f"{target}: answers as its release does"
    if kind == "replication":
        return _join(_node(here, target))
    if kind == "cache":
        return _empty(here, target)
    if kind == "database":
        unit: Database = here.of(Database)[0]
        with unit.root(target) as cursor:
            cursor.execute("START SLAVE")
        return f"{target}: replication threads started"
    return f"{target}: runs again"


def clear_fault(lab: Lab, target: str) -> None:
    """Remove the fault of `env/dc/service`; a worker sees it within a fraction of a second."""
    key, _, service = target.rpartition("/")
    path = lab.of(key) / "faults.json"
    with files.locked(lab.root / ".broken.lock"):
        faults = files.read_json(path, {})
        faults.pop(service, None)
        files.write_json(path, faults)


def _node(here: Estate, name: str) -> Node:
    return next(node for cache in here.of(Cache) for node in cache.nodes if node.name == name)


def _join(node: Node) -> str:
    def set_password() -> str:
        with node.client() as client:
            client.config_set("masterauth", node.lab.value(node.secret))
        return "set"

    until(set_password, _SECONDS, node.name)
    return f"{node.name}: follows its primary again"


def _empty(here: Estate, target: str) -> str:
    """Delete the filling wherever the primary is by now."""
    cache: Cache = next(cache for cache in here.of(Cache) for node in cache.nodes if node.name == target)
    removed = 0
    for node in cache.nodes:
        with node.client() as client, contextlib.suppress(redis.exceptions.ReadOnlyError):
            for key in client.scan_iter(f"{FILL_PREFIX}*", count=1000):
                removed += client.unlink(key)
    return f"{target}: removed {removed} keys of filling"


def _settle(here: Estate, say: Say) -> list[str]:
    problems = []
    for cache in here.of(Cache):
        try:
            if cache.restore_roles(_SECONDS):
                say(f"{cache.nodes[0].name}: primary again")
        except Exception as error:  # noqa: BLE001 - reported like the others
            problems.append(f"{cache.name}: {error}")
    for unit in here.units:
        try:
            for daemon in unit.daemons:
                daemon.wait(_SECONDS)
            unit.finish(_SECONDS)
        except Exception as error:  # noqa: BLE001 - reported like the others
            problems.append(f"{unit.name}: {error}")
    return problems


def forget(lab: Lab) -> None:
    """Before the lab is taken down: drop what would outlive its daemons, so that the next start is a sound one."""
    here = estate.everything(lab)
    for entry in broken.entries(lab):
        if entry["kind"] == "cache" and here is not None:
            with contextlib.suppress(redis.RedisError, OSError, StopIteration):
                _empty(here, entry["target"])
    for cell in CELLS:
        (lab.of(cell.key) / "faults.json").unlink(missing_ok=True)
    if lab.broken.exists():
        files.write_json(lab.broken, [])
