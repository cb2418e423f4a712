"""The nginx driver: everything that changes an edge goes through a new generation, proved by the one that answers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from drivers import names
from drivers.acts import Call
from drivers.errors import DriverError, InvalidInput, PermanentError, TransientError
from drivers.locks import exclusive
from drivers.nginx import access_log, cache, fragments, maintenance, render
from drivers.nginx.acts import ACTS
from drivers.nginx.generations import FRAGMENT, LOCATION
from drivers.nginx.reading import Reader
from drivers.nginx.render import Member

EDGE = "@edge"
"""The name whose fence guards what concerns no single service. No service can be called so."""
_DIRECT = Call("direct")


@dataclass(frozen=True, slots=True)
class Switched:
    """The proven result of a switch: the id that serves now, the weights in it, and whether anything had to change."""

    generation: str
    weights: dict[str, dict[str, int]]
    changed: bool


class Nginx(Reader):
    """One nginx prefix that can be acted on (see `Reader` for its facts).

    Acts hold the prefix's lock. The fence of their `call` is kept per service (`@edge` for the rest); a lower one than
    the highest seen is refused there (`StaleFence`), whatever the caller believes.
    """

    acts: ClassVar[tuple[Any, ...]] = ACTS
    proof_seconds: float = 10.0
    """How long a reload may take to serve the new generation; nginx retries a failing bind for 2.5 s."""
    drain_seconds: float = 40.0
    """Longer than `worker_shutdown_timeout`, after which no old worker can hold a connection."""

    def switch(
        self,
        generation_id: str,
        weights: Mapping[str, Mapping[str, int]],
        fence: int | None = None,
        call: Call = _DIRECT,
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
        with self._claimed(wanted, call, call.fence if fence is None else fence):
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
            return Switched(self._advance(before, token, changed, {}, call), wanted, True)

    def reload(self, since: str, call: Call) -> str:
        """Read the whole configuration anew as a new generation that follows `since`; the id that serves.

        A copy with a new id, because only an id that did not answer before proves that new workers answer. When
        another generation than `since` is live, that has happened; it is only made to serve if it does not.
        """
        token = names.token(call.token)
        with self._claimed([EDGE], call):
            live = self.generation()
            if live != since:
                self._serve_again(live)
                return live
            return self._advance(live, token, {}, {}, call)

    def set_page(self, service: str, page: maintenance.Page | None, call: Call) -> str:
        """Answer everything for `service` with this maintenance page (None: serve again); the id that serves."""
        self.members(service)
        text = None if page is None else maintenance.render(service, page)
        return self._set(service, f"{service}{LOCATION}", text, call)

    def set_fragment(self, name: str, text: str | None, call: Call) -> str:
        """Replace a configuration fragment that the connection allows (None: remove it); the id that serves."""
        self.fragment(name)
        if text is not None:
            fragments.check(text)
        return self._set(EDGE, f"{name}{FRAGMENT}", text and text.rstrip("\n") + "\n", call)

    def _set(self, claim: str, file: str, text: str | None, call: Call) -> str:
        token = names.token(call.token)
        with self._claimed([claim], call):
            live, path = self.generation(), self.store.link / file
            if (path.read_text() if path.exists() else None) == text:
                self._serve_again(live)
                return live
            return self._advance(live, token, {}, {file: text}, call)

    def drained(self, service: str, slot: str, call: Call) -> int:
        """Wait until no connection to a member without weight is left; how many there were.

        Workers of the former generation finish what they are at. `TransientError` when some stay longer than
        `drain_seconds`: they come past the edge.
        """
        begun = left = self.connections(service, slot)
        deadline = time.monotonic() + self.drain_seconds
        while left:
            call.progress(max(0, begun - left), begun)
            if time.monotonic() >= deadline:
                raise TransientError(f"{left} connections to slot {slot} of {service} are still open")
            call.check()
            time.sleep(0.1)
            left = self.connections(service, slot)
        return begun

    def purge(self, prefix: str, since_ns: int, call: Call) -> int:
        """Remove what the proxy cache holds under a path (`/`: everything); how many answers.

        Only files of the cache in the folder that the connection names, and never through a link. Once it is through
        this is remembered: asked again for the same moment, it leaves alone what has been cached since.
        """
        if self.cache is None:
            raise PermanentError("the connection names no cache folder")
        removed = 0
        with self._claimed([EDGE], call):
            if self.purged(names.url_path(prefix), since_ns):
                return 0
            for entry in cache.entries(self.cache, prefix):
                if removed % 100 == 0:
                    call.check()
                    call.log(f"Removed {removed} answers")
                entry.remove()
                removed += 1
            cache.remember(self.prefix / cache.RECORD, prefix)
        return removed

    # -- means -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _claimed(self, claims: Iterable[str], call: Call, fence: int | None = None) -> Iterator[None]:
        """Be the only one who changes this edge, by claims that still hold, on an edge that runs."""
        fence = call.fence if fence is None else names.whole(fence, 0, 2**63 - 1, "fence")
        with exclusive(self.prefix / "edge.lock"):
            self.store.ledger.raise_fence(claims, fence)
            self.master()
            call.check()
            yield

    def master(self) -> int:
        """The process id of the master; `TransientError` when none runs."""
        master = self.host.master()
        if master is None:
            raise TransientError(f"no nginx runs for {self.prefix}")
        return master

    def _serve_again(self, live: str) -> bool:
        """Make nginx serve what is already on disk; True when a reload was needed."""
        try:
            if self.served_generation() == live:
                return False
        except TransientError:
            pass  # the reload's own proof says what is wrong
        if not self._takes_over(live):
            raise PermanentError(f"nginx does not serve generation {live} after a reload: {self._last_error()}")
        return True

    def _advance(
        self,
        before: str,
        token: str,
        changed: Mapping[str, list[Member]],
        files: Mapping[str, str | None],
        call: Call,
    ) -> str:
        """Write, validate, point, reload, prove; the new id, or the old generation put back and `PermanentError`."""
        generation = self.store.derive(self.store.next_id(token), changed, files)
        try:
            self._validate(generation)
            call.check()
        except DriverError:
            self.store.discard(generation)
            raise
        self.store.point(generation)
        try:
            proven = self._takes_over(generation)
        except PermanentError:  # after a transient one, repeating completes what is already on disk
            self.store.point(before)
            self.store.discard(generation)
            raise
        if not proven:
            reason = self._last_error()
            self.store.point(before)
            self._takes_over(before, anew=False)  # workers that never left serve it already
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
            tested = self.host.run("-t", "-p", f"{self.prefix}/", "-c", str(staged / "nginx.conf"), "-e", "stderr")
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        if tested.status != 0:
            raise PermanentError(f"nginx refuses the configuration: {tested.tail}")

    def _takes_over(self, generation: str, *, anew: bool = True) -> bool:
        """Reload; whether the serving port answers with `generation` from then on, and nothing else, in time.

        A zero from `nginx -t` and from the reload proves nothing: a listen conflict passes both while the old workers
        keep serving. Proof is that three new connections in a row are answered by the generation and that no worker
        from before the reload accepts any more: on a busy machine one may do so for a while beside the new ones.
        """
        old = self._accepting() if anew else set()
        self.host.reload(self.master())
        deadline = time.monotonic() + self.proof_seconds
        in_a_row = 0
        while time.monotonic() < deadline:
            try:
                in_a_row = in_a_row + 1 if self.served_generation() == generation else 0
            except TransientError:
                in_a_row = 0
            if in_a_row >= 3 and not old & self._accepting():
                return True
            if not 0 < in_a_row < 3:
                time.sleep(0.05)
        return False

    def _accepting(self) -> set[int]:
        """The process ids of the workers that accept connections: those that are told to leave do not."""
        return {process["pid"] for process in self.host.processes() if process["role"] == "worker"}

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
