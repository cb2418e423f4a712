"""Queries that are built once and asked with other values."""

from datetime import timedelta
from types import SimpleNamespace

import psycopg
import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from identity import rights
from identity.models import EffectiveScope
from inventory.models import Component
from portal import clock
from portal.prepared import fetched, prepared
from portal.ui.live import database_address
from tests import world

pytestmark = pytest.mark.django_db


def _seen(reader, kind):
    rows = Component.objects.visible_to(reader).filter(kind=kind).exclude(description="5 %")
    return rows.select_related("service").order_by("slug")


@pytest.fixture
def standing():
    world.component("production/us-central/api")
    world.component("production/us-central/web", service="web")
    world.component("production/us-central/store", kind="database", service="web")


def test_each_reader_is_answered_what_a_query_made_for_him_answers(standing):
    ask = prepared(_seen)
    readers = [world.account("a", "auditor"), world.account("b", "auditor", ("production", "web")), world.account("c")]
    for kind in ("app", "database", "no%kind"):
        for reader in readers:
            assert ask(reader, kind) == list(_seen(reader, kind)), (kind, reader)
    assert [row.service.slug for row in ask(readers[0], "app")] == ["api", "web"]


def test_it_is_built_once_and_costs_one_statement(standing):
    built = []
    ask = prepared(lambda reader: built.append(reader) or _seen(reader, "app"))
    readers = [world.account("a", "auditor"), world.account("b")]
    with CaptureQueriesContext(connection) as captured:
        assert [len(ask(reader)) for reader in (*readers, *readers)] == [2, 0, 2, 0]
    assert (len(built), len(captured)) == (1, 4)


def test_the_present_instant_is_the_one_of_asking(standing):
    """Also what is reckoned from it."""
    reader = world.account("a")
    rights.bind("auditor", world.scope(), account=reader, valid_until=clock.now() + timedelta(hours=1))

    @prepared
    def soon(reader):
        ends = Q(valid_until__lt=clock.now() + timedelta(minutes=10))
        return EffectiveScope.objects.live().filter(ends, account=reader.pk, action="inventory.view")

    seen = prepared(_seen)
    found = []
    for minutes in (0, 55, 65):
        with clock.travel(timedelta(minutes=minutes)):
            found.append((len(seen(reader, "app")), len(soon(reader))))
    assert found == [(1, 0), (1, 1), (0, 0)]


def test_none_is_no_value_but_another_query(standing):
    ask = prepared(lambda center: Component.objects.filter(data_center=center).values_list("name", flat=True))
    assert ask(None) == []
    assert sorted(ask(world.data_center().pk)) == ["api", "store", "web"]


def test_nobody_and_the_portal_itself_are_answered_too(standing):
    gone = world.account("gone", "auditor")
    gone.is_active = False
    itself = SimpleNamespace(pk=None, is_authenticated=True, is_active=True)
    ask = prepared(_seen)
    assert [len(ask(reader, "app")) for reader in (gone, AnonymousUser(), itself)] == [0, 0, 2]


@pytest.mark.parametrize(
    "build",
    [
        lambda word: Component.objects.filter(name=f"{word}-1"),
        lambda word: Component.objects.filter(name=word, created_at__lt=clock.now().replace(year=2020)),
        lambda word: Component.objects.filter(name=word, created_at__date=clock.now().date()),
        lambda word: Component.objects.filter(name=word, pk__in=list(Component.objects.all())),
        lambda word: Component.objects.filter(name=word)[:word],
    ],
    ids=["part", "instant", "day", "asking", "limit"],
)
def test_what_could_not_be_asked_anew_is_refused(build):
    with pytest.raises(TypeError):
        prepared(build)("api")


def test_an_account_is_nothing_but_its_key():
    with pytest.raises(AttributeError):
        prepared(lambda reader: Component.objects.filter(name=reader.username))(world.account("a"))


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_changes_a_type_does_no_harm():
    """PostgreSQL refuses to go on with a plan whose rows would look different."""
    with psycopg.connect(**database_address(), autocommit=True) as other:
        other.execute("CREATE TABLE changing (word varchar(5))")
        try:
            other.execute("INSERT INTO changing VALUES ('here')")
            asked = [fetched("SELECT word FROM changing WHERE word = %(word)s", {"word": "here"}) for _ in range(2)]
            other.execute("ALTER TABLE changing ALTER word TYPE text")
            asked.append(fetched("SELECT word FROM changing WHERE word = %(word)s", {"word": "here"}))
        finally:
            other.execute("DROP TABLE changing")
    assert asked == [[("here",)]] * 3
