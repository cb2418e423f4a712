"""Every noun over REST: written, read, narrowed and paged in the same way, and nothing lost between two people."""

import json
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator

from identity import idempotency
from identity.models import AnsweredRequest
from inventory import lists
from inventory.api.shapes import address
from inventory.filters import SHOWN, filters
from inventory.models import NOUNS, Component, Dependency, Server, Service
from portal.models import Event
from tests import world
from tests.inventory.test_write import ONE_OF_EACH

pytestmark = pytest.mark.django_db
API = "production/us-central/api"
ROOT = "/api/v1/components/"


@pytest.fixture
def ask(client, owner):
    """``ask(method, path, body, by=…, **headers)`` → response, by bearer token."""
    tokens = {}

    def send(method, path, body=None, *, by=owner, **headers):
        token = tokens.setdefault(by, None) or tokens.update({by: world.token(by)}) or tokens[by]
        path = path if path.startswith(("/", "http://testserver/")) else f"/api/v1/{path}"
        more = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.generic(method.upper(), path, headers={"Authorization": f"Bearer {token}", **names}, **more)

    return send


def row(name="worker", **facts):
    return {"slug": f"production/us-central/{name}", "kind": "app", "service": "api", **facts}


def slugs(response):
    assert response.status_code == 200, response.content
    return [each["slug"].rpartition("/")[2] for each in response.json()["results"]]


ADDRESS = {noun: {"dependency": "dependencies"}.get(noun, f"{noun}s") for noun in NOUNS}


def test_every_noun_is_created_read_changed_and_removed(ask):
    made = {}
    for noun, facts in ONE_OF_EACH.items():
        response = ask("post", f"{ADDRESS[noun]}/", facts)
        assert response.status_code == 201, response.content
        made[noun] = response.json()
        assert {name: made[noun][name] for name in facts} == facts | ({"slo": "99.900"} if noun == "service" else {})
        where = urlsplit(response["Location"]).path
        assert ask("get", where).json() == made[noun]
        # What was read may be sent back as it is, and changes nothing.
        assert ask("put", where, made[noun], If_Match=response["ETag"])["ETag"] == response["ETag"], noun
    for noun in reversed(ONE_OF_EACH):
        assert ask("delete", f"{ADDRESS[noun]}/{made[noun]['id']}/").status_code == 204
        assert ask("get", f"{ADDRESS[noun]}/{made[noun]['id']}/").status_code == 404
    assert set(Event.objects.values_list("verb", flat=True)) == {"inventory.edit", "inventory.remove"}


def test_many_rows_in_one_request(ask):
    done = ask("post", ROOT, [row("one"), row("two", tags=["a"])])
    assert (done.status_code, done.json()["created"]) == (201, 2)
    assert [each["name"] for each in done.json()["results"]] == ["one", "two"]
    done = ask("put", f"{ROOT}?fields=slug", [row("one", version="2"), row("two"), row("three")]).json()
    assert {name: done[name] for name in ("created", "changed", "unchanged")} == {
        "created": 1, "changed": 1, "unchanged": 1,
    }  # fmt: skip
    assert done["results"][2] == {"slug": "production/us-central/three"}
    done = ask("patch", ROOT, [{"slug": "production/us-central/one", "revision": 2, "status": "retiring"}])
    assert (done.json()["changed"], Component.objects.get(name="one").status) == (1, "retiring")
    assert (
        ask("delete", ROOT, [{"slug": "production/us-central/one"}, {"slug": "production/us-central/two"}]).status_code
        == 204
    )
    assert sorted(Component.objects.values_list("name", flat=True)) == ["api", "three"]


def test_all_mistakes_are_told_by_index(ask):
    response = ask("post", ROOT, [row("one"), row("two", kind="x"), row("three", service="none")])
    assert (response.status_code, response["Content-Type"]) == (422, "application/problem+json")
    assert [(each["index"], each["field"]) for each in response.json()["errors"]] == [(1, "kind"), (2, "service")]
    assert Component.objects.count() == 1
    assert ask("post", ROOT, row("api")).status_code == 409
    for body in ("text", 7, None, [[]]):
        assert ask("post", ROOT, body).status_code in (400, 422)
    assert ask("patch", ROOT, {"slug": API}).status_code == 400
    assert ask("post", f"{ROOT}?colour=red", row()).json()["fields"] == {"colour": ["There is no such parameter here."]}


def test_a_dry_run_tells_the_difference_and_changes_nothing(ask):
    body = [row("api", version="2"), row("new")]
    told = ask("put", f"{ROOT}?dry_run=true", body).json()
    assert (told["created"], told["changed"]) == (1, 1)
    assert told["changes"][0] == {
        "act": "change", "key": API, "fields": [{"name": "version", "before": "", "after": "2"}],
    }  # fmt: skip
    assert Component.objects.count() == 1
    assert Event.objects.count() == 0
    assert ask("post", f"{ROOT}?dry_run=true", row(kind="x")).status_code == 422
    assert ask("post", f"{ROOT}?dry_run=maybe", row()).status_code == 400
    viewer = world.account("viewer", "viewer")
    assert ask("put", f"{ROOT}?dry_run=true", body, by=viewer).status_code == 403


def test_a_stale_write_is_refused_and_nothing_is_lost(ask):
    where = f"{ROOT}{Component.objects.get().pk}/"
    first = ask("get", where)
    changed = ask("patch", where, {"version": "2"}, If_Match=first["ETag"])
    assert (changed.status_code, changed.json()["version"]) == (200, "2")
    for method, body in (("patch", {"version": "3"}), ("put", row("api")), ("delete", None)):
        refused = ask(method, where, body, If_Match=first["ETag"])
        assert (refused.status_code, refused.json()["title"]) == (412, "Changed meanwhile")
    assert ask("patch", where, {"version": "3"}, If_Match='"something else"').status_code == 412
    assert ask("patch", where, {"version": "3", "revision": 1}).status_code == 412
    assert Component.objects.get().version == "2"
    assert ask("patch", where, {"version": "3"}, If_Match="*").status_code == 200


def test_what_was_not_changed_is_not_sent_again(ask):
    where = f"{ROOT}{Component.objects.get().pk}/"
    tag = ask("get", where)["ETag"]
    again = ask("get", where, If_None_Match=tag)
    assert (again.status_code, again.content) == (304, b"")
    ask("patch", where, {"version": "2"})
    assert ask("get", where, If_None_Match=tag).status_code == 200


def test_a_request_sent_again_is_answered_as_before(ask):
    first = ask("post", ROOT, row(), Idempotency_Key="k-1")
    again = ask("post", ROOT, row(), Idempotency_Key="k-1")
    assert (again.status_code, again.json(), again["Location"]) == (201, first.json(), first["Location"])
    assert (again["Idempotent-Replay"], Component.objects.count(), Event.objects.count()) == ("true", 2, 1)
    other = ask("post", ROOT, row("other"), Idempotency_Key="k-1")
    assert (other.status_code, "needs a key of its own" in other.json()["detail"]) == (422, True)
    second = world.account("second", "operations_owner")
    assert ask("post", ROOT, row("other"), by=second, Idempotency_Key="k-1").status_code == 201
    AnsweredRequest.objects.update(at="2020-01-01T00:00Z")
    assert ask("post", ROOT, row(), Idempotency_Key="k-1").status_code == 409
    assert ask("post", ROOT, row("third"), Idempotency_Key="x" * 129).status_code == 422


def test_a_refused_request_may_be_sent_again_with_its_key(ask):
    assert ask("post", ROOT, row(service="none"), Idempotency_Key="k").status_code == 422
    world.service("none")
    assert ask("post", ROOT, row(service="none"), Idempotency_Key="k").status_code == 201


@pytest.fixture
def estate(owner):
    world.component("production/us-central/cache", "cache", service="api", tags=["fast", "blue"], version="7.2")
    world.component("production/us-east/database", "database", service="api", attributes={"encrypted": True})
    world.component("staging/us-central/api", custom={"cost": 3, "note": "x"}, name="Staging API")
    world.dependency(Component.objects.get(slug=API), Component.objects.get(kind="cache"))
    Service.objects.filter(slug="api").update(owner=world.team("core"), tags=["fast"])


NARROWED = [
    ("kind=cache", ["cache"]), ("kind=cache&kind=database", ["cache", "database"]),
    ("kind__in=cache,database", ["cache", "database"]), ("environment=staging", ["api"]),
    ("environment__in=staging,production&name__contains=API", ["api", "api"]),
    ("name__icontains=stag", ["api"]), ("name__startswith=cac", ["cache"]), ("version=7.2", ["cache"]),
    ("tag=fast", ["cache"]), ("tag=fast&tag=blue", ["cache"]), ("tag=fast&tag=red", []),
    ("custom.cost=3", ["api"]), ("custom.note=x", ["api"]), ("custom.cost=4", []),
    ("attributes.encrypted=true", ["database"]), ("data_center=us-east", ["database"]),
    ("server__isnull=true&kind=database", ["database"]), ("server__isnull=false", []),
    ("created_at__gte=2020-01-01T00:00:00Z&kind=cache", ["cache"]), ("updated_at__lt=2020-01-01", []),
    ("revision__gt=1", []), ("q=database", ["database"]), ("sort=-slug&limit=1", ["api"]),
    ("sort=kind&environment=production", ["api", "cache", "database"]), (f"slug={API}", ["api"]),
]  # fmt: skip


def test_lists_are_narrowed_by_what_the_query_names(ask, estate):
    for query, wanted in NARROWED:
        assert slugs(ask("get", f"{ROOT}?{query}")) == wanted, query


SENSELESS = [
    "colour=red", "kind=x", "kind__contains=a", "environment=none", "created_at__gte=soon", "revision=many",
    "slug=%00",
    "tag=%00", "id=7", "fields=colour", "expand=name", "sort=tags", "limit=0", "limit=x", "server__isnull=perhaps",
    "q=%00",
    "custom.%00=1", "revision=99999999999999999999", "revision=1.5", "created_at=9999-99-99", "name__isnull=true",
]  # fmt: skip


def test_what_makes_no_sense_is_refused_by_name(ask):
    for query in SENSELESS:
        response = ask("get", f"{ROOT}?{query}")
        name = query.partition("=")[0].replace("%00", "\x00")
        assert (response.status_code, list(response.json()["fields"])) == (400, [name]), query


def test_an_unknown_filter_names_the_known_ones(ask):
    told = ask("get", "endpoints/?colour=red").json()["fields"]["colour"]
    assert told == [
        "There is no such filter. Known: component, created_at, declared_by, host, id, name, path, port, protocol, "
        "revision, tls, updated_at, zone; see the documentation for endings."
    ]


VALUES = {"slug": API, "role": "primary", "tier": "1", "owner": "core", "environment": "production", "service": "api",
          "data_center": "us-east", "source": API, "target": "production/us-central/cache", "tag": "fast",
          "status": "active", "relation": "uses", "kind": "cache", "health": "unknown"}  # fmt: skip
SPECIAL = {"environment": {"kind": "staging", "slug": "staging"}, "dependency": {"kind": "hard"},
           "service": {"slug": "api"}, "data-center": {"slug": "us-east"}}  # fmt: skip


@pytest.fixture
def screen(owner, rf):
    """The list of a noun as the screen makes it."""

    def made(noun, query):
        request = rf.get(f"/?{query}")
        request.user = owner
        return lists.table(request, noun)

    return made


@pytest.mark.parametrize("noun", ["data-center", "environment", "service", "component", "dependency"])
def test_filters_are_those_of_the_screens(ask, estate, screen, noun):
    for name in SHOWN[noun]:
        value = SPECIAL.get(noun, {}).get(name) or VALUES[name]
        told = ask("get", f"{address(noun)}/?{name}={value}&limit=1000").json()["results"]
        assert {each["id"] for each in told} == {str(each.pk) for each in screen(noun, f"{name}={value}").matching}
        assert told, name


@pytest.mark.parametrize("query", ["kind=cache&kind=database", "name__contains=sta", "tag=fast&tag=blue", "tier=1",
                                   "provenance__empty=true&environment=staging", "custom.cost=3", "version=&kind=cache",
                                   "server__isnull=true", "health=unknown&health=down"])  # fmt: skip
def test_what_an_address_names_means_the_same_everywhere(ask, estate, screen, query):
    told = {each["id"] for each in ask("get", f"{ROOT}?{query}").json()["results"]}
    assert told == {str(each.pk) for each in screen("component", query).matching} != set()


@pytest.mark.parametrize("noun", NOUNS)
def test_what_makes_no_sense_is_told_in_the_same_words_everywhere(ask, screen, noun):
    query = "&".join([*(f"{name}=%00" for name in filters(noun)), "kind__colour=1"])
    told, shown = ask("get", f"{address(noun)}/?{query}"), screen(noun, query)
    assert told.status_code == 400
    faults = told.json()["fields"]
    assert faults.keys() >= filters(noun).keys()
    assert {name: said for name, said in faults.items() if name in shown.filterset.form.fields} == {
        name: list(said) for name, said in shown.filterset.form.errors.items()
    }
    assert (shown.filterset.is_valid(), list(shown.matching)) == (False, [])


def test_the_schema_describes_every_filter():
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for noun in NOUNS:
        described = {each["name"]: each for each in schema["paths"][f"/api/v1/{address(noun)}/"]["get"]["parameters"]}
        assert described.keys() >= filters(noun).keys()
        for own in filters(noun).values():
            assert described[own.name]["schema"]["items"].get("enum", []) == sorted(v for v, _ in own.choices), own.name


def test_pages_go_both_ways_and_know_where_they_end(ask):
    for number in range(7):
        world.component(f"production/us-central/n{number}", service="api")
    seen, where = [], f"{ROOT}?limit=3&count=true"
    first = ask("get", where).json()
    assert (first["count"], first["count_label"], first["previous"]) == (8, "8", None)
    while where:
        body = ask("get", where).json()
        seen.append([each["name"] for each in body["results"]])
        where, back = body["next"], body["previous"]
    assert seen == [["api", "n0", "n1"], ["n2", "n3", "n4"], ["n5", "n6"]]
    body = ask("get", back).json()
    assert [each["name"] for each in body["results"]] == seen[1]
    assert [each["name"] for each in ask("get", body["previous"]).json()["results"]] == seen[0]
    assert ask("get", f"{ROOT}?after=nonsense").status_code == 422
    backwards = ask("get", f"{ROOT}?limit=5&sort=-updated_at").json()
    assert len(ask("get", backwards["next"]).json()["results"]) == 3


def test_other_rows_are_shown_whole_when_asked_for(ask, estate):
    cache = Component.objects.get(kind="cache")
    told = ask("get", f"{ROOT}{cache.pk}/?fields=slug&expand=service,environment").json()
    assert (told["slug"], told["service"]["tier"], told["environment"]["kind"]) == (cache.slug, 1, "production")
    link = ask("get", "dependencies/?expand=source,target&fields=kind").json()["results"][0]
    assert (link["source"]["slug"], link["target"]["version"]) == (API, "7.2")


def test_of_a_foreign_row_only_the_slug_is_told(ask, owner):
    world.component("production/us-central/play")
    facts = {"service": "play", "slug": "production/us-central/host"}
    ask("post", "servers/", facts)
    Component.objects.filter(slug=API).update(server=Server.objects.get())
    narrow = world.account("narrow", "operations_owner", ("production", "api"))
    told = ask("get", f"{ROOT}?expand=server", by=narrow).json()["results"]
    assert [each["server"] for each in told] == [{"slug": facts["slug"]}]


def test_what_is_foreign_is_not_there(ask, owner):
    play = world.component("production/us-central/play")
    narrow = world.account("narrow", "operations_owner", ("production", "api"))
    for method, body in (("get", None), ("patch", {"version": "2"}), ("put", row("play")), ("delete", None)):
        assert ask(method, f"{ROOT}{play.pk}/", body, by=narrow).status_code == 404
    twice = [{"id": str(play.pk), "revision": 7}, {"id": str(play.pk)}]
    told = ask("patch", ROOT, twice, by=narrow).json()["errors"]
    assert [(each["index"], each["detail"]) for each in told] == [
        (0, f"There is no component “{play.pk}”."),
        (1, f"There is no component “{play.pk}”."),
    ]
    told = ask("patch", ROOT, [{"id": str(play.pk), "version": "2"}], by=narrow)
    assert (told.status_code, told.json()["errors"][0]["detail"]) == (422, f"There is no component “{play.pk}”.")
    assert ask("patch", "services/play/", {"tier": 3}, by=narrow).status_code == 404
    assert ask("patch", "services/api/", {"tier": 3}, by=narrow).status_code == 403
    assert ask("patch", "services/api/", {"tier": 3}).status_code == 200


@pytest.fixture
def cost(ask):
    def count(*request, **more):
        ask(*request, **more)  # the token's own stamp is written once a minute
        with CaptureQueriesContext(connection) as queries:
            assert ask(*request, **more).status_code < 300
        return len(queries)

    return count


def test_statements_of_reading(ask, cost, estate):
    where = f"{ROOT}{Component.objects.get(slug=API).pk}/"
    narrow = world.account("narrow", "viewer", ("production", "api"))
    assert cost("get", ROOT) == cost("get", f"{ROOT}?limit=1000") == cost("get", ROOT, by=narrow) == 3
    assert cost("get", where) == 3
    assert cost("get", f"{ROOT}?environment=production&service=api&data_center=us-central&tag=fast&count=true") == 5
    assert cost("get", f"{ROOT}?expand=environment,service,data_center") == 6
    Component.objects.filter(kind="database").delete()
    assert cost("get", f"{ROOT}?expand=environment,service,data_center") == 6


def test_statements_of_writing(ask, owner):
    def count(*request, **more):
        with CaptureQueriesContext(connection) as queries:
            assert ask(*request, **more).status_code < 300
        return len(queries)

    ask("post", ROOT, row("first"))
    where = f"{ROOT}{Component.objects.get(name='first').pk}/"
    assert count("post", ROOT, row("second")) == 13
    assert count("post", ROOT, row("third"), Idempotency_Key="k") == 19
    assert count("patch", where, {"version": "2"}) == 12
    assert count("post", ROOT, [row(f"n{number}") for number in range(200)]) == 13
    assert count("put", ROOT, [row(f"n{number}", version="2") for number in range(200)]) == 13
    assert Dependency.objects.count() == 0


def test_while_the_first_one_runs_the_same_request_waits(ask, owner):
    number = idempotency.lock_of(owner.pk, "k")
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [number])
        refused = ask("post", ROOT, row(), Idempotency_Key="k")
    assert (refused.status_code, refused.json()["detail"]) == (
        409, "The same request still runs. Wait a moment, then send it again.",
    )  # fmt: skip
    assert ask("post", ROOT, row(), Idempotency_Key="k").status_code == 201
