"""A host over SSH: observed through /proc and df, changed only by what its facts allow."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from drivers import names
from drivers.base import Driver, Observation
from drivers.errors import DriverError, InvalidInput, PermanentError, TransientError
from drivers.ssh import templates
from drivers.ssh.acts import ACTS
from drivers.ssh.templates import Template

if TYPE_CHECKING:
    from drivers.ssh.connection import Connection

BOOT_ID = "/proc/sys/kernel/random/boot_id"
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:-]{0,127}")


class SshHost(Driver):
    """Facts: `host`, `port`, `user`, `key` (reference to a private key), `fence_dir` (a folder of the portal's own on
    the host), and `known_hosts` (public keys of the host) or `host_ca` (of authorities that sign host keys).

    Optionally `certificate` (reference to a user certificate), `host_name` (to be found in the host's certificate),
    `commands` (see `drivers.ssh.templates`), `files` (paths that may be replaced), `units` (services that may be
    restarted), `disks` (mount points to watch), `boot_id_file`, `reboot_seconds`.
    """

    kind: ClassVar[str] = "ssh"
    required: ClassVar[tuple[str, ...]] = ("host", "port", "user", "key", "fence_dir")
    acts: ClassVar[tuple[Any, ...]] = ACTS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from drivers.ssh.connection import public_key  # with asyncssh, which few of our processes need

        super().__init__(*args, **kwargs)
        self.host, self.port = names.host(self.facts["host"]), names.port(self.facts["port"])
        self.user = self.facts["user"]
        if not isinstance(self.user, str) or not _USER.fullmatch(self.user):
            raise InvalidInput("not a valid user name")
        self.host_keys = tuple(map(public_key, self._list("known_hosts")))
        self.host_authorities = tuple(map(public_key, self._list("host_ca")))
        if not self.host_keys and not self.host_authorities:
            raise InvalidInput("an ssh connection needs known_hosts or host_ca: an unknown host is never trusted")
        self.name = names.host(self.facts.get("host_name", self.host))
        self.fence_dir = str(names.path(self.facts["fence_dir"]))
        self.boot_id_file = str(names.path(self.facts.get("boot_id_file", BOOT_ID)))
        self.reboot_seconds = names.whole(self.facts.get("reboot_seconds", 300), 1, 540, "limit in seconds")
        self.files = [str(names.path(path)) for path in self._list("files")]
        self.disks = [str(names.path(path)) for path in self._list("disks") or ["/"]]
        self.units = self._list("units")
        if not all(isinstance(unit, str) and _UNIT.fullmatch(unit) for unit in self.units):
            raise InvalidInput("units must be names of services")
        self.commands = templates.load(self.facts.get("commands", {}), self.units)

    def _list(self, fact: str) -> list[Any]:
        given = self.facts.get(fact, [])
        if not isinstance(given, list):
            raise InvalidInput(f"{fact} must be a list")
        return given

    def connected(self) -> AbstractContextManager[Connection]:
        """A connection for the time of a `with` block."""
        from drivers.ssh.connection import Target, connected

        key, certificate = self.secrets.resolve(self.facts["key"]), self.secrets.optional(self.facts.get("certificate"))
        who = (self.host, self.port, self.user, key, certificate)
        return connected(Target(*who, self.host_keys, self.host_authorities, self.name))

    # -- what is allowed -------------------------------------------------------------------------------------------

    def template(self, name: str) -> Template:
        """An allowed command; `InvalidInput` when there is none of this name."""
        if name not in self.commands:
            raise InvalidInput(f"this host allows no command {name!r}"[:200])
        return self.commands[name]

    def file(self, path: str) -> str:
        """A path that may be replaced."""
        if path not in self.files:
            raise InvalidInput(f"this host does not allow {path!r} to be replaced"[:200])
        return path

    def unit(self, name: str) -> str:
        """A service that may be restarted."""
        if name not in self.units:
            raise InvalidInput(f"this host does not allow {name!r} to be restarted"[:200])
        return name

    # -- reading ---------------------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        """Kernel, load, memory, disks, and, where templates for them are given, services and pending updates.

        Healthy means: it answers, and every listed service whose state can be read is active.
        """
        try:
            with self.connected() as host:
                facts, readings = self._machine(host)
                readings |= self._memory(host) | self._disks(host, facts)
                services = self._services(host, facts)
                self._updates(host, facts, readings)
        except TransientError as error:
            return self.down(error)
        return self.seen(services, {**facts, "address": f"{self.host}:{self.port}"}, readings)

    def boot_id(self, host: Connection | None = None) -> str:
        """The kernel's id of this boot; another one after each."""
        if host is None:
            with self.connected() as opened:
                return self.boot_id(opened)
        return self._said(host, ["cat", "--", self.boot_id_file]).strip()

    def unit_status(self, host: Connection, unit: str) -> dict[str, str]:
        """What the template `service-status` prints as NAME=VALUE lines (systemctl show does)."""
        template = self.template("service-status")
        said = self._said(host, template.filled({"unit": unit}), template.seconds)
        return {name: value for name, found, value in (line.partition("=") for line in said.splitlines()) if found}

    def _said(self, host: Connection, argv: list[str], seconds: float = 15.0) -> str:
        done = host.run(argv, seconds=seconds)
        if done.status != 0:
            raise PermanentError(f"{argv[0]} failed on {self.host}: {done.tail[-300:]}")
        return done.output

    def _machine(self, host: Connection) -> tuple[dict[str, Any], dict[str, float]]:
        kernel = "/proc/sys/kernel"
        files = [f"{kernel}/hostname", f"{kernel}/osrelease", self.boot_id_file, "/proc/loadavg", "/proc/uptime"]
        name, release, boot, load, up = self._lines(self._said(host, ["cat", "--", *files]), 5)
        facts = {"hostname": name, "kernel": release, "boot_id": boot}
        try:
            readings = {"load": float(load.split()[0]), "uptime_seconds": float(up.split()[0])}
        except (IndexError, ValueError):
            raise TransientError(f"{self.host} gives half an answer") from None
        return facts, readings

    def _lines(self, text: str, count: int) -> list[str]:
        lines = text.splitlines()
        if len(lines) != count:
            raise TransientError(f"{self.host} gives half an answer")
        return lines

    def _memory(self, host: Connection) -> dict[str, float]:
        text = self._said(host, ["cat", "--", "/proc/meminfo"])
        found = {key: float(size) * 1024 for key, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
        wanted = {"memory_bytes": "MemTotal", "memory_available_bytes": "MemAvailable"}
        return {name: found[key] for name, key in wanted.items() if key in found}

    def _disks(self, host: Connection, facts: dict[str, Any]) -> dict[str, float]:
        lines = self._said(host, ["df", "-P", "-k", "--", *self.disks]).splitlines()[1:]
        parts = [line.split(None, 5) for line in lines]
        facts["disks"] = [
            {"mount": part[5], "bytes": int(part[1]) * 1024, "used_percent": int(part[4].rstrip("%"))}
            for part in parts
            if len(part) == 6 and part[4].rstrip("%").isdigit()
        ]
        return {"disk_used_percent": float(max((disk["used_percent"] for disk in facts["disks"]), default=0))}

    def _services(self, host: Connection, facts: dict[str, Any]) -> bool:
        """Add the state of each listed service; False when one of them is not active."""
        if "service-status" not in self.commands:
            return True
        facts["units"] = {}
        for unit in self.units:
            try:
                facts["units"][unit] = self.unit_status(host, unit)
            except PermanentError as error:
                facts["units"][unit] = {"ActiveState": "unknown", "error": str(error)}
        states = [status.get("ActiveState", "active") for status in facts["units"].values()]
        return all(state in ("active", "reloading", "unknown") for state in states)

    def _updates(self, host: Connection, facts: dict[str, Any], readings: dict[str, float]) -> None:
        """Add the number of pending updates, which the template `package-check` prints."""
        if "package-check" not in self.commands:
            return
        try:
            template = self.commands["package-check"]
            readings["pending_updates"] = float(int(self._said(host, template.filled({}), template.seconds)))
        except (DriverError, ValueError) as error:
            facts["updates"] = f"unknown: {error}"[:300]
