"""What is found of the estate: by name, by beginning, by words, inside words, mistyped; and only by who may see it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from identity.models import Scope
from inventory.models import Component
from portal import search
from portal.search.words import edits
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Any:
    """Sees the service api in production, and nothing else."""
    return world.account("reader", "viewer", ("production", "api"))


def tables(text: str) -> list[str]:
    """The tables that know all words of ``text``, as a view asks for them."""
    return Scope.objects.values_list(search.which(text), flat=True)[:1].get()


def titles(found: search.Found, kind: str = "component") -> list[str]:
    return [hit.title for group in found.groups if group.kind == kind for hit in group.hits]


def test_all_words_must_be_there_and_the_last_may_be_a_beginning(reader):
    world.component("production/us-central/web-api-01", service="api", version="7.4.1", tags=["blue-green"])
    world.component("production/us-central/web-api-02", service="api", version="8.0.0")
    assert titles(search.find(reader, "api us-central we")) == ["web-api-01", "web-api-02"]
    assert titles(search.find(reader, "WEB 7.4")) == ["web-api-01"]
    assert titles(search.find(reader, "green us-central")) == ["web-api-01"]
    assert titles(search.find(reader, "web payments")) == []


def test_exact_names_come_first_then_beginnings_then_words(reader):
    for name in ("old-api", "api-gateway", "api"):
        world.component(f"production/us-central/{name}", service="api")
    assert titles(search.find(reader, "api")) == ["api", "api-gateway", "old-api"]


def test_an_external_id_and_a_whole_slug_name_one(reader):
    world.component("production/us-central/api", external_id="i-0AbC")
    world.component("production/us-central/api-2", service="api", external_id="i-0abc1")
    assert titles(search.find(reader, "production/us-central/api"))[0] == "api"
    assert titles(search.find(reader, "i-0AbC"))[0] == "api"


def test_what_stands_inside_a_word_is_found_when_no_word_matches(reader):
    world.component("production/us-central/subscriptions", service="api")
    assert titles(search.find(reader, "scripti")) == ["subscriptions"]


def test_slips_are_forgiven(reader):
    world.component("production/us-central/api-payments", service="api")
    world.component("production/us-central/api-storage", service="api")
    for typed in ("paymnts", "paymments", "paxments", "apyments", "payments api", "paymentxxs"):
        found = search.find(reader, typed)
        assert (titles(found), found.guessed) == (["api-payments"], typed != "payments api"), typed


def test_fewer_slips_come_first(reader):
    for name in ("cache-01", "cache-02", "cachet-02"):
        world.component(f"production/us-central/{name}", service="api")
    assert titles(search.find(reader, "cace-02"))[0] == "cache-02"


def test_what_one_may_not_see_is_found_nowhere_and_changes_nothing(reader):
    """Neither as a hit, nor in "more", nor by what a slip is taken for."""
    mine = world.component("production/us-central/api-payments", service="api")
    before = {text: search.find(reader, text) for text in ("payments", "paymets", "web", "production/us-central/x")}
    for number in range(9):
        world.component(f"production/us-central/web-{number}", service="web")
    world.component("production/us-central/paymets", service="web")
    world.component("production/us-central/x", service="web")
    assert {text: search.find(reader, text) for text in before} == before
    assert titles(before["paymets"]) == [mine.name]
    assert search.find(reader, "web").groups == []


def test_whoever_sees_a_part_finds_all_of_that_part(reader):
    for number in range(30):
        world.component(f"production/us-central/web-{number:02}", service="api" if number in (7, 29) else "web")
    found = search.find(reader, "web")
    assert titles(found) == ["web-07", "web-29"]
    assert [group.more for group in found.groups] == [False]


def test_it_says_when_there_is_more(reader):
    for number in range(8):
        world.component(f"production/us-central/web-{number}", service="api")
    (group,) = search.find(reader, "web", limit=3).groups
    assert ([hit.title for hit in group.hits], group.more) == (["web-0", "web-1", "web-2"], True)


def test_one_statement_however_much_there_is(reader):
    spent = []
    for number in range(3):
        world.component(f"production/us-central/web-{number}", service="api")
        with CaptureQueriesContext(connection) as captured:
            search.find(reader, "web")
        spent.append(len(captured))
    assert spent == [1, 1, 1]


def test_nothing_found_costs_one_statement_more_whatever_is_hidden(reader):
    world.component("production/us-central/web-payments", service="api")
    world.component("production/us-central/web-secret", service="web")
    for text in ("zebra-quagga", "web-secert", "eb-secre", "web-secret", "payments"):
        with CaptureQueriesContext(connection) as captured:
            search.find(reader, text)
        assert len(captured) == (1 if text == "payments" else 2), text


def test_the_tables_that_know_all_words_are_known_at_once(reader):
    component = world.component("production/us-central/web-payments", service="api", external_id="i-12e4f")
    found = {text: tables(text) for text in ("web-pay", "web pay", "pay web", "p", "web-0", "i-12e4f", "us-central")}
    assert {text: set(names) for text, names in found.items()} == {
        **{text: {"inventory_component"} for text in ("web-pay", "web pay", "i-12e4f")},
        **{text: set() for text in ("pay web", "p", "web-0")},
        "us-central": {"inventory_component", "inventory_datacenter"},
    }
    component.name = "gateway"
    component.save(update_fields=["name"])
    assert tables("gatew") == ["inventory_component"]


def test_beginnings_and_numbers_are_found_where_no_table_knows_the_words(reader):
    world.component("production/us-central/web-01", service="api")
    assert tables("web-0") == []
    assert titles(search.find(reader, "web-0", tables=[])) == ["web-01"]


def test_lists_search_in_the_same_way(reader):
    for name in ("web-payments", "web-storage"):
        world.component(f"production/us-central/{name}", service="api")
    world.component("production/us-central/web-foreign", service="web")
    rows = Component.objects.visible_to(reader)
    found = {text: [row.name for row in rows.search(text)] for text in ("web", "orag", "paymets", "web foreign", "")}
    assert found == {
        "web": ["web-payments", "web-storage"],
        "orag": ["web-storage"],
        "paymets": ["web-payments"],
        "web foreign": [],
        "": ["web-payments", "web-storage"],
    }


def test_a_change_is_found_at_once_and_its_history_tells_no_words(reader):
    from inventory.models import Revision

    component = world.component("production/us-central/api")
    component.name = "gateway"
    component.save(update_fields=["name"])
    assert titles(search.find(reader, "gatewya")) == ["gateway"]
    pk = component.pk
    component.delete()
    assert titles(search.find(reader, "gateway")) == []
    told = [row.before for row in Revision.objects.filter(object_id=pk).order_by("id")]
    assert told[:2] == [None, {"name": "api"}]
    assert "words" not in told[2]


HOSTILE = [
    *("", "   ", "---", "'", "a'b\\c", "!", ":*", "& |", "é", "x" * 200, "(", "<script>", "%", "%z", "%(text)s", "_"),
    *("zz%zz_zz", "\\", '"', "zz\x00zz", "ж", "日本", "x" * 10_000, "zz " * 3_000, "{}", "\U0010ffff", "INC-999999999"),
]


def test_any_text_can_be_typed(reader):
    only = world.component()
    for text in HOSTILE:
        assert search.find(reader, text).total == 0, text
        assert search.find(reader, text, tables=tables(text)).total == 0, text
        assert list(Component.objects.visible_to(reader).search(text)) in ([], [only]), text


def test_each_slip_of_a_finger_is_one_edit():
    assert {"ab", "bca", "abd", "abcd", "bac", "acb", "abc"} - edits("abc") == {"bca"}


def test_new_words_are_learned_without_reading_those_that_are_known(reader):
    """A new database knows nothing yet of how many words there are, and must not compare each with each."""
    like = world.component(service="api")

    def words_read() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'portal_search_word'"
            )
            return int(cursor.fetchone()[0])

    def add(numbers: range) -> None:
        where = {"environment": like.environment, "scope": like.scope, "service": like.service, "kind": like.kind}
        Component.objects.bulk_create([Component(slug=f"v{each}", name=f"v{each}", **where) for each in numbers])

    add(range(60))
    before = words_read()
    add(range(60, 120))
    assert words_read() - before < 60
