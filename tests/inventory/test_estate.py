"""What the database itself holds true of the estate: typed attributes, environments kept apart, a memory of changes."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from identity.models import Account
from inventory.actions.estate import create
from inventory.kinds import KINDS, LAYERS, Kind
from inventory.models import NOUNS, Component, DataCenter, Dependency, Revision
from portal import events
from portal.errors import Denied
from portal.models import Event
from tests import world
from tests.inventory.test_write import ONE_OF_EACH

pytestmark = pytest.mark.django_db


def refuses(constraint: str):
    return pytest.raises(IntegrityError, match=constraint)


def test_every_kind_is_declared_once_and_drawn_somewhere():
    assert list(KINDS) == Kind.values
    assert {spec.layer for spec in KINDS.values()} == set(LAYERS)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("edge", {}),
        ("edge", {"workers": 4, "tls": True, "server_names": ["a.example", "b.example"]}),
        ("cache", {"role": "replica", "mode": "async", "max_memory_mb": 0}),
        ("database", {"engine": "x" * 64}),
    ],
)
def test_attributes_of_the_kind_are_kept(kind, attributes):
    component = world.component("production/us-central/one", kind, attributes=attributes)
    component.refresh_from_db()
    assert component.attributes == attributes


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("edge", {"wrokers": 4}),
        ("edge", {"workers": "4"}),
        ("edge", {"workers": 0}),
        ("edge", {"workers": 2.5}),
        ("edge", {"tls": "yes"}),
        ("edge", {"server_names": ["a", 1]}),
        ("edge", {"server_names": "a"}),
        ("cache", {"role": "master"}),
        ("cache", {"role": None}),
        ("database", {"engine": "x" * 65}),
        ("mail", []),
        ("blimp", {}),
    ],
)
def test_other_attributes_are_refused_whoever_writes(kind, attributes):
    component = world.component("production/us-central/one", "job")
    with refuses("component_attributes"), transaction.atomic():
        Component.objects.filter(pk=component.pk).update(kind=kind, attributes=attributes)


@pytest.fixture
def pair() -> tuple[Component, Component]:
    return world.component("staging/us-central/api"), world.component("production/us-central/database", "database")


@pytest.mark.parametrize(
    "relation", [each for each in Dependency.Relation.values if each not in ("observes", "copies")]
)
def test_environments_are_kept_apart(pair, relation):
    with refuses("kept apart"), transaction.atomic():
        Dependency.objects.create(source=pair[0], target=pair[1], relation=relation)
    link = Dependency.objects.create(source=pair[0], target=pair[1], relation="copies")
    with refuses("kept apart"), transaction.atomic():
        Dependency.objects.filter(pk=link.pk).update(relation=relation)


def test_a_component_leaves_no_link_behind_in_another_environment(pair):
    near = world.component("staging/us-central/cache", "cache")
    world.dependency(pair[0], near)
    with refuses("kept apart"), transaction.atomic():
        Component.objects.filter(pk=near.pk).update(environment=pair[1].environment)


@pytest.mark.parametrize(
    "facts",
    [
        {"kind": "redundant"},
        {"kind": "redundant", "group": "caches"},
        {"kind": "redundant", "group": "caches", "needed": 0},
        {"kind": "hard", "group": "caches"},
        {"kind": "soft", "needed": 1},
    ],
)
def test_only_redundant_dependencies_have_a_group_and_how_many_it_needs(facts):
    api, cache = world.component("production/us-central/api"), world.component("production/us-central/cache", "cache")
    with refuses("dependency_redundant_has_group"), transaction.atomic():
        Dependency.objects.create(source=api, target=cache, **facts)


def revisions(row) -> list[tuple[str, dict | None]]:
    return list(Revision.objects.filter(object_id=row.pk).order_by("id").values_list("act", "before"))


def test_each_change_is_remembered_with_what_it_overwrote():
    component = world.component("production/us-central/api")
    Component.objects.filter(pk=component.pk).update(version="2", tags=["new"])
    Component.objects.filter(pk=component.pk).update(version="2")
    component.refresh_from_db()
    assert component.revision == 2
    Component.objects.filter(pk=component.pk).delete()
    (created, changed, removed) = revisions(component)
    assert created == ("c", None)
    assert changed == ("u", {"version": "", "tags": []})
    assert removed[0] == "d"
    assert removed[1]["slug"] == "production/us-central/api"
    assert removed[1]["version"] == "2"


def test_many_rows_are_remembered_in_one_statement(django_assert_num_queries):
    rows = [world.component(f"production/us-central/{name}") for name in ("api", "play", "cloud")]
    with django_assert_num_queries(1):
        Component.objects.filter(pk__in=[row.pk for row in rows]).update(version="7")
    assert [revisions(row)[-1] for row in rows] == [("u", {"version": ""})] * 3


def test_a_change_leads_to_the_event_of_its_transaction():
    component = world.component("production/us-central/api")
    account: Account = world.account("owner")
    with transaction.atomic():
        Component.objects.filter(pk=component.pk).update(version="2")
        event = events.record("inventory.edit", component, by=account, reason="because")
    revision = Revision.objects.filter(object_id=component.pk).latest("id")
    assert Event.objects.get(transaction=revision.transaction).pk == event.pk


def test_the_past_cannot_be_changed():
    component = world.component("production/us-central/api")
    with pytest.raises(Exception, match="Cannot update or delete"), transaction.atomic():
        Revision.objects.filter(object_id=component.pk).delete()


def test_every_noun_is_remembered_and_counted():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, count(*) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
            " WHERE tgname LIKE ANY (ARRAY['pgtrigger_remembered%%', 'pgtrigger_counted%%']) GROUP BY relname"
        )
        assert dict(cursor.fetchall()) == {model._meta.db_table: 4 for model in NOUNS.values()}


def test_a_new_row_costs_little_memory():
    """At most half a kilobyte a row, indexes included."""
    first = world.component("production/us-central/api")
    rows = [{f.attname: getattr(first, f.attname) for f in Component._meta.concrete_fields} for _ in range(2000)]
    for number, row in enumerate(rows):
        del row["id"]
        row["slug"] = f"production/us-central/api-{number}"
    size = "SELECT pg_total_relation_size('inventory_revision')"
    with connection.cursor() as cursor:
        before = cursor.execute(size).fetchone()[0]
        Component.objects.bulk_create(Component(**row) for row in rows)
        assert (cursor.execute(size).fetchone()[0] - before) / 2000 <= 512


def test_in_an_empty_estate_a_right_on_everything_is_enough():
    owner = world.account("owner", "administrator")
    for noun in ("environment", "data-center", "service"):
        create(noun, ONE_OF_EACH[noun], by=owner)
    made = create("component", {"slug": "staging/us-west/play", "service": "play", "kind": "app"}, by=owner)
    assert owner.has_perm("inventory.view", made)
    assert [row.slug for row in DataCenter.objects.visible_to(owner)] == ["us-west"]
    with pytest.raises(Denied):
        create("service", {"slug": "x", "name": "X"}, by=world.account("nobody"))
