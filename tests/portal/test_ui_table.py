"""Lists: what they cost, what they refuse, what they export."""

import csv
import io

import django_filters
import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from inventory.models import Component
from portal import ui
from portal.errors import Invalid
from portal.http import page
from portal.ui.table import plain
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
    "query", [{"sort": "password"}, {"page": "two"}, {"page": "0"}, {"q": "a\x00b"}, {"q": "x" * 201}]
)
def test_what_cannot_be_is_refused_with_a_sentence(query):
    with pytest.raises(Invalid) as refusal:
        people(get(**query), 3)
    assert refusal.value.detail.endswith(".")


def test_a_thousand_rows_are_paged_and_the_last_page_is_as_cheap():
    table = people(get(page="20"), 1000)
    assert (table.first, table.last, table.pages, table.total) == (951, 1000, 20, 1000)
    assert table.next == ""
    assert table.previous == "/components/?page=19"


def test_a_page_that_no_longer_exists_shows_the_last_one():
    assert people(get(page="9"), 60).page == 2


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
    found = list(csv.reader(io.StringIO(answer.content.decode())))
    assert answer["Content-Type"].startswith("text/csv")
    assert found[:2] == [["Name", "Size"], ["'=HYPERLINK(1)", "-2"]]
    assert len(found) == 62


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_text_that_a_spreadsheet_would_run_is_disarmed(text):
    assert plain(text) == f"'{text}"


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
    table = components(get(section="lists", q="x", kind="cache", page="1"), filterset=Filter)
    assert table.kept == [("section", "lists")]
    assert table.plain == "/components/?section=lists"
    text = page(get(section="lists"), "components/table.html", {"table": table}).content.decode()
    assert '<input type="hidden" name="section" value="lists">' in text
