"""Reading an edge: its processes, what is in force, its traffic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from drivers import names
from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.nginx import access_log, cache, discovery, generations, maintenance, render
from drivers.nginx.access_log import Traffic
from drivers.nginx.host import Host

OBSERVED_SECONDS = 60.0


class Reader(Driver):
    """What is known of one nginx prefix that `lay_out` has written.

    Facts: `prefix`, `binary` (absolute paths), `url` (`http://127.0.0.1:<port>`), `access_log`. Optionally `fragments`
    (names of the configuration fragments that may be replaced) and `cache` (the folder of its proxy cache).
    """

    kind: ClassVar[str] = "nginx"
    required: ClassVar[tuple[str, ...]] = ("prefix", "binary", "url", "access_log")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prefix = names.path(self.facts["prefix"])
        self.binary = names.path(self.facts["binary"])
        self.access_log = names.path(self.facts["access_log"])
        self.url = names.url(self.facts["url"]).rstrip("/")
        self.store = generations.Store(self.prefix)
        self.host = Host(self.prefix, self.binary)
        self.fragments = _fragments(self.facts.get("fragments", []))
        self.cache = names.path(self.facts["cache"]) if self.facts.get("cache") is not None else None

    # -- reading ---------------------------------------------------------------------------------------------------

    def command(self) -> list[str]:
        """The argument list that starts this nginx, for whoever supervises it."""
        return [
            *(str(self.binary), "-p", f"{self.prefix}/", "-c", str(self.prefix / "nginx.conf")),
            *("-e", str(self.prefix / "logs" / "error.log")),
        ]

    def version(self) -> str:
        """The version of the binary, such as `1.31.3`."""
        found = re.search(r"nginx/(\d[\w.]*)", self.host.run("-v").error)
        if not found:
            raise PermanentError(f"{self.binary} does not say which nginx it is")
        return found[1]

    def generation(self) -> str:
        """The id of the generation on disk; `served_generation` tells what really serves."""
        live = self.store.live()
        if live is None:
            raise PermanentError(f"{self.prefix} has no live generation")
        return live

    def served_generation(self) -> str:
        """The id that answers on the serving port; `TransientError` when nothing does."""
        answer = self.host.get(f"{self.url}/__edge/generation", 3.0)
        if answer.status != 200:
            raise TransientError(f"{self.url} answered {answer.status} instead of its generation")
        return answer.body.strip()

    def services(self) -> list[str]:
        """The services of the live generation, sorted."""
        return sorted(self.store.members())

    def weights(self, service: str) -> dict[str, int]:
        """The weight of each slot of `service` in the live generation."""
        return {member.slot: member.weight for member in self.members(service)}

    def members(self, service: str) -> list[render.Member]:
        """Both slots of `service`: slot, port, weight."""
        known = self.store.members()
        if names.name(service, "service") not in known:
            raise PermanentError(f"the edge does not know the service {service}")
        return known[service]

    def in_force(self) -> bool:
        """Whether what is on disk is what answers."""
        return self.served_generation() == self.generation()

    def page(self, service: str) -> maintenance.Page | None:
        """The maintenance page of `service` in the live generation; None when it serves."""
        self.members(service)
        text = self.store.extras(generations.LOCATION).get(service)
        return None if text is None else maintenance.parse(text)

    def answers_with_page(self, service: str) -> bool:
        """Whether the edge answers the service's requests with its maintenance page."""
        return self.host.get(f"{self.url}/{service}/", 5.0).headers.get(maintenance.HEADER.lower()) == service

    def fragment(self, name: str) -> str | None:
        """The text of a configuration fragment in the live generation; None without one."""
        if name not in self.fragments:
            raise InvalidInput(f"the connection allows no fragment {name[:60]}")
        return self.store.extras(generations.FRAGMENT).get(name)

    def purged(self, prefix: str, since_ns: int) -> bool:
        """Whether the proxy cache has been purged of a path since a moment (ns since the epoch)."""
        return cache.purged(self.prefix / cache.RECORD, prefix) > since_ns

    def connections(self, service: str, slot: str) -> int:
        """Established connections to one upstream member of this host."""
        return self.host.connections(self.members(service)[names.SLOTS.index(names.slot(slot))].port)

    def includes(self, line: str) -> bool:
        """Whether `nginx.conf` has a line: one laid out before this driver knew of it lacks it."""
        try:
            return line in (self.prefix / "nginx.conf").read_text()
        except OSError as error:
            raise PermanentError(f"nginx.conf cannot be read: {error.strerror}") from None

    def traffic(self, service: str, since: datetime, generation: str | None = None) -> dict[str, Traffic]:
        """First attempts of `service` since an aware time, by upstream address (see `access_log.traffic`)."""
        names.name(service, "service")
        if since.tzinfo is None:
            raise InvalidInput("the start of the traffic window needs a time zone")
        try:
            return access_log.traffic(self.access_log, service, since.timestamp(), generation)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise PermanentError(f"the access log cannot be read: {error.strerror}") from None

    def observe(self) -> Observation:
        """Processes, generation, members and the last minute of traffic.

        Healthy means: the master runs and the serving port answers with the generation that is on disk.
        """
        facts: dict[str, Any] = {"generation": self.generation(), "url": self.url}
        version = self.version()
        try:
            facts["served_generation"] = self.served_generation()
        except TransientError as error:
            facts["error"] = str(error)
        running = self.host.processes()
        facts["processes"] = running
        facts["services"] = {
            service: [{"slot": m.slot, "address": m.address, "weight": m.weight, "down": not m.weight} for m in pair]
            for service, pair in self.store.members().items()
        }
        facts["maintenance"] = sorted(self.store.extras(generations.LOCATION))
        facts["fragments"] = sorted(self.store.extras(generations.FRAGMENT))
        readings = {"workers": float(sum(1 for process in running if process["role"] == "worker"))}
        if running:
            readings["uptime_seconds"] = running[0]["uptime_seconds"]
            readings["memory_bytes"] = float(sum(process["memory_bytes"] for process in running))
        facts["traffic"] = self._recent_traffic(readings)
        healthy = bool(running) and facts.get("served_generation") == facts["generation"]
        return self.seen(healthy, facts, readings, version)

    def discover(self) -> list[Listing]:
        """The edge and its upstream groups, from the configuration on disk (see `drivers.nginx.discovery`)."""
        return discovery.discover(self)

    def _recent_traffic(self, readings: dict[str, float]) -> dict[str, dict[str, Any]]:
        """The observed split per service and address; adds the totals to `readings`."""
        now = datetime.now().astimezone()
        found: dict[str, dict[str, Any]] = {}
        requests = errors = 0
        for service in self.services():
            seen = self.traffic(service, now - timedelta(seconds=OBSERVED_SECONDS))
            total = sum(part.requests for part in seen.values())
            requests, errors = requests + total, errors + sum(part.errors for part in seen.values())
            found[service] = {
                address: {
                    "requests": part.requests,
                    "share": round(part.requests / total, 4),
                    "errors": part.errors,
                    "p50_seconds": part.p50,
                    "p95_seconds": part.p95,
                }
                for address, part in seen.items()
            }
        readings["requests_per_second"] = requests / OBSERVED_SECONDS
        readings["error_ratio"] = errors / requests if requests else 0.0
        return found


def _fragments(given: object) -> tuple[str, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InvalidInput("fragments must be a list of names")
    return tuple(names.name(name, "fragment") for name in given)
