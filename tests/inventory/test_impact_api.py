"""Blast radius over REST: one component both ways, several things at once, and nothing foreign by name."""

import pytest

from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def estate():
    api, database = world.component(), world.component("production/us-east/database", "database", service="api")
    play = world.component("production/us-central/play", service="api")
    foreign = world.component("staging/us-central/foreign")
    world.dependency(api, database)
    world.dependency(play, api, "soft")
    world.dependency(foreign, api)
    return api, database, play, foreign


@pytest.fixture
def ask(as_account):
    client = as_account(world.account("viewer", "viewer", ("production", "*")))

    def request(path, data=None):
        response = client.get(f"/api/v1/{path}") if data is None else client.post(f"/api/v1/{path}", data, "json")
        return response.status_code, response.json()

    return request


def test_what_fails_with_one(ask, estate):
    status, body = ask(f"components/{estate[1].pk}/impact/")
    assert status == 200
    assert body["counts"] == {
        "down": 1, "degraded": 1, "hidden": 1, "services": 1, "data_centers": 2, "environments": 1,
    }  # fmt: skip
    assert body["results"] == [
        {
            "id": str(estate[0].pk), "component": "production/us-central/api", "service": "api", "state": "down",
            "distance": 1, "dependents": 2, "reason": "needs production/us-east/database, which is down",
            "changed_at": None,
        },
        {
            "id": str(estate[2].pk), "component": "production/us-central/play", "service": "api", "state": "degraded",
            "distance": 2, "dependents": 0, "reason": "uses production/us-central/api, which is down",
            "changed_at": None,
        },
    ]  # fmt: skip


def test_what_could_have_broken_it(ask, estate):
    status, body = ask(f"components/{estate[2].pk}/impact/?direction=up")
    found = [(row["component"], row["state"], row["distance"], bool(row["changed_at"])) for row in body["results"]]
    assert (status, found) == (200, [
        ("production/us-central/api", "degraded", 1, True), ("production/us-east/database", "degraded", 2, True),
    ])  # fmt: skip


def test_pages_and_states(ask, estate):
    first = ask(f"components/{estate[1].pk}/impact/?limit=1")[1]
    second = ask(f"components/{estate[1].pk}/impact/?limit=1&offset={first['next']}")[1]
    assert [row["state"] for page in (first, second) for row in page["results"]] == ["down", "degraded"]
    assert second["next"] is None
    assert [row["state"] for row in ask(f"components/{estate[1].pk}/impact/?state=degraded")[1]["results"]] == [
        "degraded"
    ]


def test_several_at_once(ask, estate):
    status, body = ask("impact/", {"data_centers": ["us-east"], "components": ["production/us-central/play"]})
    assert (status, [row["component"] for row in body["results"]]) == (200, ["production/us-central/api"])
    assert ask("impact/", {})[1]["results"] == []


@pytest.mark.parametrize("body", [{"components": ["staging/us-central/foreign"]}, {"services": ["foreign"]},
                                  {"servers": ["none"]}, {"colour": "red"}, {"limit": 0}])  # fmt: skip
def test_what_is_not_there_is_named(ask, estate, body):
    status, answer = ask("impact/", body)
    assert (status, list(answer["fields"])) == (400, list(body))


def test_a_foreign_component_answers_as_if_it_were_not_there(ask, estate):
    assert ask(f"components/{estate[3].pk}/impact/")[0] == 404
    assert ask(f"components/{estate[0].pk}/impact/?direction=left")[0] == 400


@pytest.mark.parametrize("count", [1, 3])
def test_statements_do_not_grow(ask, estate, count, django_assert_num_queries):
    for number in range(count):
        world.dependency(world.component(f"production/us-central/part-{number}", service="api"), estate[1])
    ask(f"components/{estate[1].pk}/impact/")
    with django_assert_num_queries(6):  # the token, the component; the part of the graph in two; scopes; rows
        ask(f"components/{estate[1].pk}/impact/")
