"""Writing the estate by hand: every rule of the write path, told row by row, and nothing half done."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inventory.actions.estate import change, create, write_many
from inventory.models import Component, Dependency, Revision
from inventory.writing import Stale, stored
from portal.errors import Conflict, Denied, Invalid
from portal.models import Event
from tests import world

pytestmark = pytest.mark.django_db
API = "production/us-central/api"


def row(name: str = "worker", **facts):
    return {"slug": f"production/us-central/{name}", "kind": "app", "service": "api", **facts}


def wrong(refusal) -> list[tuple[int, str, str]]:
    return [(each["index"], each["field"], each["detail"]) for each in refusal.value.errors]


def refused(kind, noun, rows, by, mode="upsert"):
    with pytest.raises(kind) as refusal:
        write_many(noun, rows, by=by, mode=mode)
    return wrong(refusal)


def test_a_new_component_says_where_it_stands(owner):
    made = create("component", row(attributes={"processes": 4}, tags=["a", "b", "a"]), by=owner)
    assert (made.name, made.environment.slug, made.data_center.slug) == ("worker", "production", "us-central")
    assert (made.scope, made.attributes, made.tags) == (world.scope(), {"processes": 4}, ["a", "b"])
    assert (made.revision, made.declared_by) == (1, "")
    assert list(Revision.objects.filter(object_id=made.pk).values_list("act", flat=True)) == ["c"]


def test_the_slug_follows_from_the_place(owner):
    where = {"environment": "production", "service": "api", "kind": "job", "name": "Nightly Run"}
    assert create("component", where, by=owner).slug == "production/global/nightly-run"
    made = create("component", {**where, "data_center": "us-central"}, by=owner)
    assert made.slug == "production/us-central/nightly-run"
    world.data_center("us-east")
    assert change(made, by=owner, data_center="us-east").slug == "production/us-east/nightly-run"


def test_one_event_tells_of_many_rows(owner):
    write_many("component", [row("one"), row("two")], by=owner)
    event = Event.objects.get()
    assert (event.verb, event.subject_label, event.scope) == ("inventory.edit", "2 × component", world.scope())
    assert event.after == {
        "noun": "component", "created": 2, "changed": 0, "removed": 0,
        "rows": {"created": ["production/us-central/one", "production/us-central/two"]},
    }  # fmt: skip
    assert set(Revision.objects.values_list("transaction", flat=True).filter(act="c")) >= {event.transaction}


def test_what_is_as_it_should_be_is_left_alone(owner):
    write_many("component", [row(), row("other")], by=owner)
    before = Event.objects.count()
    batch = write_many("component", [row(), row("other", version="2")], by=owner)
    assert [change.fields for change in batch.changes] == [(("version", "", "2"),)]
    assert write_many("component", [row()], by=owner).changes == []
    assert Event.objects.count() == before + 1
    assert Event.objects.latest("seq").after["fields"] == ["version"]


def test_every_mistake_of_every_row_is_told(owner):
    rows = [
        row(kind="engine", colour="red"),
        {"kind": "app"},
        row("ok"),
        row("ok"),
        row("staging", environment="staging"),
        row("attr", attributes={"processes": "four", "speed": 1}),
        row("away", service="none", server="nowhere"),
        7,
        row("nul", description="a\x00b", custom={"a": ["\ud800"]}),
        row("Upper Case"),
        row("half", kind="app\x00"),
        row("near", kind="databse", classification=7),
    ]
    kinds = f"{', '.join(Component.Kind.values[:10])}, … (and {len(Component.Kind) - 10} more)"
    assert refused(Invalid, "component", rows, owner) == [
        (0, "colour", "There is no such field."),
        (0, "kind", f"This is “engine”, which is none of: {kinds}."),
        (1, "environment", "This is needed."),
        (1, "name", "This is needed."),
        (1, "service", "This is needed."),
        (1, "slug", "This is needed."),
        (3, "slug", "“production/us-central/ok” is in here twice."),
        (4, "environment", "There is no environment “staging”."),
        (4, "slug", "This must begin with “staging/us-central/”, as its place says."),
        (5, "attributes.processes", "This must be a whole number."),
        (5, "attributes.speed", "A component of kind “app” has no such attribute. Known: manager, max_memory_mb, "
         "processes, runtime."),
        (6, "server", "There is no server “nowhere”."),
        (6, "service", "There is no service “none”."),
        (7, "", "This must be a mapping of names to values."),
        (8, "custom", "This must hold only what JSON can say."),
        (8, "description", "Text must not hold the character NUL."),
        (9, "slug", "“production/us-central/Upper Case” must be environment/data-center/name, in lower-case letters, "
         "digits and hyphens."),
        (10, "kind", "Text must not hold the character NUL."),
        (11, "classification", "This must be one of: public, internal, confidential, restricted."),
        (11, "kind", f"This is “databse”, which is none of: {kinds}. Did you mean “database”?"),
    ]  # fmt: skip
    assert Component.objects.count() == 1
    assert Event.objects.count() == 0


def test_modes_say_what_must_be_there(owner):
    assert refused(Conflict, "component", [row("api")], owner, "create") == [
        (0, "slug", f"There is a component “{API}” already.")
    ]
    assert refused(Invalid, "component", [row("none"), {"version": "2"}], owner, "update") == [
        (0, "slug", "There is no component “production/us-central/none”."),
        (1, "slug", "Say which component it is, by id or by slug."),
    ]
    assert refused(Invalid, "component", [{"id": "x"}, {"id": "0" * 32}], owner, "update")[1] == (
        1, "id", "There is no component “00000000-0000-0000-0000-000000000000”.",
    )  # fmt: skip


def test_replacing_gives_defaults_to_what_is_not_said(owner):
    api = Component.objects.get(slug=API)
    change(api, by=owner, version="2", tags=["a"])
    write_many("component", [{"id": api.pk, "service": "api", "kind": "app", "name": "api"}], by=owner, mode="replace")
    api.refresh_from_db()
    assert (api.slug, api.version, api.tags, api.connection) == (API, "", [], "")


def test_a_stale_row_is_refused(owner):
    api = Component.objects.get(slug=API)
    change(api, by=owner, version="2", revision=1)
    with pytest.raises(Stale) as refusal:
        change(api, by=owner, version="3", revision=1)
    assert wrong(refusal) == [(0, "revision", "It was changed since you read it.")]


@pytest.mark.parametrize("mode", ["upsert", "remove"])
def test_what_a_catalog_declares_is_changed_there(owner, mode):
    Component.objects.update(declared_by="edye")
    word = "Remove" if mode == "remove" else "Change"
    assert refused(Conflict, "component", [row("api", version="9")], owner, mode) == [
        (0, "declared_by", f"“{API}” is declared by the catalog “edye”. {word} it there.")
    ]
    assert write_many("component", [row("api")], by=owner).changes == []


def test_references_lead_to_rows_of_the_same_request(owner):
    write_many("component", [row("member", part_of="production/us-central/set"), row("set")], by=owner)
    assert Component.objects.get(name="member").part_of == Component.objects.get(name="set")


def test_environments_are_kept_apart(owner):
    world.component("staging/us-central/api")
    links = [
        {"source": API, "target": "staging/us-central/api"},
        {"source": API, "target": "staging/us-central/api", "relation": "observes"},
        {"source": API, "target": API, "kind": "redundant"},
    ]
    assert refused(Invalid, "dependency", links, owner) == [
        (0, "target", "Environments are kept apart: only observes and copies may lead into another one."),
        (1, "source", f"“{API} → staging/us-central/api” is in here twice."),
        (2, "group", "A redundant dependency says its group, and how many of the group are needed."),
        (2, "needed", "A redundant dependency says its group, and how many of the group are needed."),
        (2, "target", "Nothing depends on itself."),
    ]
    write_many("dependency", links[1:2], by=owner)
    assert refused(Invalid, "component", [row("part", part_of="staging/us-central/api")], owner) == [
        (0, "part_of", "“staging/us-central/api” is in another environment.")
    ]


def test_a_component_does_not_leave_its_links_behind(owner):
    world.dependency(Component.objects.get(), world.component("production/us-central/cache", "cache"))
    world.component("staging/us-central/other", service="api")
    moved = {"id": str(Component.objects.get(slug=API).pk), "environment": "staging"}
    assert refused(Invalid, "component", [moved], owner, "update") == [
        (0, "connection", f"A component of staging must not point at production (“{API}”).")
    ]
    moved["connection"] = ""
    assert refused(Invalid, "component", [moved], owner, "update") == [
        (0, "environment", "It is linked to components that stay in the other environment.")
    ]
    Dependency.objects.all().delete()
    write_many("component", [moved], by=owner, mode="update")
    component = Component.objects.select_related("scope").get(slug="staging/us-central/api")
    assert str(component.scope) == "staging × api"


def test_a_whole_goes_together_with_its_parts(owner):
    whole = world.component("production/us-central/cluster", "database_cluster")
    world.component("production/us-central/member", "database", part_of=whole)
    rows = [{"slug": f"production/us-central/{name}"} for name in ("cluster", "member")]
    assert refused(Conflict, "component", rows[:1], owner, "remove") == [
        (0, "", "“production/us-central/cluster” is still pointed at: 1 × component.")
    ]
    write_many("component", rows, by=owner, mode="remove")
    assert list(Component.objects.values_list("slug", flat=True)) == [API]


def test_rights_are_asked_for_each_scope(owner):
    world.component("staging/us-central/api")
    world.component("staging/us-central/play")
    narrow = world.account("narrow", "operations_owner", ("production", "api"))
    world.account("narrow", "viewer", ("staging", "api"))
    write_many("component", [row()], by=narrow)
    with pytest.raises(Denied) as refusal:
        write_many("component", [row("two"), {"slug": "staging/us-central/api", "version": "2"}], by=narrow)
    assert refusal.value.problems == ["“inventory.edit” is needed on staging × api."]
    play = {"slug": "staging/us-central/play", "version": "2"}
    assert refused(Conflict, "component", [play], narrow) == [
        (0, "slug", "“staging/us-central/play” is taken by a component that you may not see.")
    ]
    assert refused(Invalid, "component", [play], narrow, "update") == [
        (0, "slug", "There is no component “staging/us-central/play”.")
    ]
    assert refused(Invalid, "component", [row("x", service="play")], narrow) == [
        (0, "service", "There is no service “play”.")
    ]
    with pytest.raises(Denied):
        write_many("service", [{"slug": "new", "name": "New"}], by=narrow)
    with pytest.raises(Denied):
        write_many("component", [row("y")], by=world.account("viewer", "viewer"))


def test_a_new_place_needs_the_right_on_a_wider_scope(owner):
    world.service("play")
    world.environment("staging")
    wide = world.account("wide", "operations_owner", ("production", "*"))
    world.account("wide", "viewer")
    made = create("component", row("play", service="play"), by=wide)
    assert wide.has_perm("inventory.edit", made)
    with pytest.raises(Denied):
        create("component", {"slug": "staging/us-central/x", "kind": "app", "service": "play"}, by=wide)


def test_what_is_still_pointed_at_stays(owner):
    api, cache = Component.objects.get(), world.component("production/us-central/cache", "cache", service="api")
    world.dependency(api, cache)
    assert refused(Conflict, "component", [row("cache")], owner, "remove") == [
        (0, "", "“production/us-central/cache” is still pointed at: 1 × dependency.")
    ]
    assert refused(Conflict, "service", [{"slug": "api"}], owner, "remove") == [
        (0, "", "“api” is still pointed at: 2 × component.")
    ]
    write_many("component", [row("cache"), {"id": str(api.pk)}], by=owner, mode="remove")
    assert (Component.objects.count(), Dependency.objects.count()) == (0, 0)
    assert Event.objects.get().after["removed"] == 2


ONE_OF_EACH = {
    "data-center": {"slug": "us-west", "name": "West", "role": "secondary"},
    "environment": {"slug": "staging", "name": "Staging", "kind": "staging"},
    "network-zone": {"slug": "production/us-central/dmz", "cidr": "10.0.0.0/16"},
    "server-group": {"slug": "production/us-central/web", "service": "api", "least": 1, "most": 3},
    "server": {"slug": "production/us-central/web-1", "service": "api", "group": "production/us-central/web",
               "zone": "production/us-central/dmz", "address": "10.0.0.1", "memory_mb": 2**40},
    "service": {"slug": "play", "name": "Play", "tier": 1, "slo": 99.9, "repository": "https://example.org/play"},
    "component": row("worker", server="production/us-central/web-1", custom={"cost": 1.5}),
    "endpoint": {"component": API, "name": "http", "port": 80, "zone": "production/us-central/dmz"},
    "dependency": {"source": API, "target": "production/us-central/worker", "kind": "soft"},
}  # fmt: skip


def test_every_noun_is_written_changed_and_removed_in_the_same_way(owner):
    for noun, facts in ONE_OF_EACH.items():
        made = create(noun, facts, by=owner)
        assert write_many(noun, [facts], by=owner).changes == [], noun
        name = "description" if noun in ("dependency", "environment", "network-zone") else "name"
        name = "path" if noun == "endpoint" else name
        batch = write_many(noun, [facts | {name: "/changed"}], by=owner)
        assert [change.act for change in batch.changes] == ["change"], noun
        made.refresh_from_db()
        assert (made.revision, getattr(made, name)) == (2, "/changed")
    for noun, facts in reversed(ONE_OF_EACH.items()):
        write_many(noun, [facts], by=owner, mode="remove")
    assert Component.objects.count() == 1


@pytest.mark.parametrize(("noun", "facts", "field"), [
    ("service", {"slo": 100}, "slo"), ("service", {"slo": "99.9991"}, "slo"), ("service", {"tier": 5}, "tier"),
    ("service", {"tier": True}, "tier"), ("service", {"repository": "ftp://x"}, "repository"),
    ("service", {"owner": "nobody"}, "owner"), ("service", {"name": " "}, "name"),
    ("service", {"tags": ["a b"]}, "tags"),
    ("service", {"tags": "a"}, "tags"), ("service", {"custom": {"": 1}}, "custom"),
    ("service", {"custom": []}, "custom"),
    ("service", {"custom": {"a": "\x00"}}, "custom"), ("service", {"slug": "Play"}, "slug"),
    ("service", {"description": "x" * 2001}, "description"), ("service", {"revision": "1"}, "revision"),
    ("server", {"address": "10.0.0"}, "address"), ("server", {"cpus": -1}, "cpus"), ("server", {"cpus": 2**31}, "cpus"),
    ("endpoint", {"port": 0}, "port"), ("endpoint", {"tls": "yes"}, "tls"), ("endpoint", {"name": "a b"}, "name"),
    ("network-zone", {"cidr": "10.0.0.1/16"}, "cidr"), ("server-group", {"least": 4}, "most"),
    ("dependency", {"needed": 1}, "needed"), ("dependency", {"mode": "later"}, "mode"),
])  # fmt: skip
def test_values_that_cannot_be_are_refused(owner, noun, facts, field):
    given = {**ONE_OF_EACH[noun], **facts}
    for name in ("server", "group", "zone"):
        given = given if name in facts or noun == "dependency" else {k: v for k, v in given.items() if k != name}
    world.component("production/us-central/worker", service="api")
    assert [name for _, name, _ in refused(Invalid, noun, [given], owner)] == [field]


def test_statements_do_not_grow_with_rows(owner):
    def cost(rows, mode="upsert"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            write_many("component", rows, by=owner, mode=mode)
        return len(queries)

    write_many("component", [row("first")], by=owner)
    assert cost([row("a")]) == cost([row(f"b{n}") for n in range(300)]) == 11
    assert cost([row("a", version="2")]) == cost([row(f"b{n}", version="2") for n in range(300)]) == 11
    # Django removes in parts of a hundred.
    assert cost([row("a")], "remove") == cost([row(f"b{n}") for n in range(100)], "remove")


def test_whoever_is_slower_is_told_and_leaves_nothing_behind(owner, monkeypatch):
    """Both looked before either wrote: the unique key decides."""
    write_many("component", [row("worker")], by=owner)
    events = Event.objects.count()
    monkeypatch.setattr(stored, "rows", lambda *args, **more: [])
    with pytest.raises(Conflict) as refusal:
        write_many("component", [row("other"), row("worker")], by=owner)
    assert refusal.value.detail.startswith("Somebody else changed the same things")
    assert (Component.objects.filter(name="other").exists(), Event.objects.count()) == (False, events)


def test_whether_a_value_is_taken_is_asked_of_an_index_however_many_there_are(owner):
    with CaptureQueriesContext(connection) as asked:
        write_many("component", [row(f"n{each}", external_id=f"e{each}") for each in range(120)], by=owner)
    (taken,) = (each["sql"] for each in asked if each["sql"].startswith('SELECT "inventory_component"."external_id"'))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {taken}")
        assert any("component_external_once" in line for (line,) in cursor.fetchall())
