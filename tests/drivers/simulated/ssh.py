"""A host that exists only in memory: the driver's own code, and a connection that understands the commands it sends.

A command arrives as the line that would travel, and is taken apart as a shell would: what is not quoted shows.
"""

from __future__ import annotations

import hashlib
import shlex
from contextlib import contextmanager
from typing import Any

from drivers.acts import Act
from drivers.commands import Finished
from drivers.errors import TransientError
from drivers.secret import Secret, SecretStore
from drivers.ssh import SshHost, acts, files, guard
from tests.drivers.contract import World

FOLDER = "/srv/host"
FACTS: dict[str, Any] = {
    "host": "web-1.edye.test",
    "port": 22,
    "user": "portal",
    "key": "env:SSH_KEY",
    "known_hosts": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3vt0H8v6mnbA6xIvvtAGu8aGOFEg6vWy5bkIhFuSrM"],
    "fence_dir": f"{FOLDER}/fence",
    "files": [f"{FOLDER}/conf/motd"],
    "units": ["web.service"],
    "commands": {
        "clear-for-good": {"argv": ["/bin/cache", "clear", "{site}"], "patterns": {"site": "[a-z]+"}},
        "clear-cache": {
            "argv": ["/bin/cache", "clear", "{site}"],
            "patterns": {"site": "[a-z]+"},
            "undo": "warm-cache",
        },
        "warm-cache": {"argv": ["/bin/cache", "warm", "{site}"], "patterns": {"site": "[a-z]+"}},
        "restart-service": {"argv": ["/bin/systemctl", "restart", "--", "{unit}"]},
        "service-status": {"argv": ["/bin/systemctl", "show", "--", "{unit}"]},
        "reboot": {"argv": ["/sbin/reboot"]},
    },
}
PROC = {
    "/proc/sys/kernel/hostname": "web-1\n",
    "/proc/sys/kernel/osrelease": "6.1.0\n",
    "/proc/loadavg": "0.10 0.20 0.30 1/100 4242\n",
    "/proc/uptime": "86400.00 1.00\n",
    "/proc/meminfo": "MemTotal:  2048 kB\nMemAvailable:  1024 kB\n",
}


class AnySecret(SecretStore):
    def resolve(self, reference: object) -> Secret:
        return Secret("secret")


class MemoryHost:
    """The connection, and the host behind it."""

    def __init__(self) -> None:
        self.texts = {**PROC, f"{FOLDER}/conf/motd": "Hello.\n"}
        self.boots = 1
        self.pid = 100
        self.clears: dict[str, int] = {}
        self.fence = 0
        self.up = True

    @contextmanager
    def connected(self) -> Any:
        if not self.up:
            raise TransientError("web-1.edye.test does not answer")
        yield self

    def run(self, argv: Any, *, seconds: float = 15.0, given: bytes = b"") -> Finished:
        words = shlex.split(shlex.join(argv))
        if words[:2] == ["sh", "-c"]:
            scripts = {guard.GUARD: self._guard, files.INSTALL: self._install, files.RESTORE: self._restore}
            if words[2] == files.UPLOAD:
                self.texts[words[4]] = given.decode()
                return Finished(0, "", "")
            if words[2] == acts._REBOOT:
                return self.run(words[6:]) if self._boot_id() == words[5] else Finished(0, "", "")
            return scripts[words[2]](*words[4:])
        return self._program(words)

    def _program(self, words: list[str]) -> Finished:
        match words:
            case ["cat", "--", *paths]:
                return self._cat(paths)
            case ["df", *_]:
                return Finished(
                    0, "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 9 3 6 34% /\n", ""
                )
            case ["stat", "-c", _, "--", path] if path in self.texts:
                return Finished(0, f"81a0 {len(self.texts[path])} root:root\n", "")
            case ["sha256sum", "--", path] if path in self.texts:
                return Finished(0, f"{self._sum(path)}  {path}\n", "")
            case ["/bin/cache", "clear", site]:
                self.clears[site] = self.clears.get(site, 0) + 1
            case ["/bin/cache", "warm", site]:
                self.clears.pop(site, None)
            case ["/bin/systemctl", "restart", "--", _]:
                self.pid += 1
            case ["/bin/systemctl", "show", "--", _]:
                return Finished(0, f"MainPID={self.pid}\nActiveState=active\n", "")
            case ["/sbin/reboot"]:
                self.boots += 1
            case _:
                return Finished(127, "", f"{words[0]}: not found")
        return Finished(0, "", "")

    def _cat(self, paths: list[str]) -> Finished:
        known = {**self.texts, "/proc/sys/kernel/random/boot_id": f"{self._boot_id()}\n"}
        said = "".join(known.get(path, "") for path in paths)
        return Finished(0 if all(path in known for path in paths) else 1, said, "")

    def _boot_id(self) -> str:
        return f"boot-{self.boots}"

    def _sum(self, path: str) -> str:
        return hashlib.sha256(self.texts[path].encode()).hexdigest()

    def _guard(self, folder: str, fence: str, run: str, mode: str, *argv: str) -> Finished:
        if fence != "-" and int(fence) < self.fence:
            return Finished(0, f"portal stale {self.fence}\n", "")
        self.fence = self.fence if fence == "-" else int(fence)
        record = f"{folder}/runs/{run}"
        if mode == "always" or f"{record}.ended" not in self.texts:
            self.texts[f"{record}.begun"] = ""
            ended = self.run(argv)
            self.texts[f"{record}.ended"] = f"{ended.status}\n"
        return Finished(0, f"portal ended {self.texts[f'{record}.ended']}", "")

    def _install(self, target: str, upload: str, kept: str, new: str, former: str) -> Finished:
        if self._sum(target) != new:
            if (self._sum(target), self._sum(upload)) != (former, new):
                return Finished(3, "it has changed since this was planned", "")
            self.texts[kept], self.texts[target] = self.texts[target], self.texts[upload]
        self.texts.pop(upload, None)
        return Finished(0, "", "")

    def _restore(self, target: str, kept: str, new: str, former: str) -> Finished:
        if self._sum(target) == former:
            self.texts.pop(kept, None)
        elif kept in self.texts and self._sum(target) == new:
            self.texts[target] = self.texts.pop(kept)
        return Finished(0, "", "")


class SshWorld(World):
    driver_class = SshHost
    examples = {
        "run": {"command": "clear-for-good", "arguments": ["site=shop"]},
        "run-with-undo": {"command": "clear-cache", "arguments": ["site=news"]},
        "replace-file": {"path": f"{FOLDER}/conf/motd", "content": "Good evening.\n"},
        "restart-service": {"unit": "web.service"},
        "reboot": {},
    }
    free_text = frozenset({"replace-file.content"})

    def __init__(self) -> None:
        self.host = MemoryHost()

    def driver(self) -> SshHost:
        return reaching(self.host)

    def unreachable(self) -> SshHost:
        gone = MemoryHost()
        gone.up = False
        return reaching(gone)

    def picture(self) -> Any:
        host = self.host
        return host.texts[f"{FOLDER}/conf/motd"], dict(host.clears), host.pid, host.boots

    def prepare(self, act: Act[Any, Any]) -> None:
        """Each act always has something to do."""


def reaching(host: MemoryHost) -> SshHost:
    kind = type("SshHost", (SshHost,), {"connected": lambda _: host.connected()})
    return kind(FACTS, AnySecret())


SIMULATED = {"ssh": SshWorld}
