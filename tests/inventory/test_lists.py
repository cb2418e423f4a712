"""Lists of every noun: what they cost, what they hold, what their files say."""

from __future__ import annotations

import csv
import io
import json

import pytest
import yaml
from django.urls import reverse

from inventory.filters import sortable
from inventory.lists import COLUMNS
from inventory.models import NOUNS, Component, NetworkZone, Server, ServerGroup, Service
from inventory.writing import declaration
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db
LISTS = sorted(COLUMNS)


@pytest.fixture
def viewer():
    return world.account("viewer", "viewer", ("production", "api"))


def estate(number: int, environment: str = "production") -> Component:
    """One of each noun."""
    where, center, service = world.environment(environment), world.data_center(), world.service("api")
    scope = world.scope(environment)
    slug = f"{environment}/us-central"
    zone = NetworkZone.objects.create(slug=f"{slug}/zone{number}", name="Zone", environment=where, data_center=center)
    placed = {"environment": where, "service": service, "data_center": center, "scope": scope}
    group = ServerGroup.objects.create(slug=f"{slug}/group{number}", name="Group", **placed)
    Server.objects.create(slug=f"{slug}/server{number}", name="Server", group=group, zone=zone, **placed)
    one = world.component(f"{slug}/one{number}", service="api", kind="cache", attributes={"max_memory_mb": 64})
    two = world.component(f"{slug}/two{number}", service="api", tags=["blue"], custom={"rack": "7"})
    one.endpoints.create(name="main", port=6379)
    world.dependency(two, one)
    return one


def test_a_list_costs_the_same_for_one_and_three(viewer):
    client = browser(viewer)
    estate(1)
    first = {noun: queries(client, reverse(f"{noun}-list"))[0] for noun in LISTS}
    estate(2)
    estate(3)
    for noun in LISTS:
        count, answer = queries(client, reverse(f"{noun}-list"))
        assert answer.status_code == 200
        assert (first[noun], count <= 10) == (count, True), noun


def test_a_list_hides_what_is_foreign_in_page_search_and_files():
    estate(1)
    estate(2, "staging")
    client = browser(world.account("viewer", "viewer", ("production", "*")))
    for noun in sorted(set(LISTS) - {"service", "data-center"}):
        for query in ("", "?q=staging", "?export=csv", "?export=json", "?export=yaml"):
            text = client.get(reverse(f"{noun}-list") + query).getvalue().decode()
            assert "staging/us-central" not in text, (noun, query)
            assert ">staging<" not in text, (noun, query)


def test_nobody_without_the_right_sees_a_list():
    stranger = browser(world.account("stranger"))
    assert [
        stranger.get(reverse(f"{noun}-list")).status_code for noun in LISTS if noun not in ("service", "component")
    ] == [403] * 7


def exported(client, noun: str, form: str, query: str = "") -> str:
    return client.get(f"{reverse(f'{noun}-list')}?export={form}{query}").getvalue().decode()


def test_the_three_files_say_the_same(viewer):
    estate(1)
    client = browser(viewer)
    rows = json.loads(exported(client, "component", "json"))
    assert [row["slug"] for row in rows] == ["production/us-central/one1", "production/us-central/two1"]
    assert rows[0]["environment"] == "production"
    assert rows[0]["attributes"] == {"max_memory_mb": 64}
    assert rows[1]["custom"] == {"rack": "7"}
    assert yaml.safe_load(exported(client, "component", "yaml")) == rows
    table = list(csv.DictReader(io.StringIO(exported(client, "component", "csv"))))
    assert [json.loads(row["attributes"]) for row in table] == [row["attributes"] for row in rows]
    assert [row["service"] for row in table] == ["api", "api"]
    assert set(table[0]) == set(rows[0])


def test_an_empty_file_is_sound(viewer):
    world.scope()
    client = browser(viewer)
    for noun in sorted(set(LISTS) - {"service", "component"}):
        assert json.loads(exported(client, noun, "json", "&q=nothing-is-called-this")) == [], noun
        assert yaml.safe_load(exported(client, noun, "yaml", "&q=nothing-is-called-this")) == [], noun
        assert len(exported(client, noun, "csv", "&q=nothing-is-called-this").splitlines()) == 1, noun


def test_yaml_keeps_what_it_would_take_for_the_end_of_a_line(viewer):
    text = "a\u2028b\x7fc\ufeff: 'd' \"e\" #f \u0085 \U0001f600"
    world.component("production/us-central/api", service="api", description=text)
    assert yaml.safe_load(exported(browser(viewer), "component", "yaml"))[0]["description"] == text


def test_files_follow_the_filter_and_the_order(viewer):
    estate(1)
    client = browser(viewer)
    rows = json.loads(exported(client, "component", "json", "&tag=blue&sort=-slug"))
    assert [row["slug"] for row in rows] == ["production/us-central/two1"]


def test_filters_name_rows_by_slug_and_refuse_what_is_foreign(viewer):
    estate(1)
    estate(2, "staging")
    client = browser(viewer)
    page = client.get("/servers/?environment=production&group=production/us-central/group1").content.decode()
    assert "production/us-central/server1" in page
    assert "There is no environment “staging”." in client.get("/servers/?environment=staging").content.decode()


def test_a_list_carries_no_rows_of_others_as_options(viewer):
    for number in range(30):
        world.component(f"production/us-central/c{number}", service="api")
    page = browser(viewer).get("/components/").content.decode()
    assert 'list="id_service-choices"' in page
    assert len(page) < 60_000
    assert page.count("<option") < 45


def test_suggestions_begin_like_what_is_typed_and_hide_what_is_foreign(viewer):
    estate(1)
    estate(2, "staging")
    client = browser(viewer)
    assert client.get("/choices/environment/?of=environment&environment=").content == b'<option value="production">'
    assert client.get("/choices/component/?of=x&x=production/us-central/t").content.count(b"<option") == 1
    assert client.get("/choices/component/?of=x&x=staging").content == b""
    assert client.get("/choices/endpoint/?of=x").status_code == 404
    assert client.get("/choices/nothing/").status_code == 404


def test_extra_columns_are_joined_only_when_they_are_shown(viewer):
    estate(1)
    client = browser(viewer)
    page = client.get("/components/?columns=slug,attributes,data_center.slug,tags").content.decode()
    assert "Memory limit in MB: 64" in page
    assert "blue" in page
    plain, _ = queries(client, "/components/")
    assert queries(client, "/components/?columns=slug,data_center.slug,server.slug,part_of.slug")[0] == plain


@pytest.mark.parametrize("noun", ["network-zone", "server-group", "server", "dependency"])
def test_the_page_of_one_thing(viewer, noun):
    estate(1)
    obj = NOUNS[noun]._default_manager.first()
    count, answer = queries(browser(viewer), obj.get_absolute_url())
    assert answer.status_code == 200
    assert count <= 12
    Service.objects.filter(slug="api").update(slug="other")
    assert (
        browser(world.account("stranger", "viewer", ("staging", "api"))).get(obj.get_absolute_url()).status_code == 404
    )


@pytest.mark.parametrize("noun", sorted(LISTS))
def test_screens_sort_only_by_what_the_api_sorts_by(noun):
    known = declaration(noun).paths
    paths = {known[name] for name in sortable(noun)} | {"owner__name"}
    assert {column.sort_field for column in COLUMNS[noun] if column.sort_field} <= paths


def test_a_filter_that_the_form_does_not_have_is_there_when_the_address_names_it(viewer):
    estate(1)
    client = browser(viewer)
    page = client.get("/components/").content.decode()
    assert 'name="version"' not in page
    assert '<a href="?version=">Version</a>' in page
    page = client.get("/components/?version=7&tag=a&tag=b").content.decode()
    assert 'name="version" value="7"' in page
    assert page.count('name="tag"') == 2
    assert ">Version</a>" not in page
