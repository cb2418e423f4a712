"""The contract every driver keeps: what it answers, what it raises, what it may be asked to do.

Rules that hold for all drivers:

* Arguments are validated before anything runs (`drivers.names`); commands are argument lists, never a shell line.
* Every call has a time limit. Nothing retries by itself: repeating is the caller's decision.
* `observe()` reports what is there. A component that refuses the connection or does not answer in time is a finding
  (`healthy=False`, `facts["error"]`), not an exception. An exception means that nothing was learnt about it.
* Acts are idempotent: they look at the world first, and asking for what is already true changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from drivers.discovery import Listing
from drivers.errors import DriverError, InvalidInput, PermanentError, StaleFence, TransientError
from drivers.secret import SecretStore

__all__ = [
    "Driver",
    "DriverError",
    "InvalidInput",
    "Observable",
    "Observation",
    "PermanentError",
    "Reloadable",
    "Shiftable",
    "Slotted",
    "StaleFence",
    "TransientError",
]

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a driver saw at one instant.

    `kind` is the driver kind, `at` an aware UTC time, `version` the software version as the daemon reports it (None
    when unknown). `healthy` is True, False, or None when the reading cannot tell. `facts` holds JSON-serialisable
    values for people; `readings` numbers for time series, each name ending in its unit (`memory_bytes`,
    `latency_seconds`, `lag_seconds`) or being a plain count.
    """

    kind: str
    at: datetime
    version: str | None
    healthy: bool | None
    facts: dict[str, Any] = field(default_factory=dict)
    readings: dict[str, float] = field(default_factory=dict)


class Driver:
    """Base of all drivers.

    `facts` is the connection's own dictionary (see `drivers.connections`), `secrets` resolves the references in it,
    and `related` holds the drivers of the connections named by the keys in `references`.
    """

    kind: ClassVar[str] = ""
    required: ClassVar[tuple[str, ...]] = ()
    references: ClassVar[tuple[str, ...]] = ()
    optional_references: ClassVar[Mapping[str, str]] = {}
    """Facts that may name another connection, with the driver kind it must have (a bucket's replica is a bucket)."""
    acts: ClassVar[tuple[Any, ...]] = ()
    """Instances of `drivers.acts.Act`: what it can do, in the order in which people are offered it."""
    simulated: ClassVar[str] = ""
    """What could only be tried against a simulation, in one sentence for people; empty when nothing."""

    def __init__(self, facts: Facts, secrets: SecretStore, related: Mapping[str, Driver] | None = None) -> None:
        missing = [name for name in (*self.required, *self.references) if name not in facts]
        if missing:
            raise InvalidInput(f"the {self.kind} connection lacks {', '.join(missing)}")
        self.facts = facts
        self.secrets = secrets
        self.related = dict(related or {})

    def observe(self) -> Observation:
        """Read what is there; see the module's rules for what is reported and what is raised."""
        raise NotImplementedError

    def discover(self) -> list[Listing]:
        """Everything that is there now, one listing per scope; none where the driver finds nothing.

        What could not be read is a problem of its listing. Raises `DriverError` when nothing was learnt at all.
        """
        return []

    def seen(
        self,
        healthy: bool | None,
        facts: dict[str, Any],
        readings: dict[str, float] | None = None,
        version: str | None = None,
    ) -> Observation:
        """An observation of this driver's kind, made now."""
        return Observation(self.kind, datetime.now(UTC), version, healthy, facts, readings or {})

    def down(self, reason: object) -> Observation:
        """The observation of a component that does not answer; `reason` is shown to people, cut to 500 characters."""
        return self.seen(False, {"error": str(reason)[:500]})


@runtime_checkable
class Observable(Protocol):
    """Can be read without changing it."""

    def observe(self) -> Observation: ...


@runtime_checkable
class Reloadable(Protocol):
    """Its workers can be replaced one at a time while it keeps serving."""

    def workers(self, slot: str) -> list[Any]: ...

    def reload_worker(self, pm_id: int, *, old_pid: int | None = None) -> Any: ...


@runtime_checkable
class Slotted(Protocol):
    """Runs versions side by side in named slots."""

    def start_slot(self, slot: str, version: str) -> list[Any]: ...

    def stop_slot(self, slot: str) -> bool: ...

    def health(self, slot: str) -> Any: ...


@runtime_checkable
class Shiftable(Protocol):
    """Its traffic can be divided between slots."""

    def weights(self) -> dict[str, int]: ...

    def shift(self, weights: Mapping[str, int], token: str, fence: int | None = None) -> Any: ...
