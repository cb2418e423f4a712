"""Pytest plugin: an embedded PostgreSQL for the suite, when DATABASE_URL names none.

Loaded with `-p tests.postgres`, before Django's settings are read. Every run has a server, a port and a folder of its
own, so that several runs may go on side by side. Workers of pytest-xdist inherit the controller's DATABASE_URL.
"""

import atexit
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from portal.embedded import ports, process
from portal.embedded.postgres import Postgres, programs

# A test database is thrown away: nothing has to survive a power cut.
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "48MB",
    "autovacuum": "off",
}


def _scratch() -> Path:
    """The first temporary folder that the server's account can enter."""
    account = process.unprivileged()
    candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    return next(folder for folder in candidates if process.allowed(account, "-x", folder))


def _template(scratch: Path) -> Path:
    """A folder with an initialised data folder and its superuser password, made once per machine and version."""
    account = process.unprivileged()
    version = subprocess.check_output([programs(scratch, None) / "postgres", "--version"], text=True).split()[2]
    template = scratch / f"edye-test-postgres-{version}-{os.getuid()}"
    if not template.exists():
        partial = Path(tempfile.mkdtemp(prefix="edye-test-postgres-", dir=scratch))
        if account is not None:
            os.chown(partial, account.pw_uid, account.pw_gid)
        password = secrets.token_urlsafe(24)
        (partial / "password").write_text(password)
        Postgres(partial, password, "", partial / "log", THROWAWAY).initialize()
        try:
            partial.rename(template)
        except OSError:  # somebody else's run was faster
            shutil.rmtree(partial)
    owner = account.pw_uid if account else os.getuid()
    if template.is_symlink() or template.stat().st_uid != owner:
        raise pytest.UsageError(f"{template} belongs to somebody else; remove it or set TMPDIR.")
    return template


def _sweep(scratch: Path) -> None:
    """Remove folders of runs that were killed; their servers ended with them."""
    for folder in scratch.glob("edye-test-run-*"):
        if process.started_at(int(folder.name.split("-")[3])) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _start() -> Postgres:
    scratch = _scratch()
    template = _template(scratch)
    _sweep(scratch)
    folder = Path(tempfile.mkdtemp(prefix=f"edye-test-run-{os.getpid()}-", dir=scratch))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copystat(template, folder)
    subprocess.run(["cp", "-a", f"{template}/.", folder], check=True)
    password = (folder / "password").read_text()
    server = Postgres(folder, password, secrets.token_urlsafe(24), folder / "log", THROWAWAY)
    ports.start_on_free(server, 20000 + secrets.randbelow(10000))
    atexit.register(server.stop, patience=5)
    return server


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config):  # type: ignore[no-untyped-def]
    """Start the server before pytest-django reads the settings, and say where it is."""
    if not os.environ.get("DATABASE_URL") and not early_config.known_args_namespace.help:
        os.environ["DATABASE_URL"] = _start().url
    return (yield)


if __name__ == "__main__":  # a command of manage.py that wants a database, and any will do
    os.environ["DATABASE_URL"] = _start().url
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *sys.argv[1:]])
