"""A worker that is killed at any instant of a check or an apply leaves nothing half done, and nothing done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from inventory.actions import imports as verbs
from inventory.models import Component, Import, Revision
from portal.models import Event
from tests import world
from tests.inventory.files import PLACE, lines

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]
ROWS, KILLS = 12_000, 6
WORK = """
import django
django.setup()
from inventory.reconcile import imports
imports.MOST_ATTEMPTS = 1000
print("ready", flush=True)
imports.carry_imports()
"""


def worker() -> subprocess.Popen[str]:
    """A process that does what waits, and has said that it begins."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = os.environ | {"DATABASE_URL": database, "PORTAL_STATE": str(settings.STATE_DIR)}
    started = subprocess.Popen(
        [sys.executable, "-c", WORK], cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    said = started.stdout.readline()
    started.stdout.close()
    assert said == "ready\n"
    return started


def work_under_fire(one: Import, ends: str, seed: int) -> int:
    """Kill workers at random instants, then let one come to the end; how many were killed in the middle."""
    drawn, killed = random.Random(seed), 0
    for _ in range(KILLS):
        started = worker()
        time.sleep(drawn.uniform(0.05, 3))
        killed += started.poll() is None
        started.send_signal(signal.SIGKILL)
        started.wait()
        one.refresh_from_db()
        assert one.state == ends or Component.objects.count() == 1
    if one.state != ends:
        assert worker().wait(300) == 0
    one.refresh_from_db()
    assert one.state == ends, one.note
    return killed


def test_killed_workers_leave_all_or_nothing():
    world.component(f"{PLACE}/api")
    owner = world.account("owner", "operations_owner")
    one = verbs.upload("component", by=owner, data=lines(*(f"{PLACE}/c{n},app,api" for n in range(ROWS))))
    killed = work_under_fire(one, "ready", 1)
    assert (one.created, one.change_rows.count(), Component.objects.count()) == (ROWS, ROWS, 1)
    verbs.apply(one, by=owner, expected=one.digest)
    killed += work_under_fire(one, "applied", 2)
    assert killed > 0
    assert Component.objects.count() == ROWS + 1
    assert Revision.objects.filter(noun="component").count() == ROWS + 1
    assert Event.objects.filter(verb="inventory.complete").count() == 1
