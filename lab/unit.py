"""What all parts of the lab have in common: daemons in stages, rows of the status table, connection facts."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from lab.daemon import Daemon
from lab.errors import NotReady
from lab.layout import Lab

UP = "up"
DOWN = "down"
BROKEN = "broken"  # down or failing because `lab break` made it so


@dataclass(frozen=True)
class Row:
    """One line of the status table; `component` is the key of a connection."""

    component: str
    driver: str
    address: str
    state: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


class Unit:
    """Daemons that are started together, in stages: a stage begins when the one before it is ready."""

    def __init__(self, lab: Lab, name: str, environments: Collection[str]) -> None:
        self.lab = lab
        self.name = name
        self.environments = frozenset(environments)
        self.stages: list[list[Daemon]] = []
        self.stopping = threading.Event()  # set when the lab is taken down while it still starts

    @property
    def daemons(self) -> list[Daemon]:
        """All its daemons, in start order."""
        return [daemon for stage in self.stages for daemon in stage]

    def up(self, owner: str, seconds: float, skip: Collection[str] = ()) -> str:
        """Start what does not run, except the names in `skip`, and wait until all of it is ready.

        Returns what was done, for people. `NotReady` or another error of the daemon's client when it fails; what was
        started then keeps running, so that its log and state can be looked at.
        """
        started = adopted = 0
        for stage in self.stages:
            require(not self.stopping.is_set(), "the lab is being stopped")
            wanted = [daemon for daemon in stage if daemon.name not in skip]
            for daemon in wanted:
                fresh = daemon.start(owner)
                started += fresh
                adopted += not fresh
            for daemon in wanted:
                daemon.wait(seconds)
        left = [daemon.name for daemon in self.daemons if daemon.name in skip]
        if not left:
            self.finish(seconds)
        parts = [f"started {started}" if started else "", f"already running {adopted}" if adopted else ""]
        return ", ".join(filter(None, [*parts, f"left broken: {', '.join(left)}" if left else ""]))

    def finish(self, seconds: float) -> None:
        """What remains to be done when all its daemons answer; repeatable."""

    def down(self, owners: Collection[str]) -> list[str]:
        """Stop its daemons in reverse order, as far as one of `owners` has started them; the names of the stopped."""
        return [
            daemon.name
            for stage in reversed(self.stages)
            for daemon in stage
            if daemon.owner() in owners and daemon.stop()
        ]

    def connections(self) -> dict[str, dict[str, Any]]:
        """Its connection facts by key."""
        raise NotImplementedError

    def rows(self) -> list[Row]:
        """Its lines of the status table, read from the daemons now."""
        raise NotImplementedError

    def probe(self, component: str, driver: str, address: str, daemon: Daemon, broken: Collection[str]) -> Row:
        """The row of one daemon that is its own component."""
        if daemon.process() is None:
            state = BROKEN if daemon.name in broken else DOWN
            detail = "stopped by `lab break`" if state == BROKEN else f"not running; {daemon.last_words()}"
            return Row(component, driver, address, state, detail)
        try:
            return Row(component, driver, address, UP, daemon.check())
        except Exception as error:  # noqa: BLE001 - whatever a client raises is what the row has to say
            return Row(component, driver, address, DOWN, str(error)[:200] or type(error).__name__)


def require(condition: bool, complaint: str) -> None:
    """`NotReady` with `complaint` unless `condition` holds."""
    if not condition:
        raise NotReady(complaint)
