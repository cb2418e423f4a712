"""Leftovers are recognised by pid and start time, and stopped with everything they started."""

import functools
import json
import signal
import subprocess
import sys
import time

import pytest

from portal.embedded import process


@pytest.fixture
def sleeper():
    # A suite that runs in the background of a shell may have been told to ignore SIGINT, and children inherit that.
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(["sleep", "60"], start_new_session=True, preexec_fn=heeds) as child:
        yield child
        child.kill()


def test_a_recorded_process_is_stopped_with_its_signal(tmp_path, sleeper):
    process.record(tmp_path, "web", sleeper.pid, signal.SIGINT)
    assert process.stop_recorded(tmp_path) == ["web"]
    assert sleeper.wait(5) == -signal.SIGINT
    assert list(tmp_path.iterdir()) == []


def test_a_recycled_pid_is_left_alone(tmp_path, sleeper):
    facts = {"pid": sleeper.pid, "started": process.started_at(sleeper.pid) - 1, "signal": 15}
    (tmp_path / "web.json").write_text(json.dumps(facts))
    assert process.stop_recorded(tmp_path) == []
    assert sleeper.poll() is None


def test_servers_are_stopped_after_the_processes_that_use_them(tmp_path):
    children = {}
    for name in ("postgres", "beat", "worker-default"):
        children[name] = subprocess.Popen(["sleep", "60"], start_new_session=True)
        process.record(tmp_path, name, children[name].pid)
    assert process.stop_recorded(tmp_path) == ["beat", "worker-default", "postgres"]
    assert [child.wait(5) for child in children.values()] == [-signal.SIGTERM] * 3


def test_what_ignores_the_request_is_ended_with_its_group(tmp_path):
    script = (
        "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as stubborn:
        grandchild = int(stubborn.stdout.readline())
        process.stop(stubborn.pid, signal.SIGTERM, patience=0.2)
        assert stubborn.wait(5) == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while process.started_at(grandchild) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.started_at(grandchild) is None
