"""The state folder: private secrets, one holder at a time, and what a run tells other commands."""

import os
import subprocess
import sys

import pytest

from portal.embedded import state


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PORTAL_STATE", str(tmp_path / "state"))
    folder = state.folder()
    state.prepare(folder)
    return folder


@pytest.fixture
def held(folder):
    """Another process holds the folder."""
    script = (
        "import sys; from portal.embedded import state; kept = state.lock(state.folder()); print(1); sys.stdin.read()"
    )
    command = [sys.executable, "-uc", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        yield holder
        holder.stdin.close()


def test_a_secret_is_made_once_and_only_its_owner_reads_it(folder):
    first = state.secret(folder, "valkey")
    assert state.secret(folder, "valkey") == first
    assert state.secret(folder, "postgres") != first
    assert (folder / "secrets" / "valkey").stat().st_mode & 0o777 == 0o600


def test_the_folder_is_held_by_one_run_at_a_time(folder, held):
    state.publish(folder, {"PORTAL_ADDRESS": "http://127.0.0.1:8400"})
    with pytest.raises(state.Busy) as refusal:
        state.lock(folder)
    assert refusal.value.address == "http://127.0.0.1:8400"


def test_a_killed_holder_leaves_the_folder_free(folder, held):
    held.kill()
    held.wait()
    with state.lock(folder) as lock:
        assert lock.closed is False


def test_other_commands_use_the_servers_of_the_run(folder, held, monkeypatch):
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL", "named by the caller")
    state.publish(folder, {"CELERY_BROKER_URL": "redis://run", "DATABASE_URL": "postgresql://run"})
    state.use_running()
    assert (os.environ["CELERY_BROKER_URL"], os.environ["DATABASE_URL"]) == ("redis://run", "named by the caller")


def test_what_a_killed_run_published_is_not_used(folder, monkeypatch):
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    state.publish(folder, {"CELERY_BROKER_URL": "redis://gone"})
    state.use_running()
    assert "CELERY_BROKER_URL" not in os.environ


def test_nothing_is_running_after_withdrawal(folder):
    state.publish(folder, {"PORT": "8400"})
    state.withdraw(folder)
    assert state.running(folder) == {}


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RuntimeError, match=r"it holds thesis\.tex"):
        state.prepare(tmp_path)


def test_a_folder_stays_the_portals_whatever_comes_into_it(folder):
    state.lock(folder).close()
    (folder / "notes.txt").touch()
    state.prepare(folder)
    assert folder.stat().st_mode & 0o777 == 0o711
