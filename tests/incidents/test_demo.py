"""The demo's portal calls the on-call engineer, and nobody is added twice."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from incidents import demo, reconcile
from incidents.models import ContactMethod, EscalationPolicy, EscalationStep, Notification, Schedule, SignalSource
from portal import clock
from tests import world
from tests.incidents.conftest import KEY, payload

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(settings, tmp_path):
    """The demo twice, as on a machine that is started again."""
    settings.STATE_DIR = tmp_path
    for _ in range(2):
        call_command("demo", stdout=StringIO())


def test_a_signal_calls_the_on_call_engineer_and_then_the_owners(made, post):
    component = world.component()
    SignalSource.objects.create(
        slug="lab",
        kind=SignalSource.Kind.ALERTMANAGER,
        key_digest=SignalSource.hashed(KEY),
        environment=component.environment,
    )
    assert post(payload()).status_code == 200
    page = Notification.objects.get()
    assert (page.person.name, page.method.kind, page.method.address) == (
        "On-call engineer",
        "email",
        "on-call@demo.example",
    )
    with clock.travel(timedelta(seconds=demo.PATIENCE_SECONDS + 1)):
        assert reconcile.escalate() == 1
    called = Notification.objects.exclude(pk=page.pk).values_list("person__name", flat=True)
    assert sorted(called) == ["Operations owner", "Second operations owner"]


def test_made_twice_it_is_there_once(made):
    assert (Schedule.objects.count(), EscalationPolicy.objects.count(), EscalationStep.objects.count()) == (1, 1, 2)
    assert Schedule.objects.get().members.count() == 1
    assert ContactMethod.objects.count() == 3


def test_a_policy_that_somebody_changed_is_kept(made):
    EscalationStep.objects.filter(position=1).delete()
    call_command("demo", stdout=StringIO())
    assert EscalationStep.objects.count() == 1


def test_without_the_demo_accounts_nothing_is_made(db):
    demo.make()
    assert Schedule.objects.count() == 0


def test_the_source_of_the_lab_has_its_key_in_a_file(settings, tmp_path, post):
    settings.STATE_DIR = tmp_path
    world.component()
    for _ in range(2):
        call_command("demo", stdout=StringIO())
    path = tmp_path / "secrets" / "signal-lab.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert post(payload(), key=path.read_text()).status_code == 200
    assert SignalSource.objects.filter(slug="lab").count() == 1
