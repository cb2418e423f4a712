"""What the host itself refuses: callers that were overtaken, second runs, and two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from drivers.acts import Call
from drivers.base import PermanentError, StaleFence, TransientError
from drivers.ssh import SshHost, guard
from tests.drivers.contract import call
from tests.drivers.daemons import ROOT, until
from tests.drivers.sshd import commands, serving

RUN, RUN_WITH_UNDO, REPLACE, _, _ = SshHost.acts
CALLER = """
import json, os, signal, sys
from drivers.acts import Call
from drivers.errors import DriverError
from drivers.secret import SecretStore
from drivers.ssh import SshHost

given = json.loads(sys.argv[1])
act = next(act for act in SshHost.acts if act.name == given["act"])
checks = 0

def alive():
    # the claim still holds; then this process is stopped, between the last check and the effect
    global checks
    checks += 1
    if checks == given["stop_at"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    return True

driver = SshHost(given["facts"], SecretStore())
print("ready", flush=True)
try:
    act.do(driver, act.parse(given["params"]), given["before"], Call("t", fence=given["fence"], alive=alive))
    print("done")
except DriverError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def host(ground):
    with serving(ground / "fence") as made:
        yield made


@pytest.fixture
def driver(host):
    """Every test begins with a host that has seen no fence yet."""
    (host.folder / "fence" / "fence").unlink(missing_ok=True)
    for path in (host.folder / "effects").iterdir():
        path.unlink()
    return host.driver()


def planned(driver, act, **params):
    parsed = act.parse(params)
    return parsed, act.before(driver, parsed)


def clearing(driver, site, act=RUN):
    command = "clear-cache" if act is RUN_WITH_UNDO else "clear-for-good"
    return planned(driver, act, command=command, arguments=[f"site={site}"])


def effects(host):
    return sorted(path.name for path in (host.folder / "effects").iterdir())


def caller(host, act, params, before, *, fence, stop_at=0):
    """A worker of its own process, which stops itself after the `stop_at`-th look at its claim."""
    given = {"facts": host.facts(), "act": act.name, "params": params, "before": before}
    argv = [sys.executable, "-c", CALLER, json.dumps({**given, "fence": fence, "stop_at": stop_at})]
    child = subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert child.stdout.readline() == "ready\n"
    return child


def stopped(child):
    return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def continued(child):
    """What the worker says when it goes on."""
    os.kill(child.pid, signal.SIGCONT)
    return child.communicate(timeout=30)[0].strip()


def test_a_caller_that_slept_through_its_claim_is_refused_by_the_host(host, driver):
    given = {"command": "clear-for-good", "arguments": ["site=stale"]}
    _, before = planned(driver, RUN, **given)
    child = caller(host, RUN, given, before, fence=5, stop_at=1)
    until(lambda: stopped(child))
    params, newer = clearing(driver, "fresh")
    RUN.do(driver, params, newer, Call("new", fence=6))
    assert continued(child) == "StaleFence fence 5 is older than 6 on this host: another caller took over"
    assert effects(host) == ["fresh"]


def test_a_caller_that_slept_before_its_rename_changes_no_file(host, driver):
    """It has uploaded already: what it goes on with must not reach the file that another worker has put there."""
    path = host.folder / "conf" / "motd"
    given = {"path": str(path), "content": "the same plan\n"}
    params, before = planned(driver, REPLACE, **given)
    child = caller(host, REPLACE, given, before, fence=5, stop_at=2)
    until(lambda: stopped(child))
    assert len(list(path.parent.glob(f".motd.{before['run']}.*.new"))) == 1
    REPLACE.do(driver, params, before, Call("new", fence=6))
    REPLACE.undo(driver, params, before, Call("new", fence=6))
    assert continued(child).startswith("StaleFence")
    assert (path.read_text(), os.listdir(path.parent)) == ("Hello.\n", ["motd"])


def test_a_command_outlives_its_caller_and_is_not_run_again(host, driver):
    given = {"command": "clear-for-good", "arguments": ["site=slow"]}
    params, before = planned(driver, RUN, **given)
    child = caller(host, RUN, given, before, fence=5)
    until(lambda: (host.folder / "fence" / "runs" / f"{before['run']}.begun").exists())
    child.kill()
    child.communicate()
    assert RUN.do(driver, params, before, Call("next", fence=6)) == {"output": "cleared slow"}  # waits for its end
    once = (host.folder / "effects" / "slow").read_text()
    assert RUN.done(driver, params, before) is True
    RUN.do(driver, params, before, Call("next", fence=7))
    assert (host.folder / "effects" / "slow").read_text() == once


def test_the_highest_fence_counts_and_equal_ones_pass(host, driver):
    for number, fence in enumerate((3, None, 3, 10, 9, 10)):
        params, before = clearing(driver, f"site{'abcdef'[number]}")
        if fence == 9:
            with pytest.raises(StaleFence, match="9 is older than 10"):
                RUN.do(driver, params, before, Call("t", fence=fence))
        else:
            RUN.do(driver, params, before, Call("t", fence=fence))
    assert effects(host) == ["sitea", "siteb", "sitec", "sited", "sitef"]
    assert (host.folder / "fence" / "fence").read_text() == "10\n"


@pytest.mark.parametrize("damage", ["", "x", "-1", "1 2", "9" * 19])
def test_a_damaged_fence_file_stops_everything(host, driver, damage):
    (host.folder / "fence" / "fence").write_text(damage)
    params, before = clearing(driver, "damaged")
    for fence in (None, 5):
        with pytest.raises(PermanentError, match="is damaged"):
            RUN.do(driver, params, before, Call("t", fence=fence))
    assert effects(host) == []


@pytest.mark.parametrize("fence", [-1, 10**18, "5", True])
def test_an_odd_fence_is_refused(driver, fence):
    params, before = clearing(driver, "odd")
    with pytest.raises(PermanentError, match="not a valid fence"):
        RUN.do(driver, params, before, Call("t", fence=fence))


def test_who_lost_its_claim_does_not_reach_the_host(host, driver):
    params, before = clearing(driver, "lost")
    with pytest.raises(StaleFence):
        RUN.do(driver, params, before, Call("t", alive=lambda: False))
    assert effects(host) == []
    assert not (host.folder / "fence" / "runs" / f"{before['run']}.begun").exists()


def test_a_command_whose_end_nobody_knows_is_not_begun_again(host, driver):
    """As after a power cut: begun is on record, ended is not."""
    params, before = clearing(driver, "unknown")
    runs = host.folder / "fence" / "runs"
    (runs / f"{before['run']}.begun").touch()
    with pytest.raises(PermanentError, match="nobody knows whether it ended"):
        RUN.do(driver, params, before, call())
    assert effects(host) == []
    harmless = {**commands(host.folder)}
    harmless["clear-for-good"] = {**harmless["clear-for-good"], "repeatable": True}
    RUN.do(host.driver(commands=harmless), params, before, call())
    assert effects(host) == ["unknown"]


def test_what_began_is_taken_back_even_when_it_failed(host, driver):
    params, before = clearing(driver, "half", RUN_WITH_UNDO)
    RUN_WITH_UNDO.undo(driver, params, before, call())
    runs = host.folder / "fence" / "runs"
    assert not (runs / f"{before['run']}-undo.begun").exists()
    (runs / f"{before['run']}.begun").touch()
    (host.folder / "effects" / "half").touch()
    RUN_WITH_UNDO.undo(driver, params, before, call())
    assert effects(host) == []


def test_two_at_once_wait_for_one_another(host, driver):
    plans = [clearing(driver, site) for site in ("one", "two", "three")]
    failures = []

    def act(params, before):
        try:
            RUN.do(host.driver(), params, before, call())
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=act, args=plan) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, effects(host)) == ([], ["one", "three", "two"])


def test_a_lock_that_is_held_is_transient(host, driver, monkeypatch):
    monkeypatch.setattr("drivers.ssh.guard.GUARD", _hasty())
    with subprocess.Popen(["flock", str(host.folder / "fence" / "lock"), "cat"], stdin=subprocess.PIPE) as holder:
        until(lambda: subprocess.run(["flock", "-n", host.folder / "fence" / "lock", "true"]).returncode)
        params, before = clearing(driver, "locked")
        with pytest.raises(TransientError, match="another command of the portal is running"):
            RUN.do(driver, params, before, call())
        holder.stdin.close()
    RUN.do(driver, params, before, call())
    assert effects(host) == ["locked"]


def _hasty():
    assert "flock -w 10 9" in guard.GUARD
    return guard.GUARD.replace("flock -w 10 9", "flock -w 0 9")


def test_a_program_that_stays_behind_holds_neither_lock_nor_connection(host, driver):
    """A service that a command has started must not keep the next command away, or this one from ending."""
    script = host.folder / "bin" / "daemon"
    script.write_text('#!/bin/sh\nsleep 30 &\necho $! >"$1"\n')
    script.chmod(0o755)
    pid = host.folder / "daemon.pid"
    start = {"start": {"argv": [str(script), str(pid)]}, **commands(host.folder)}
    params, before = planned(host.driver(commands=start), RUN, command="start")
    try:
        RUN.do(host.driver(commands=start), params, before, call())
        params, before = clearing(driver, "next")
        RUN.do(driver, params, before, call())
        assert Path(f"/proc/{pid.read_text().strip()}").exists()
    finally:
        os.kill(int(pid.read_text()), signal.SIGTERM)


def test_a_folder_that_cannot_be_used_is_permanent(host, driver):
    params, before = clearing(driver, "nowhere")
    with pytest.raises(PermanentError, match="did not run"):
        RUN.do(host.driver(fence_dir="/proc/nowhere"), params, before, call())


def test_records_are_readable_for_their_owner_only_and_hold_the_output(host, driver):
    params, before = clearing(driver, "kept")
    RUN.do(driver, params, before, call())
    runs = host.folder / "fence" / "runs"
    kept = {path.suffix: path for path in runs.iterdir() if path.name.startswith(before["run"])}
    assert sorted(kept) == [".begun", ".ended", ".out"]
    assert (kept[".ended"].read_text(), kept[".out"].read_text()) == ("0\n", "cleared kept\n")
    assert {path.stat().st_mode & 0o777 for path in kept.values()} == {0o600}
    assert (host.folder / "effects" / "kept").stat().st_mode & 0o077, "the command itself runs with the account's mask"


def test_old_records_are_cleared_away(host, driver):
    old = host.folder / "fence" / "runs" / f"{'a' * 32}.ended"
    old.write_text("0\n")
    os.utime(old, (1_600_000_000, 1_600_000_000))
    params, before = clearing(driver, "tidy")
    RUN.do(driver, params, before, call())
    assert not old.exists()
