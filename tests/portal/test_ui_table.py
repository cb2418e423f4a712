"""Lists: what they cost, what they refuse, what they export."""

import csv
import io
from urllib.parse import parse_qsl, urlsplit

import django_filters
import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from inventory.models import Component
from portal import ui
from portal.errors import Invalid
from portal.http import page
from portal.ui.export import disarmed, plain, rearmed
from tests import world

COLUMNS = [
    ui.Column("slug", "Name", link=lambda row: f"/components/{row.slug}/"),
    ui.Column("service.slug", "Service"),
    ui.Column("kind", "Kind", sort=False),
    ui.Column("created_at", "Added", kind="instant", minor=True),
]


class Filter(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=Component.Kind.choices)

    class Meta:
        model = Component
        fields = ["kind"]


def get(path: str = "/components/", htmx: str = "", **query: str):
    request = RequestFactory().get(path, query)
    request.user = AnonymousUser()

    class Details:
        target, boosted = htmx, False

        def __bool__(self) -> bool:
            return bool(htmx)

    request.htmx = Details()
    return request


def components(request, **facts):
    rows = Component.objects.select_related("service")
    return ui.Table(request, rows, COLUMNS, order="slug", search=("slug", "service__name"), **facts)


def people(request, count: int, **facts):
    rows = [{"name": f"row {number:04}", "size": number} for number in range(count)]
    columns = [ui.Column("name", "Name"), ui.Column("size", "Size", kind="number")]
    return ui.Table(request, rows, columns, order="name", search=("name",), **facts)


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 3])
def test_a_list_costs_two_queries_however_long_it_is(count, django_assert_num_queries):
    for number in range(count):
        world.component(f"production/us-central/c{number}")
    request = get()
    with django_assert_num_queries(2):
        text = page(request, "components/table.html", {"table": components(request)}).content.decode()
    assert text.count("<tr>") == count + 1


@pytest.mark.django_db
def test_search_filter_sort_and_their_addresses():
    world.component("production/us-central/api")
    world.component("production/us-central/cache", kind="cache")
    table = components(get(q="us-central", sort="-slug", kind="cache"), filterset=Filter)
    assert [row.name for row in table.objects] == ["cache"]
    assert table.narrowed is True
    header = next(iter(table.headers))
    assert header["direction"] == "descending"
    assert header["url"] == "/components/?q=us-central&kind=cache&sort=slug"


@pytest.mark.parametrize(
    "query", [{"sort": "password"}, {"columns": "password"}, {"export": "exe"}, {"q": "a\x00b"}, {"q": "x" * 201}]
)
def test_what_cannot_be_is_refused_with_a_sentence(query):
    with pytest.raises(Invalid) as refusal:
        people(get(**query), 3)
    assert refusal.value.detail.endswith(".")


def test_a_thousand_rows_are_paged_and_the_last_page_is_as_cheap():
    table = people(get(after="950"), 1000)
    assert (table.first, table.last, table.total) == (951, 1000, 1000)
    assert table.next == ""
    assert table.previous == "/components/?after=900"


def test_a_page_that_no_longer_exists_shows_the_first_one():
    assert people(get(after="900"), 60).first == 1


def follow(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def walk(sort: str, size: int, step: str = "next", start: dict[str, str] | None = None):
    """The pages from ``start`` on, by the addresses that each page gives."""
    query = {"sort": sort} | (start or {})
    while True:
        columns = [*COLUMNS, ui.Column("data_center", "Data center", sort="data_center__slug")]
        rows = Component.objects.select_related("service", "data_center")
        table = ui.Table(get(**query), rows, columns, order="slug", page_size=size)
        yield table
        if not getattr(table, step):
            return
        query = follow(getattr(table, step))


@pytest.mark.django_db
@pytest.mark.parametrize("sort", ["slug", "-slug", "service__slug", "-service__slug", "created_at", "data_center__slug",
                                  "-data_center__slug"])  # fmt: skip
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_by_key_hold_each_row_once_and_lead_back_the_same_way(sort, size):
    for number in range(5):
        world.component(f"production/us-central/c{number}", service="one" if number % 2 else "two")
    Component.objects.filter(name__in=["c1", "c4"]).update(data_center=None)
    pages = list(walk(sort, size))
    found = [row.pk for table in pages for row in table.objects]
    assert len(found) == 5
    assert set(found) == set(Component.objects.values_list("pk", flat=True))
    assert [table.first for table in pages] == list(range(1, 6, size))
    back = list(walk(sort, size, "previous", follow(pages[-2].next)))
    assert [[row.pk for row in table.objects] for table in reversed(back)] == [
        [row.pk for row in table.objects] for table in pages
    ]


@pytest.mark.django_db
def test_a_later_page_is_found_by_the_key_not_by_counting():
    for number in range(5):
        world.component(f"production/us-central/c{number}")
    with CaptureQueriesContext(connection) as captured:
        pages = list(walk("created_at", 2))
    assert len(pages) == 3
    assert [query["sql"] for query in captured if "OFFSET" in query["sql"]] == []


@pytest.mark.django_db
def test_rows_that_came_and_went_meanwhile_shift_no_page():
    for number in range(5):
        world.component(f"production/us-central/c{number}")
    first = next(walk("slug", 2))
    Component.objects.filter(name="c0").delete()
    world.component("production/us-central/a9")
    second = ui.Table(get(**follow(first.next)), Component.objects.all(), COLUMNS, order="slug", page_size=2)
    assert [row.name for row in second.objects] == ["c2", "c3"]


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["2", "!", "e30", "WyJhIiwiYiJd", "W251bGwsImEiXQ", "WzEsImEiLCJiIl0"])
def test_an_address_that_is_of_no_page_is_refused(token):
    world.component()
    with pytest.raises(Invalid):
        _ = components(get(after=token)).objects


@pytest.mark.django_db
def test_columns_are_chosen_by_the_address_and_kept_by_the_search():
    request = get(columns="kind,slug", q="a")
    table = components(request)
    assert [column.name for column in table.columns] == ["kind", "slug"]
    text = page(request, "components/table.html", {"table": table}).content.decode()
    assert '<input type="hidden" name="columns" value="kind,slug" form="table-search">' in text
    assert table.others == [("q", "a")]
    with pytest.raises(Invalid):
        components(get(columns="password"))


def test_an_extra_column_is_shown_only_when_somebody_asks_for_it():
    columns = [ui.Column("name", "Name"), ui.Column("size", "Size", extra=True)]
    assert [column.name for column in ui.Table(get(), [], columns).columns] == ["name"]
    assert [column.name for column in ui.Table(get(columns="size"), [], columns).columns] == ["size"]


def test_rows_can_be_picked_without_a_script():
    request = get(q="row")
    table = people(request, 2, bulk=[("Remove", "/bulk/")])
    for row in table.source:
        row["pk"] = row["name"]
    text = page(request, "components/table.html", {"table": table}).content.decode()
    assert text.count('name="pick"') == 2
    assert 'formaction="/bulk/?q=row"' in text


def test_an_empty_list_says_what_to_do_and_a_search_without_result_is_something_else():
    empty = page(get(), "components/table.html", {"table": people(get(), 0, empty="Load the catalog first.")})
    assert "Load the catalog first." in empty.content.decode()
    missed = get(q="zzz")
    assert "Nothing matches" in page(missed, "components/table.html", {"table": people(missed, 3)}).content.decode()


def test_htmx_gets_the_rows_only():
    request = get(htmx="table")
    text = page(request, "event_list.html", {"table": people(request, 3)}).content.decode()
    assert text.lstrip().startswith('<div class="list-rows" id="table"')
    assert "<html" not in text


def test_the_export_holds_every_matching_row_and_no_formula():
    request = get(export="csv")
    rows = [{"name": "=HYPERLINK(1)", "size": -2}, *({"name": f"n{n}", "size": n} for n in range(60))]
    columns = [ui.Column("name", "Name"), ui.Column("size", "Size")]
    answer = page(request, "event_list.html", {"table": ui.Table(request, rows, columns, order="size")})
    found = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert answer["Content-Type"].startswith("text/csv")
    assert found[:2] == [["Name", "Size"], ["'=HYPERLINK(1)", "-2"]]
    assert len(found) == 62


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_text_that_a_spreadsheet_would_run_is_disarmed(text):
    assert plain(text) == f"'{text}"


@pytest.mark.parametrize("text", ["=1", "'=1", "''-1", "'quoted'", "plain", "", "a=1", "'"])
def test_what_was_disarmed_is_told_from_what_was_written_so(text):
    assert rearmed(disarmed(text)) == text


def test_unknown_values_stay_last_in_either_direction():
    rows = [{"name": "a", "size": None}, {"name": "b", "size": 1}, {"name": "c", "size": 2}]
    columns = [ui.Column("name", "Name"), ui.Column("size", "Size")]
    table = ui.Table(get(sort="-size"), rows, columns, order="size")
    assert [row["name"] for row in table.objects] == ["c", "b", "a"]


def test_two_lists_on_a_page_do_not_disturb_each_other():
    request = get(**{"q": "0001", "other-q": "0002"})
    first, second = people(request, 5), people(request, 5, name="other")
    assert [row["name"] for row in first.objects] == ["row 0001"]
    assert [row["name"] for row in second.objects] == ["row 0002"]


@pytest.mark.django_db
def test_a_search_keeps_the_parameters_of_the_page_and_clearing_it_too():
    table = components(get(section="lists", q="x", kind="cache", columns="slug"), filterset=Filter)
    assert table.kept == [("section", "lists")]
    assert table.plain == "/components/?section=lists"
    text = page(get(section="lists"), "components/table.html", {"table": table}).content.decode()
    assert '<input type="hidden" name="section" value="lists">' in text
