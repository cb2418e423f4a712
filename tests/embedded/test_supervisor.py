"""What ends by itself is started again; what keeps ending brings the rest down, unless it is optional."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

SET_UP = """
import os, sys, time
from pathlib import Path
from portal.embedded import state
from portal.embedded.supervisor import Supervisor
folder = state.folder()
state.prepare(folder)
begun = time.monotonic()
python = lambda code: [sys.executable, "-uc", code]
def supervisor(ready=lambda: print("ready", flush=True), servers=()):
    return Supervisor(folder, ready=ready, servers=servers)
"""


@pytest.fixture
def supervise(tmp_path):
    """Run a script with a supervisor in a process of its own, because a supervisor takes the signals."""
    started = []

    def run(script):
        command = [sys.executable, "-c", SET_UP + textwrap.dedent(script)]
        environment = {**os.environ, "PORTAL_STATE": str(tmp_path)}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        child = subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes)
        started.append(child)
        return child

    yield run
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def test_a_killed_program_is_started_again(supervise, tmp_path):
    child = supervise("""
        all = supervisor()
        all.add("web", python("import os, time; print('pid', os.getpid()); time.sleep(60)"), env=os.environ, first=True)
        all.loop()
    """)
    assert child.stdout.readline() == "ready\n"
    log = tmp_path / "log" / "web.log"
    first = wait_for(lambda: log.exists() and log.read_text().split())[-1]
    os.kill(int(first), signal.SIGKILL)
    second = wait_for(lambda: log.read_text().count("pid") == 2 and log.read_text().split())[-1]
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=20)
    assert second != first
    assert "web ended with code -9; starting it again" in errors


def test_a_program_that_keeps_ending_brings_the_others_down_and_shows_its_last_lines(supervise):
    child = supervise("""
        all = supervisor()
        all.add("web", python("print('no such setting'); raise SystemExit(3)"), env=os.environ, first=True)
        all.add("beat", python("import time; time.sleep(60)"), env=os.environ, first=True)
        all.loop()
        raise SystemExit(all.returncode)
    """)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 3
    assert "web ended with code 3; given up after several attempts" in errors
    assert "    no such setting\n" in errors


def test_an_optional_program_that_keeps_ending_is_left_out(supervise):
    child = supervise("""
        all = supervisor()
        all.add("lab", python("raise SystemExit(4)"), env=os.environ, first=True, optional=True)
        all.add("web", python("import time; time.sleep(60)"), env=os.environ, first=True)
        all.loop()
        raise SystemExit(all.returncode)
    """)
    errors = ""
    while "left out" not in errors:
        errors += child.stderr.readline()
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=20)
    assert child.returncode == 130


def test_the_end_of_a_server_ends_all(supervise):
    child = supervise("""
        all = supervisor(servers=[lambda: time.monotonic() - begun < 2])
        all.add("web", python("import time; time.sleep(60)"), env=os.environ, first=True)
        all.loop()
    """)
    child.communicate(timeout=20)
    assert child.returncode == 0


def test_what_is_not_first_waits_for_its_release(supervise, tmp_path):
    child = supervise("""
        def ready():
            print("begun", flush=True)
            sys.stdin.readline()
            all.release()
        all = supervisor(ready)
        all.add("web", python("import time; time.sleep(60)"), env=os.environ, first=True)
        all.add("lab", python("import time; print('lab'); time.sleep(60)"), env=os.environ)
        all.loop()
    """)
    assert child.stdout.readline() == "begun\n"
    log = tmp_path / "log" / "lab.log"
    assert log.exists() is False
    child.stdin.write("\n")
    child.stdin.flush()
    assert wait_for(lambda: log.exists() and log.read_text()) == "lab\n"


def test_the_end_may_come_before_the_release(supervise, tmp_path):
    child = supervise("""
        all = supervisor()
        all.add("web", python("import time; time.sleep(60)"), env=os.environ, first=True)
        all.add("lab", python("print('lab')"), env=os.environ)
        all.loop()
        raise SystemExit(all.returncode)
    """)
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    # A program that is asked to end in the very instant in which it begins may miss it, and is killed 25 s later.
    child.communicate(timeout=60)
    assert child.returncode == 143
    assert (tmp_path / "log" / "lab.log").exists() is False


def test_programs_end_with_a_killed_supervisor(supervise, tmp_path):
    child = supervise("""
        all = supervisor()
        all.add("web", python("import os, time; print('pid', os.getpid()); time.sleep(60)"), env=os.environ, first=True)
        all.loop()
    """)
    log = tmp_path / "log" / "web.log"
    pid = int(wait_for(lambda: log.exists() and log.read_text().split())[-1])
    child.kill()
    child.communicate()
    assert wait_for(lambda: not alive(pid)) is True


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")
