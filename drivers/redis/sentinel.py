"""A group of Sentinels that watches one primary.

What each of them says is read separately: a group that disagrees, or has lost its majority, cannot fail over, and only
asking all of them shows it. Source: the SENTINEL command (valkey.io/topics/sentinel).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import redis

from drivers import names
from drivers.base import Driver, Observation
from drivers.errors import DriverError, InvalidInput, PermanentError, TransientError
from drivers.redis.client import connected


@dataclass(frozen=True, slots=True)
class View:
    """One Sentinel's answer: the primary it believes in, its flags, its replicas, and whether quorum stands."""

    sentinel: str
    primary: str | None
    flags: str
    quorum: int
    quorum_ok: bool
    replicas: tuple[tuple[str, str], ...]
    error: str | None


class Sentinel(Driver):
    """Facts: `sentinels` ([[host, port], …]), `master` (the group's name), `password` if the Sentinels want one."""

    kind: ClassVar[str] = "sentinel"
    required: ClassVar[tuple[str, ...]] = ("sentinels", "master")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.master = names.name(self.facts["master"], "Sentinel group")
        try:
            self.sentinels = [(names.host(host), names.port(port)) for host, port in self.facts["sentinels"]]
        except (TypeError, ValueError):
            raise InvalidInput("sentinels must be a list of [host, port]") from None
        if not self.sentinels:
            raise InvalidInput("sentinels must name at least one Sentinel")

    def views(self) -> list[View]:
        """The answer of every Sentinel, in the order of the facts. One that does not answer has an `error`."""
        return [self._view(host, port) for host, port in self.sentinels]

    def primary(self) -> str:
        """`host:port` of the primary that most Sentinels name; `TransientError` when no majority of them agrees."""
        return self._agreed(self.views())

    def observe(self) -> Observation:
        """Agreed primary, quorum, replicas, and each Sentinel's own view.

        Healthy means: a majority names the same primary, none of them believes it down, and quorum stands.
        """
        views = self.views()
        answered = [view for view in views if view.error is None]
        if not answered:
            return self.down(f"no Sentinel answers: {views[0].error}")
        facts: dict[str, Any] = {
            "master": self.master,
            "quorum": answered[0].quorum,
            "quorum_ok": all(view.quorum_ok for view in answered),
            "sentinels": [
                {"address": view.sentinel, "primary": view.primary, "flags": view.flags, "error": view.error}
                for view in views
            ],
            "replicas": [{"address": address, "flags": flags} for address, flags in answered[0].replicas],
        }
        readings = {"sentinels": float(len(answered)), "replicas": float(len(answered[0].replicas))}
        try:
            facts["primary"] = self._agreed(views)
        except TransientError as error:
            facts["error"] = str(error)
        down = any("down" in view.flags for view in answered)
        return self.seen("primary" in facts and facts["quorum_ok"] and not down, facts, readings)

    def _agreed(self, views: list[View]) -> str:
        named = Counter(view.primary for view in views if view.primary)
        address, votes = named.most_common(1)[0] if named else (None, 0)
        if address is None or votes * 2 <= len(views):
            raise TransientError(f"the Sentinels of {self.master} do not agree on a primary")
        return address

    def _view(self, host: str, port: int) -> View:
        where = f"{host}:{port}"
        try:
            try:
                return self._ask(host, port, authenticate=False)
            except PermanentError:
                # A Sentinel's own password is optional and independent of the servers'; only send it when asked.
                if "password" not in self.facts:
                    raise
                return self._ask(host, port, authenticate=True)
        except DriverError as error:
            return View(where, None, "", 0, False, (), str(error))

    def _ask(self, host: str, port: int, *, authenticate: bool) -> View:
        password = self.secrets.resolve(self.facts["password"]) if authenticate else None
        with connected(host, port, password) as client:
            state: Any = client.sentinel_master(self.master)
            replicas: Any = client.sentinel_slaves(self.master)
            return View(
                sentinel=f"{host}:{port}",
                primary=f"{state['ip']}:{state['port']}",
                flags=str(state["flags"]),
                quorum=int(state["quorum"]),
                quorum_ok=self._quorum(client),
                replicas=tuple((f"{one['ip']}:{one['port']}", str(one["flags"])) for one in replicas),
                error=None,
            )

    def _quorum(self, client: Any) -> bool:
        """Ask in separate words: the library's own parser takes the sentence after `OK` for a refusal."""
        try:
            return str(client.execute_command("SENTINEL", "CKQUORUM", self.master)).startswith("OK")
        except redis.ResponseError:  # NOQUORUM …
            return False
