"""One rule for names: where a thing stands and what it is part of is a fact about it; the rest is for who sees it."""

import pytest

from inventory.actions.estate import change
from inventory.history import history
from inventory.models import Component, Server
from portal.events import SYSTEM
from tests import world
from tests.inventory.screens import browser

pytestmark = pytest.mark.django_db
PLACE = "production/us-central"
API, WHOLE, SERVER = f"{PLACE}/api", f"{PLACE}/cluster", f"{PLACE}/rack-7"


@pytest.fixture
def api():
    """A component of a service that its reader sees, on a server and in a cluster of one that they do not see."""
    world.component(WHOLE, "database_cluster", service="platform", description="quiet")
    cluster = Component.objects.get(slug=WHOLE)
    Server.objects.create(
        slug=SERVER, name="rack-7", kind="vm", environment=cluster.environment, data_center=cluster.data_center,
        service=cluster.service, scope=cluster.scope,
    )  # fmt: skip
    found = world.component(API, service="api")
    change(found, by=SYSTEM, server=SERVER, part_of=WHOLE)
    return found


@pytest.fixture
def reader(api):
    return world.account("reader", "viewer", ("*", "api"))


def test_its_list_page_and_file_tell_its_place(reader):
    client = browser(reader)
    columns = "slug,server.slug,part_of.slug"
    for path in (f"/components/?columns={columns}", f"/components/{API}/", "/components/?export=json"):
        text = client.get(path).getvalue().decode()
        assert [name in text for name in (SERVER, WHOLE)] == [True, True], path


def test_rest_tells_its_place_and_nothing_more_of_it(client, reader, api):
    sign = {"Authorization": f"Bearer {world.token(reader)}"}
    plain = client.get(f"/api/v1/components/{api.pk}/", headers=sign).json()
    assert (plain["server"], plain["part_of"]) == (SERVER, WHOLE)
    more = client.get(f"/api/v1/components/{api.pk}/?expand=server,part_of", headers=sign).json()
    assert (more["server"], more["part_of"]) == ({"slug": SERVER}, {"slug": WHOLE})


def test_its_history_tells_where_it_stood(reader, api):
    change(api, by=SYSTEM, server=None, part_of=None)
    Server.objects.get(slug=SERVER).delete()
    Component.objects.get(slug=WHOLE).delete()
    newest = history("component", api.pk, reader).entries[0]
    assert [(each.label, each.before, each.after) for each in newest.changes] == [
        ("Part of", f"{WHOLE} (removed)", None),
        ("Server", f"{SERVER} (removed)", None),
    ]


def test_the_other_thing_itself_is_not_found(client, reader, api):
    web, sign = browser(reader), {"Authorization": f"Bearer {world.token(reader)}"}
    server = Server.objects.get(slug=SERVER)
    statuses = [web.get(f"/components/{WHOLE}/").status_code, web.get(f"/servers/{SERVER}/").status_code]
    statuses += [client.get(f"/api/v1/servers/{server.pk}/", headers=sign).status_code]
    assert statuses == [404, 404, 404]
    assert client.get("/api/v1/search/?q=rack-7", headers=sign).json()["groups"] == []
    assert client.get("/api/v1/servers/", headers=sign).json()["results"] == []


def test_what_it_has_to_do_with_is_only_told_to_who_sees_it(reader, api):
    world.dependency(api, Component.objects.get(slug=WHOLE))
    hidden = world.component(f"{PLACE}/hidden", service="platform")
    world.dependency(hidden, api)
    web = browser(reader)
    for path in (f"/components/{API}/", "/dependencies/", f"/components/{API}/impact/"):
        text = web.get(path).text
        assert (f"{PLACE}/hidden" in text, f"→ {WHOLE}" in text) == (False, False), path
