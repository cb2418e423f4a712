"""What PM2 is told to run: one application as its declaration file has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers import names
from drivers.errors import InvalidInput, PermanentError
from drivers.pm2.processes import Process

KILL_MILLISECONDS = 8_000
MOST_INSTANCES = 64
_LAST_WORDS = Path(__file__).with_name("last_words.js")


def declared(
    name: str, script: Path | str, cwd: Path | str, instances: int, env: Mapping[str, str], port: int, *, listen: int
) -> dict[str, Any]:
    """The declaration; `listen` is how many milliseconds a worker has to say that it is ready.

    `InvalidInput` for a bad name, value, number or port, `PermanentError` when the program is not there.
    """
    names.name(name, "process name")
    # PM2 resolves a linked release folder once and would keep the old one for ever, so it is resolved here.
    program, folder = names.path(script).resolve(), names.path(cwd).resolve()
    if not program.is_file() or not folder.is_dir():
        raise PermanentError(f"there is no program {program} to start in {folder}")
    for key, value in env.items():
        names.env_name(key)
        if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
            raise InvalidInput(f"the value of {key} must be at most 1,000 printable characters")
    return {
        "name": name,
        "script": str(program),
        "cwd": str(folder),
        "instances": names.whole(instances, 1, MOST_INSTANCES, "number of instances"),
        "exec_mode": "cluster",
        "node_args": ["--require", str(_LAST_WORDS)],
        "wait_ready": True,
        "listen_timeout": listen,
        "kill_timeout": KILL_MILLISECONDS,
        "max_restarts": 10,
        "min_uptime": 3000,
        "merge_logs": True,
        "vizion": False,
        "pmx": False,
        "env": {**env, "PORT": str(names.port(port))},
    }


def runs(running: Sequence[Process], wanted: Mapping[str, Any]) -> bool:
    """Whether these processes are what is declared, all of it and online."""
    return len(running) == wanted["instances"] and all(
        process.online
        and process.script == wanted["script"]
        and process.version == wanted["env"].get("VERSION")
        and str(process.port) == wanted["env"]["PORT"]
        for process in running
    )
