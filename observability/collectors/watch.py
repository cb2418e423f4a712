"""Look at real components through drivers, side by side, so that one that hangs delays no other.

Nothing here touches the database: ``observability.reconcile`` says what to look at and hands the findings to the verb.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import structlog

from drivers import connections
from drivers.app import App
from drivers.base import Driver, DriverError, Observation
from drivers.pm2 import Pm2, Process
from observability.collectors.judgement import judge
from observability.health import UNKNOWN, Finding
from portal import clock

log = structlog.get_logger(__name__)
DEADLINE_SECONDS = 4.0
"""How long a round waits. What comes later is used by the next round."""
OVERDUE_SECONDS = 10.0
"""After this long without an answer, the component is reported as unknown."""
MAX_THREADS = 64
Look = Callable[[], Observation]


class Watch:
    """The readings of one data center. At most one is under way per component, however long it takes."""

    def __init__(self, *, deadline: float = DEADLINE_SECONDS, overdue: float = OVERDUE_SECONDS) -> None:
        self.deadline, self.overdue = deadline, overdue
        self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="collector")
        self._running: dict[uuid.UUID, tuple[Future[Observation], float]] = {}

    def read(self, looks: Mapping[uuid.UUID, Look]) -> list[Finding]:
        """Run every look once and return what is known ``deadline`` seconds later; never raises for one of them.

        A look that is still running from an earlier round is not started again. Its answer is taken when it comes;
        until then the earlier reading grows old, and after ``overdue`` seconds the component is unknown.
        """
        findings = self._finished()
        for component_id, look in looks.items():
            if component_id not in self._running:
                self._running[component_id] = (self._pool.submit(look), time.monotonic())
        wait([future for future, _ in self._running.values()], timeout=self.deadline)
        findings |= self._finished()
        for component_id, (_, began) in self._running.items():
            waited = time.monotonic() - began
            if waited > self.overdue:
                reason = f"No reading has come back for {waited:.0f} seconds."
                findings[component_id] = Finding(component_id, clock.now(), UNKNOWN, reason)
        return [finding for component_id, finding in findings.items() if component_id in looks]

    def _finished(self) -> dict[uuid.UUID, Finding]:
        done = {key: future for key, (future, _) in self._running.items() if future.done()}
        for key in done:
            del self._running[key]
        return {key: _finding(key, future) for key, future in done.items()}


def _finding(component_id: uuid.UUID, future: Future[Observation]) -> Finding:
    """What a finished look found. An error means that nothing was learnt, which is unknown, not down."""
    try:
        return judge(component_id, future.result())
    except DriverError as error:
        reason = str(error)
    except Exception as error:
        log.exception("collector_failed", component=str(component_id))
        reason = f"The reading failed: {type(error).__name__}."
    return Finding(component_id, clock.now(), UNKNOWN, reason.replace("\x00", "")[:500])


class ListedPm2(Pm2):
    """A PM2 whose processes are listed once: all services on one daemon share the answer, or the error.

    Each listing costs a start of Node.js; one per service and round would keep a core busy.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = threading.Lock()
        self._listed: list[Process] | DriverError | None = None

    def processes(self, name: str | None = None) -> list[Process]:
        with self._lock:
            if self._listed is None:
                try:
                    self._listed = super().processes()
                except DriverError as error:
                    self._listed = error
        if isinstance(self._listed, DriverError):
            raise self._listed
        return [process for process in self._listed if name is None or process.name == name]


def looks(wanted: Mapping[uuid.UUID, str], file: Path) -> dict[uuid.UUID, Look]:
    """How to look at each component, by its connection key, in one round.

    A key that is not known, or a file that cannot be read, gives a look that raises the driver's own sentence.
    """
    try:
        known = connections.load(file)
    except DriverError as error:
        return dict.fromkeys(wanted, _refusing(error))
    daemons: dict[str, ListedPm2] = {}
    return {component_id: _look(known, key, daemons) for component_id, key in wanted.items()}


def _look(known: connections.Connections, key: str, daemons: dict[str, ListedPm2]) -> Look:
    try:
        driver = known.driver(key)
        if isinstance(driver, App):
            driver.pm2 = _listed(str(driver.facts["pm2"]), driver.pm2, daemons)
        elif isinstance(driver, Pm2):
            driver = _listed(key, driver, daemons)
    except DriverError as error:
        return _refusing(error)
    return driver.observe


def _listed(key: str, pm2: Driver, daemons: dict[str, ListedPm2]) -> ListedPm2:
    if key not in daemons:
        daemons[key] = ListedPm2(pm2.facts, pm2.secrets)
    return daemons[key]


def _refusing(error: DriverError) -> Look:
    def look() -> Observation:
        raise error

    return look
