"""Pytest plugin: an embedded PostgreSQL for the suite, when DATABASE_URL names none.

Loaded with `-p tests.postgres`, before Django's settings are read. Every run has a server, a port and a folder of its
own, so that several runs may go on side by side. Workers of pytest-xdist inherit the controller's DATABASE_URL.
"""

import atexit
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from django.db import connections

from portal.embedded import ports, process
from portal.embedded.postgres import Postgres, programs

ROOT = Path(__file__).resolve().parents[1]
MIGRATED = "edye_migrated"
COPIED = "EDYE_TEST_DATABASE_IS_COPIED"
TEMPLATE_SECONDS = 7 * 86_400

# A test database is thrown away: nothing has to survive a power cut.
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "48MB",
    "autovacuum": "off",
    "max_connections": "200",
    "max_wal_size": "256MB",
}
MEMORY = Path("/dev/shm")
LONGEST_SOCKET = 90
"""Characters of a folder that leave room for a socket's name: the system takes 107 together."""
ROOMY = 4 << 30
"""Bytes that must be free there; a run takes a tenth of it."""


def _scratch() -> Path:
    """The first temporary folder that the server's account can enter."""
    account = process.unprivileged()
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    return next(folder for folder in candidates if process.allowed(account, "-x", folder))


def _digest() -> str:
    """What a migrated database is made of: every migration, and the roles that are seeded."""
    made_of = [*sorted(ROOT.glob("*/migrations/*.py")), ROOT / "identity" / "matrix.yaml"]
    made_of += sorted(ROOT.glob("requirements.txt"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in made_of)).hexdigest()[:12]


def _migrate(server: Postgres) -> None:
    """Bring about the database from which every worker's own is copied: migrating takes seconds of processor."""
    ports.start_on_free(server, 20000 + secrets.randbelow(10000))
    try:
        with psycopg.connect(server.url, autocommit=True) as link:
            link.execute(f"CREATE DATABASE {MIGRATED}")
        where = {"DATABASE_URL": server.url.rpartition("/")[0] + f"/{MIGRATED}"}
        argv = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(argv, cwd=ROOT, env=os.environ | where, check=True, stdin=subprocess.DEVNULL)
    finally:
        server.stop(patience=20)


def _template(scratch: Path) -> Path:
    """A data folder with a migrated database and the superuser password, made once per machine and migrations."""
    account = process.unprivileged()
    version = subprocess.check_output([programs(scratch, None) / "postgres", "--version"], text=True).split()[2]
    template = scratch / f"edye-test-postgres-{version}-{os.getuid()}-{_digest()}"
    if not template.exists():
        _sweep_templates(scratch)
        partial = Path(tempfile.mkdtemp(prefix="edye-test-postgres-", dir=scratch))
        if account is not None:
            os.chown(partial, account.pw_uid, account.pw_gid)
        password = secrets.token_urlsafe(24)
        (partial / "password").write_text(password)
        server = Postgres(partial, password, secrets.token_urlsafe(24), partial / "log", THROWAWAY)
        server.initialize()
        _migrate(server)
        try:
            partial.rename(template)
        except OSError:  # somebody else's run was faster
            shutil.rmtree(partial)
    owner = account.pw_uid if account else os.getuid()
    if template.is_symlink() or template.stat().st_uid != owner:
        raise pytest.UsageError(f"{template} belongs to somebody else; remove it or set TMPDIR.")
    return template


def _sweep_templates(scratch: Path) -> None:
    """Remove templates that no run has used for a week."""
    for folder in scratch.glob(f"edye-test-postgres-*-{os.getuid()}-*"):
        if time.time() - folder.stat().st_mtime > TEMPLATE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(scratch: Path) -> None:
    """Remove folders of runs that were killed; their servers ended with them."""
    for folder in [*scratch.glob("edye-test-run-*"), *MEMORY.glob("edye-test-run-*")]:
        if process.started_at(int(folder.name.split("-")[3])) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(place: Path, template: Path) -> Path:
    """A folder of this run's own, which the server's account can enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"edye-test-run-{os.getpid()}-", dir=place))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copystat(template, folder)
    account = process.unprivileged()
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def _roomy() -> bool:
    """Whether memory has room for the data: a disk makes and removes the many small files of a database slowly."""
    try:
        return shutil.disk_usage(MEMORY).free > ROOMY and os.access(MEMORY, os.W_OK)
    except OSError:
        return False


def _start() -> Postgres:
    scratch = _scratch()
    template = _template(scratch)
    _sweep(scratch)
    folder = _folder(scratch, template)
    data = _folder(MEMORY if _roomy() else scratch, template)
    subprocess.run(["cp", "-a", template / "data", data], check=True)
    (folder / "data").symlink_to(data / "data")
    if (template / "programs").exists():  # memory may be mounted so that no program in it can be run
        (folder / "programs").symlink_to(template / "programs")
    password = (template / "password").read_text()
    server = Postgres(folder, password, secrets.token_urlsafe(24), folder / "log", THROWAWAY)
    server.sockets = folder if len(str(folder)) < LONGEST_SOCKET else None
    ports.start_on_free(server, 20000 + secrets.randbelow(10000))
    atexit.register(server.stop, patience=5)
    return server


def copy_the_migrated_database() -> None:
    """Each worker's database is a copy of the migrated one, unless DATABASE_URL named a server of the caller's own."""
    if os.environ.get(COPIED):
        connections["default"].settings_dict["TEST"]["TEMPLATE"] = MIGRATED


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config):  # type: ignore[no-untyped-def]
    """Start the server before pytest-django reads the settings, and say where it is."""
    if not os.environ.get("DATABASE_URL") and not early_config.known_args_namespace.help:
        os.environ["DATABASE_URL"] = _start().url
        os.environ[COPIED] = "yes"  # workers of pytest-xdist inherit it with the address
    return (yield)


if __name__ == "__main__":  # a command of manage.py that wants a database, and any will do
    os.environ["DATABASE_URL"] = _start().url
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *sys.argv[1:]])
