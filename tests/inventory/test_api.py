"""The estate over REST: shapes, filters, what a reader may not see, and the catalog's two verbs."""

import json

import pytest

from inventory.models import Component, Dependency
from portal.models import Event
from tests import world
from tests.inventory.folders import SOUND, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def estate():
    api = world.component()
    database = world.component("production/us-east/database", "database", service="api")
    foreign = world.component("staging/us-central/play")
    return api, database, foreign, world.dependency(api, database)


@pytest.fixture
def ask(client):
    """Ask as an account, by token; answers (status, body)."""

    def request(account, path, data=None):
        headers = {"Authorization": f"Bearer {world.token(account)}"}
        if data is None:
            response = client.get(f"/api/v1/{path}", headers=headers)
        else:
            text = data if isinstance(data, str) else json.dumps(data)
            response = client.post(f"/api/v1/{path}", text, content_type="application/json", headers=headers)
        return response.status_code, response.json()

    return request


@pytest.fixture
def viewer():
    return world.account("viewer", "viewer", ("production", "api"))


def test_a_component_as_it_is_told(ask, viewer, estate):
    api = estate[0]
    status, body = ask(viewer, f"components/{api.pk}/")
    assert status == 200
    assert body.pop("created_at").endswith("Z")
    assert body.pop("updated_at").endswith("Z")
    assert body == {
        "id": str(api.pk),
        "slug": "production/us-central/api",
        "name": "api",
        "kind": "app",
        "environment": "production",
        "service": "api",
        "data_center": "us-central",
        "endpoint": "",
        "connection": "production/us-central/api",
        "attributes": {},
        "server": None,
        "part_of": None,
        "status": "active",
        **dict.fromkeys(("software", "version", "classification", "provenance"), ""),
        **dict.fromkeys(("external_id", "description", "declared_by"), ""),
        "tags": [],
        "custom": {},
        "revision": 1,
    }


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("data-centers/", ["us-central", "us-east"]),
        ("environments/", ["production"]),
        ("services/", ["api"]),
        ("components/", ["production/us-central/api", "production/us-east/database"]),
        ("components/?slug=production/us-central/api", ["production/us-central/api"]),
        ("components/?kind=database", ["production/us-east/database"]),
        ("components/?data_center=us-east", ["production/us-east/database"]),
        ("components/?environment=production&service=api&limit=1", ["production/us-central/api"]),
        ("data-centers/?role=secondary", ["us-east"]),
        ("environments/?kind=staging", []),
        ("services/?tier=1", ["api"]),
        ("services/?owner=nobody", []),
    ],
)
def test_lists_hold_what_the_reader_may_see(ask, viewer, estate, path, wanted):
    status, body = ask(viewer, path)
    assert (status, [row["slug"] for row in body["results"]]) == (200, wanted)


@pytest.mark.parametrize("end", ["source", "target"])
def test_dependencies_by_either_end(ask, viewer, estate, end):
    link = estate[3]
    status, body = ask(viewer, f"dependencies/?{end}={getattr(link, end).slug}&fields=id,source,target,kind")
    row = {"id": str(link.pk), "source": "production/us-central/api", "target": "production/us-east/database"}
    assert (status, body["results"]) == (200, [{**row, "kind": "hard"}])
    assert ask(viewer, f"dependencies/{link.pk}/")[0] == 200


def test_a_link_does_not_tell_of_a_foreign_component(ask, viewer, estate):
    world.dependency(estate[0], estate[2], "soft")
    assert len(ask(viewer, "dependencies/")[1]["results"]) == 1


@pytest.mark.parametrize(
    "path",
    ["components/{foreign}/", "services/play/", "environments/staging/", "components/none/", "services/none/",
     "data-centers/us-west/", "dependencies/none/"],
)  # fmt: skip
def test_what_is_foreign_or_not_there_answers_the_same(ask, viewer, estate, path):
    status, body = ask(viewer, path.format(foreign=estate[2].pk))
    assert (status, body["title"], body["detail"]) == (404, "Not found", "There is nothing here that you may see.")


@pytest.mark.parametrize("query", ["kind=ap", "environment=staging", "environment=none", "service=play", "slug=%00"])
def test_a_filter_that_cannot_be_is_refused(ask, viewer, estate, query):
    status, body = ask(viewer, f"components/?{query}")
    assert (status, list(body["fields"])) == (400, [query.split("=")[0]])


def test_nobody_sees_nothing(client, estate):
    response = client.get("/api/v1/components/")
    assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")


def test_lists_take_the_same_few_queries_for_one_and_three(ask, viewer, django_assert_num_queries):
    # the token with its account, the scopes, and the page itself; the token's own stamp is written once a minute
    for names in (["api"], ["api-a", "api-b"]):
        for name in names:
            world.component(f"production/us-central/{name}", service="api")
        ask(viewer, "components/")
    assert len(ask(viewer, "components/")[1]["results"]) == 3
    token = world.token(viewer)
    from django.test import Client

    client = Client(headers={"Authorization": f"Bearer {token}"})
    client.get("/api/v1/components/")
    with django_assert_num_queries(3):
        client.get("/api/v1/components/")
    Component.objects.exclude(slug="production/us-central/api").delete()
    with django_assert_num_queries(3):
        client.get("/api/v1/components/")


@pytest.fixture
def folder(tmp_path, settings):
    settings.CATALOG_DIR = write(tmp_path / "small")
    world.scope()
    return settings.CATALOG_DIR


@pytest.fixture
def administrator():
    return world.account("admin", "administrator")


def test_plan_then_apply(ask, folder, administrator):
    status, plan = ask(administrator, "catalog/plan/", {})
    assert (status, plan["catalog"], plan["summary"], plan["problems"]) == (
        200, "small", "10 to create, 0 to change, 0 to remove.", [],
    )  # fmt: skip
    assert plan["changes"][0] == {
        "act": "create", "noun": "team", "key": "core",
        "fields": [{"name": "name", "before": None, "after": "Core"}],
    }  # fmt: skip
    assert Component.objects.count() == 0
    status, done = ask(administrator, "catalog/apply/", {"expected": plan["digest"]})
    assert (status, done["counts"]) == (200, {"created": 10, "changed": 0, "removed": 0})
    assert (Component.objects.count(), Dependency.objects.count()) == (4, 1)
    assert ask(administrator, "catalog/plan/", {})[1]["changes"] == []
    assert ask(administrator, "catalog/apply/", {})[1]["summary"] == "No difference: everything is as declared."
    assert Event.objects.count() == 1


def test_an_outdated_plan_is_not_applied(ask, folder, administrator):
    status, body = ask(administrator, "catalog/apply/", {"expected": "0" * 16})
    assert (status, body["detail"]) == (
        409, "The difference is no longer the one you looked at. Look again, then apply.",
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_an_unsound_catalog_is_told_line_by_line(ask, folder, administrator, verb):
    write(folder, staging="componets: {}\n", production=SOUND["production.yaml"].replace("kind: cdn", "kind: cdm"))
    status, body = ask(administrator, f"catalog/{verb}/", {})
    assert (status, body["title"], len(body["problems"])) == (422, "Catalog refused", 2)
    assert [problem.split(": ")[0] for problem in body["problems"]] == ["production.yaml:4", "staging.yaml:1"]


def test_input_that_makes_no_sense_is_refused(ask, folder, administrator):
    for data in ({"colour": "red"}, {"expected_version": 1}, {"expected": {"a": 1}}, [1], "{", "7"):
        for verb in ("plan", "apply"):
            status, body = ask(administrator, f"catalog/{verb}/", data)
            assert (status, body["status"]) == (400, 400), (verb, data)
    assert Component.objects.count() == 0


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_who_may_not_apply_may_not_look(ask, folder, verb):
    status, body = ask(world.account("viewer", "viewer"), f"catalog/{verb}/", {})
    assert (status, body["title"]) == (403, "Not allowed")


def test_reload_is_refused_where_it_makes_no_sense(ask, estate):
    owner = world.account("owner", "operations_owner")
    database = estate[1]
    status, body = ask(owner, f"components/{database.pk}/reload/", {"reason": "slow"})
    assert (status, body["title"]) == (422, "Invalid input")
    assert ask(owner, f"components/{database.pk}/reload/", {"expected_version": 1})[0] == 400


def test_reload_needs_the_right_and_the_component(ask, viewer, estate):
    assert ask(viewer, f"components/{estate[0].pk}/reload/", {})[0] == 403
    assert ask(viewer, f"components/{estate[2].pk}/reload/", {})[0] == 404
