"""Programs run as argument lists, in a clean environment, with a limit."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from drivers import commands
from drivers.base import PermanentError, TransientError
from tests.drivers.daemons import until


def test_arguments_arrive_as_they_are_and_no_shell_reads_them(tmp_path):
    words = ["$(touch pwned)", "; touch pwned", "a b", "'", '"', "`touch pwned`", "--x"]
    done = commands.run(
        [sys.executable, "-c", "import sys; print(sys.argv[1:])", *words], seconds=10, env={}, cwd=tmp_path
    )
    assert done.output.strip() == repr(words)
    assert list(tmp_path.iterdir()) == []


def test_the_environment_is_only_what_was_given(monkeypatch):
    monkeypatch.setenv("PORTAL_SECRET", "leaked")
    done = commands.run(["/usr/bin/env"], seconds=10, env={"GIVEN": "1"})
    assert sorted(line.split("=")[0] for line in done.output.split()) == ["GIVEN", "LANG", "PATH"]


def test_status_and_both_streams_come_back():
    done = commands.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], seconds=10, env={})
    assert (done.status, done.output, done.error, done.tail) == (3, "out\n", "err\n", "err")
    assert commands.run(["/bin/echo", "only"], seconds=10, env={}).tail == "only"


def test_time_is_limited_and_grandchildren_end_too(tmp_path):
    pid_file = tmp_path / "pid"
    begun = time.monotonic()
    with pytest.raises(TransientError, match=r"did not finish within 0\.5 seconds"):
        commands.run(["/bin/sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"], seconds=0.5, env={})
    assert time.monotonic() - begun < 5
    pid = int(pid_file.read_text())
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 5)


def test_a_program_that_is_not_there_and_a_nul_are_permanent():
    with pytest.raises(PermanentError, match="cannot be started"):
        commands.run([Path("/nonexistent/program")], seconds=1, env={})
    with pytest.raises(PermanentError, match="NUL"):
        commands.run(["/bin/echo", "a\0b"], seconds=1, env={})
