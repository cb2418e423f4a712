"""The nginx driver: observe the edge, read its traffic, switch weights with proof."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from drivers import commands, names, web
from drivers.base import Driver, Observation
from drivers.errors import DriverError, InvalidInput, PermanentError, TransientError
from drivers.locks import exclusive
from drivers.nginx import access_log, generations, processes, render
from drivers.nginx.access_log import Traffic

OBSERVED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Switched:
    """The proven result of a switch: the id that serves now, the weights in it, and whether anything had to change."""

    generation: str
    weights: dict[str, dict[str, int]]
    changed: bool


class Nginx(Driver):
    """One nginx prefix that `lay_out` has written.

    Facts: `prefix`, `binary` (absolute paths), `url` (`http://127.0.0.1:<port>`), `access_log`.
    """

    kind: ClassVar[str] = "nginx"
    required: ClassVar[tuple[str, ...]] = ("prefix", "binary", "url", "access_log")
    proof_seconds: float = 10.0
    """How long a reload may take to serve the new generation; nginx retries a failing bind for 2.5 s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prefix = names.path(self.facts["prefix"])
        self.binary = names.path(self.facts["binary"])
        self.access_log = names.path(self.facts["access_log"])
        self.url = names.url(self.facts["url"]).rstrip("/")
        self.store = generations.Store(self.prefix)

    # -- reading ---------------------------------------------------------------------------------------------------

    def command(self) -> list[str]:
        """The argument list that starts this nginx, for whoever supervises it."""
        return [
            *(str(self.binary), "-p", f"{self.prefix}/", "-c", str(self.prefix / "nginx.conf")),
            *("-e", str(self.prefix / "logs" / "error.log")),
        ]

    def version(self) -> str:
        """The version of the binary, such as `1.31.3`."""
        found = re.search(r"nginx/(\d[\w.]*)", self._run("-v").error)
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
        answer = web.get(f"{self.url}/__edge/generation", seconds=3.0)
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
        running = processes.describe(self.prefix)
        facts["processes"] = running
        facts["services"] = {
            service: [{"slot": m.slot, "address": m.address, "weight": m.weight, "down": not m.weight} for m in pair]
            for service, pair in self.store.members().items()
        }
        readings = {"workers": float(sum(1 for process in running if process["role"] == "worker"))}
        if running:
            readings["uptime_seconds"] = running[0]["uptime_seconds"]
            readings["memory_bytes"] = float(sum(process["memory_bytes"] for process in running))
        facts["traffic"] = self._recent_traffic(readings)
        healthy = bool(running) and facts.get("served_generation") == facts["generation"]
        return self.seen(healthy, facts, readings, version)

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

    # -- acting ----------------------------------------------------------------------------------------------------

    def switch(
        self, generation_id: str, weights: Mapping[str, Mapping[str, int]], fence: int | None = None
    ) -> Switched:
        """Give each service in `weights` its slot weights, prove that they serve, and leave the other services alone.

        `generation_id` is the caller's token; the generation's own id is a rising number and that token
        (`00000007-<token>`), returned in the result. When the wanted weights are live and served already, nothing is
        changed, so a repeated call is harmless; when they are live but not yet served (a caller died between rename
        and reload), only the reload is repeated.

        `fence` is the caller's claim number: `StaleFence` when a higher one has been seen for one of the services.
        A configuration that nginx refuses, or that does not serve within `proof_seconds`, is put back and reported as
        `PermanentError`. `TransientError` when another process holds the lock or nginx is not running.
        """
        token = names.token(generation_id)
        wanted = {names.name(service, "service"): names.weights(pair) for service, pair in weights.items()}
        if not wanted:
            raise InvalidInput("a switch needs at least one service")
        if fence is not None:
            names.whole(fence, 0, 2**63 - 1, "fence")
        with exclusive(self.prefix / "edge.lock"):
            self.store.ledger.raise_fence(wanted, fence)
            if processes.master(self.prefix) is None:
                raise TransientError(f"no nginx runs for {self.prefix}")
            before, known = self.generation(), self.store.members()
            missing = sorted(set(wanted) - set(known))
            if missing:
                raise PermanentError(f"the edge does not know the service {', '.join(missing)}")
            changed = {
                service: render.members({member.slot: member.port for member in known[service]}, pair)
                for service, pair in wanted.items()
            }
            if all(known[service] == pair for service, pair in changed.items()):
                return Switched(before, wanted, self._serve_again(before))
            return Switched(self._advance(before, token, changed), wanted, True)

    def _serve_again(self, live: str) -> bool:
        """Make nginx serve what is already on disk; True when a reload was needed."""
        try:
            if self.served_generation() == live:
                return False
        except TransientError:
            pass  # the reload's own proof says what is wrong
        self._reload()
        if not self._proven(live):
            raise PermanentError(f"nginx does not serve generation {live} after a reload: {self._last_error()}")
        return True

    def _advance(self, before: str, token: str, changed: Mapping[str, list[render.Member]]) -> str:
        """Write, validate, point, reload, prove; the new id, or the old generation put back and `PermanentError`."""
        generation = self.store.derive(self.store.next_id(token), changed)
        try:
            self._validate(generation)
        except DriverError:
            self.store.discard(generation)
            raise
        self.store.point(generation)
        try:
            self._reload()
        except PermanentError:  # after a transient one, repeating completes what is already on disk
            self.store.point(before)
            self.store.discard(generation)
            raise
        if not self._proven(generation):
            reason = self._last_error()
            self.store.point(before)
            self._reload()
            self._proven(before)
            self.store.discard(generation)
            raise PermanentError(f"generation {generation} never served and was put back: {reason}")
        self.store.prune()
        return generation

    def _validate(self, generation: str) -> None:
        """`nginx -t` on a staged copy whose `live` is the new generation."""
        staged = self.prefix / "staged"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        try:
            shutil.copy(self.prefix / "nginx.conf", staged)
            (staged / "live").symlink_to(self.store.folder / generation)
            tested = self._run("-t", "-p", f"{self.prefix}/", "-c", str(staged / "nginx.conf"), "-e", "stderr")
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        if tested.status != 0:
            raise PermanentError(f"nginx refuses the configuration: {tested.tail}")

    def _reload(self) -> None:
        master = processes.master(self.prefix)
        if master is None:
            raise TransientError(f"no nginx runs for {self.prefix}")
        try:
            os.kill(master.pid, signal.SIGHUP)
        except ProcessLookupError:
            raise TransientError(f"nginx of {self.prefix} has just ended") from None
        except PermissionError:
            raise PermanentError(f"this process may not signal the nginx of {self.prefix}") from None

    def _proven(self, generation: str) -> bool:
        """Whether the serving port answers with `generation` three times in a row, on new connections, in time.

        A zero from `nginx -t` and from the reload proves nothing: a listen conflict passes both while the old workers
        keep serving. Several answers, because old workers accept for an instant beside the new ones.
        """
        deadline = time.monotonic() + self.proof_seconds
        in_a_row = 0
        while in_a_row < 3 and time.monotonic() < deadline:
            try:
                in_a_row = in_a_row + 1 if self.served_generation() == generation else 0
            except TransientError:
                in_a_row = 0
            if not in_a_row:
                time.sleep(0.05)
        return in_a_row == 3

    def _last_error(self) -> str:
        """The newest line of nginx's own log at level `emerg` or `alert`, or a plain sentence.

        The closing line of a failed bind names no address; the one before it does.
        """
        try:
            for line in access_log.lines_from_end(self.prefix / "logs" / "error.log", 64 * 1024):
                if line and (b"[emerg]" in line or b"[alert]" in line) and b"still could not bind" not in line:
                    return line.decode(errors="replace")[-500:]
        except OSError:
            pass
        return "nginx logged no reason"

    def _run(self, *arguments: str) -> commands.Finished:
        return commands.run([self.binary, *arguments], seconds=15.0, env={}, cwd=Path("/"))
