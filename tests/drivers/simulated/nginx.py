"""An edge without an nginx: the driver's own code on a real tree of files, and a program that exists only in memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from drivers.acts import Act, Call
from drivers.commands import Finished
from drivers.errors import TransientError
from drivers.nginx import Nginx, lay_out, render
from drivers.nginx.host import Host
from drivers.nginx.maintenance import HEADER, parse
from drivers.secret import SecretStore
from drivers.web import Answer
from tests.drivers.contract import World

PORTS = {"api": {"a": 20001, "b": 20002}, "play": {"a": 20003, "b": 20004}}
EXAMPLES: dict[str, dict[str, Any]] = {
    "reload": {},
    "set-weight": {"service": "api", "a": 90, "b": 10},
    "drain-member": {"service": "api", "slot": "b"},
    "undrain-member": {"service": "api", "slot": "b", "weight": 20},
    "maintenance-on": {"service": "api", "message": "Back at 5 o'clock; $host \\ {x}", "retry_after_seconds": 120},
    "maintenance-off": {"service": "api"},
    "set-fragment": {"fragment": "headers", "text": 'add_header X-Owner "video" always;'},
    "purge-cache": {"prefix": "/api/kept"},
}


def folder(owner: object) -> Path:
    """A folder that goes with its owner."""
    path = tempfile.mkdtemp(prefix="sim-", dir="/tmp")
    weakref.finalize(owner, shutil.rmtree, path, True)
    return Path(path)


class FakeHost(Host):
    """A machine with one nginx in memory, which serves what was on disk when it was last told to reload.

    `answers` gives what the machine's other ports answer, by port and path.
    """

    def __init__(self, prefix: Path, binary: Path, *, running: bool = True) -> None:
        super().__init__(prefix, binary)
        self.running = running
        self.answers: Callable[[int, str], Answer] | None = None
        self.open: Callable[[int], bool] = lambda port: True
        self.served, self.pages, self.worker = "", {}, 1
        self.reload(1)

    def run(self, *arguments: str) -> Finished:
        if arguments == ("-v",):
            return Finished(0, "", "nginx version: nginx/1.31.3")
        text = "".join(path.read_text() for path in sorted((self.prefix / "staged" / "live").iterdir()))
        return Finished(1, "", "nginx: [emerg] unknown directive") if "nonsense" in text else Finished(0, "", "ok")

    def master(self) -> int | None:
        return 1 if self.running else None

    def processes(self) -> list[dict[str, Any]]:
        roles = ((1, "master"), (self.worker, "worker"))
        shape = {"user": "nobody", "uptime_seconds": 60.0, "memory_bytes": 10_000_000}
        return [{"role": role, "pid": pid, **shape} for pid, role in roles if self.running]

    def reload(self, pid: int) -> None:
        self.worker += 1
        live = self.prefix / "live"
        self.served = render.parse_generation((live / render.GENERATION_FILE).read_text())
        self.pages = {path.stem: parse(path.read_text()) for path in live.glob("*.location")}

    def get(self, url: str, seconds: float) -> Answer:
        parts = urlsplit(url)
        if not self.running:
            raise TransientError(f"{url} does not answer: connection refused")
        if parts.path == "/__edge/generation":
            return Answer(200, {}, self.served + "\n", 0.001)
        if parts.port != 20000 and self.answers:
            return self.answers(parts.port or 0, parts.path)
        service = parts.path.split("/")[1]
        if page := self.pages.get(service):
            headers = {HEADER.lower(): service, "retry-after": str(page["retry_after_seconds"])}
            return Answer(503, headers, page["message"], 0.001)
        return Answer(200, {}, "fine", 0.001)

    def connections(self, port: int) -> int:
        return 0

    def listening(self, port: int) -> bool:
        return self.open(port)


class EdgeWorld(World):
    """What both worlds of an edge share. `base` is where each act begins: even weights, no page, no fragment."""

    driver_class = Nginx
    examples = EXAMPLES
    free_text = frozenset({"maintenance-on.message"})

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = {**facts, "fragments": ["headers"]}

    def driver(self) -> Nginx:
        return Nginx(self.facts, SecretStore())

    def picture(self) -> Any:
        nginx = self.driver()
        tree = {path.name: path.read_text() for path in sorted(nginx.store.link.iterdir())}
        tree.pop(render.GENERATION_FILE)
        # While nginx writes an entry, its name has an ending.
        files = [path for path in Path(self.facts["cache"]).rglob("*") if path.is_file()]
        cached = sorted(path.name for path in files if not path.suffix)
        return {"tree": tree, "cache": cached, "generation": nginx.served_generation()}

    def clean(self, before: Any, act: Act[Any, Any]) -> bool:
        return {**self.picture(), "generation": ""} == {**before, "generation": ""}

    def prepare(self, act: Act[Any, Any]) -> None:
        nginx, call = self.driver(), Call("prepare")
        nginx.switch("prepare", {"api": {"a": 50, "b": 50}})
        wants_page = act.name == "maintenance-off"
        nginx.set_page("api", {"message": "Away", "retry_after_seconds": 60} if wants_page else None, call)
        nginx.set_fragment("headers", None, call)
        if act.name == "purge-cache":
            self.fill()

    def fill(self) -> None:
        """Have one answer under /api/kept cached, and another one elsewhere."""
        raise NotImplementedError


class NginxWorld(EdgeWorld):
    def __init__(self) -> None:
        self.root = folder(self)
        cache = self.root / "cache"
        cache.mkdir()
        super().__init__(lay_out(self.root / "edge", "/usr/sbin/nginx", 20000, PORTS, cache=cache))
        prefix, binary = Path(self.facts["prefix"]), Path(self.facts["binary"])
        self.host, self.dead = FakeHost(prefix, binary), FakeHost(prefix, binary, running=False)

    def driver(self) -> Nginx:
        return self._on(self.host)

    def unreachable(self) -> Nginx:
        return self._on(self.dead)

    def _on(self, host: FakeHost) -> Nginx:
        class OnFakeHost(Nginx):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.host = host

        return OnFakeHost(self.facts, SecretStore())

    def fill(self) -> None:
        for number, path in enumerate(("/api/kept?x=1", "/play/other")):
            entry = self.root / "cache" / str(number) / "ab" / f"{number:032x}"
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.write_bytes(b"\x05\x00\x00\x00\nKEY: " + path.encode() + b"\nHTTP/1.1 200 OK\r\n\r\nkept")


SIMULATED = {"nginx": NginxWorld}
