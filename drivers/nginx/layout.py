"""A fresh nginx prefix: the tree that the driver then observes and switches."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers import names
from drivers.commands import run
from drivers.errors import DriverError
from drivers.locks import exclusive, replace_text
from drivers.nginx import generations, render


def worker_user() -> str | None:
    """`user group` for the workers when this process is root, else None: only root may change the user."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return f"nobody {grp.getgrgid(nobody.pw_gid).gr_name}"


def _keeps_alive(binary: Path) -> bool:
    """Whether this nginx knows `keepalive_min_timeout`: since 1.27.4. One that does not say is taken for a new one."""
    try:
        said = run([binary, "-v"], seconds=5, env={}).error
    except DriverError:
        return True
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
    return found is None or tuple(map(int, found.groups())) >= (1, 27, 4)


def lay_out(
    prefix: Path | str,
    binary: Path | str,
    port: int,
    services: Mapping[str, Mapping[str, int]],
    *,
    daemon: bool = False,
    cache: Path | str | None = None,
) -> dict[str, Any]:
    """Write a prefix that serves `services` on 127.0.0.1:`port`; return the connection facts of its driver.

    `services` maps a service name to its slot ports, `{"api": {"a": 21001, "b": 21002}}`. A new prefix sends all
    traffic to slot a. Repeating the call keeps the live weights; when services or ports have changed it writes a new
    generation that keeps the weights of the services it knew. With the folder `cache`, nginx keeps answers there that
    allow it. It starts and reloads nothing: run `Nginx(facts, …).command()`, which stays in the foreground unless
    `daemon` is true.
    """
    root = names.path(Path(prefix).absolute())
    names.path(Path(binary).absolute())
    names.port(port)
    kept = names.path(cache) if cache is not None else None
    for service in services:
        names.name(service, "service")
    for folder in ("logs", "temp", "generations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    with exclusive(root / "edge.lock"):
        text = render.static_conf(
            root, port, services, worker_user(), daemon, kept, keeps_alive=_keeps_alive(Path(binary))
        )
        replace_text(root / "nginx.conf", text)
        _bring_to(generations.Store(root), services)
    return {
        "driver": "nginx",
        "prefix": str(root),
        "binary": str(binary),
        "url": f"http://127.0.0.1:{port}",
        "access_log": str(root / "logs" / "access.json"),
        **({"cache": str(kept)} if kept else {}),
    }


def _bring_to(store: generations.Store, services: Mapping[str, Mapping[str, int]]) -> None:
    """Point at a generation that has these services on these ports; the live one, when it does."""
    known = store.members() if store.live() else {}
    wanted = {
        service: render.members(ports, {m.slot: m.weight for m in known.get(service, ())} or {"a": 100, "b": 0})
        for service, ports in services.items()
    }
    if wanted != known:
        store.point(store.write(store.next_id("layout"), wanted))
