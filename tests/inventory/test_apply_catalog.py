"""Applying a catalog: all or nothing, idempotent, only what came from it is removed, and only who may."""

import pytest
from django.conf import settings

from identity.models import EffectiveScope, Team
from inventory.actions.catalog import apply_catalog
from inventory.catalog import compare, load
from inventory.models import AppliedCatalog, Component, DataCenter, Dependency, Service
from portal.errors import Conflict, Denied
from portal.events import SYSTEM
from portal.models import Event
from tests import world
from tests.inventory.folders import SOUND, write

pytestmark = pytest.mark.django_db
PRODUCTION = SOUND["production.yaml"]
LINK = "production/us-central/api → production/us-central/database"


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "small")


def applied(folder, by=SYSTEM, **options):
    return apply_catalog(load(folder), by=by, **options)


def test_the_catalog_that_ships_is_made_true_once():
    estate = load(settings.BASE_DIR / "catalog" / "edye")
    first = apply_catalog(estate, by=SYSTEM)
    assert first.counts == {"created": Event.objects.get().after["created"], "changed": 0, "removed": 0}
    assert Component.objects.count() == len(estate.components)
    assert Dependency.objects.count() == sum(map(len, estate.dependencies.values()))
    assert compare(estate).changes == ()
    assert apply_catalog(estate, by=SYSTEM).changes == ()
    assert Event.objects.count() == AppliedCatalog.objects.count() == 1


def test_rows_carry_what_was_declared(folder):
    applied(folder)
    api = Component.objects.get(slug="production/us-central/api")
    assert (api.name, api.kind, api.connection) == ("API", "app", "production/us-central/api")
    assert (api.environment.slug, api.data_center.slug, api.service.slug) == ("production", "us-central", "api")
    assert str(api.scope) == "production × api"
    assert api.declared_by == "small"
    assert Component.objects.get(slug="production/global/cdn").data_center is None
    assert Component.objects.get(slug="production/us-central/database").attributes == {"engine": "MySQL"}
    assert Service.objects.get().owner.slug == "core"
    assert Team.objects.get().group.name == "core"
    link = Dependency.objects.get()
    assert (str(link.source), str(link.target), link.kind) == (
        "production/us-central/api", "production/us-central/database", "hard",
    )  # fmt: skip


def test_the_event_says_what_was_done(folder):
    applied(folder)
    event = Event.objects.get()
    assert (event.verb, event.subject_label, event.actor_label) == (
        "inventory.apply_catalog", "catalog small", "portal (system)",
    )  # fmt: skip
    assert event.after == {
        "catalog": "small",
        "created": 10,
        "changed": 0,
        "removed": 0,
        "rows": {
            "create team": ["core"],
            "create data center": ["us-central"],
            "create environment": ["staging", "production"],
            "create service": ["api"],
            "create component": [
                "production/us-central/api",
                "production/us-central/database",
                "production/global/cdn",
                "staging/us-central/api",
            ],
            "create dependency": [LINK],
        },
    }


def test_changes_show_what_was_and_what_will_be(folder):
    applied(folder)
    write(folder, production=PRODUCTION.replace("name: API", "name: Main API").replace("hard", "soft"))
    difference = compare(load(folder))
    assert [(c.act, c.noun, c.key, c.fields) for c in difference.changes] == [
        ("change", "component", "production/us-central/api", (("name", "API", "Main API"),)),
        ("change", "dependency", LINK, (("kind", "hard", "soft"),)),
    ]  # fmt: skip
    assert difference.summary == "0 to create, 2 to change, 0 to remove."
    applied(folder)
    assert Component.objects.get(slug="production/us-central/api").name == "Main API"
    assert Dependency.objects.get().kind == "soft"


def test_moving_a_component_to_another_service_moves_its_scope(folder):
    applied(folder)
    base = SOUND["base.yaml"] + "  platform: {name: Platform, tier: 1, owner: core}\n"
    write(folder, base=base, production=PRODUCTION.replace("kind: cdn, service: api", "kind: cdn, service: platform"))
    applied(folder)
    assert str(Component.objects.get(slug="production/global/cdn").scope) == "production × platform"


def test_what_is_no_longer_declared_goes_with_its_links(folder):
    applied(folder)
    write(folder, production="components: {}\n")
    difference = applied(folder)
    assert difference.counts == {"created": 0, "changed": 0, "removed": 4}
    assert list(Component.objects.values_list("slug", flat=True)) == ["staging/us-central/api"]
    assert Dependency.objects.count() == 0


def test_rows_that_no_catalog_declared_are_left_alone(folder):
    world.component("production/us-east/play")
    applied(folder)
    write(folder, production="components: {}\n")
    applied(folder)
    assert Component.objects.filter(slug="production/us-east/play").count() == 1


def test_a_row_made_by_hand_is_adopted(folder):
    world.component("production/us-central/api")
    change = next(c for c in compare(load(folder)).changes if c.key == "production/us-central/api")
    assert change.act == "change"
    assert ("declared_by", "", "small") in change.fields
    applied(folder)
    assert Component.objects.get(slug="production/us-central/api").declared_by == "small"


def test_what_something_still_points_at_is_not_removed_and_nothing_else_happens(folder):
    applied(folder)
    by_hand = world.component("production/us-central/play")
    world.dependency(by_hand, Component.objects.get(slug="production/us-central/database"))
    world.dependency(by_hand, Component.objects.get(slug="production/global/cdn"))
    write(folder, production="components: {}\n", base=SOUND["base.yaml"].replace("name: API", "name: Renamed"))
    with pytest.raises(Conflict) as refusal:
        applied(folder)
    assert refusal.value.problems == [
        f"small: The component “production/{name}” is no longer declared, but still pointed at: 1 × dependency."
        for name in ("global/cdn", "us-central/database")
    ]
    assert Component.objects.count() == 5
    assert Service.objects.get(slug="api").name == "API"
    assert Event.objects.count() == 1


def test_a_data_center_with_foreign_components_stays(folder):
    applied(folder)
    world.component("production/us-central/play")
    write(folder, {"base.yaml": "catalog: small\n"})
    with pytest.raises(Conflict) as refusal:
        applied(folder)
    assert [problem.split("“")[1].split("”")[0] for problem in refusal.value.problems] == ["us-central", "production"]
    assert DataCenter.objects.count() == 1


def test_another_catalogs_rows_are_not_taken_over(folder, tmp_path):
    applied(folder)
    other = write(tmp_path / "other", base=SOUND["base.yaml"].replace("catalog: small", "catalog: other"))
    with pytest.raises(Conflict) as refusal:
        applied(other)
    assert "production.yaml:2: “production/us-central/api” is declared by the catalog “small” already." in (
        refusal.value.problems
    )
    assert len(refusal.value.problems) == 9


def test_only_the_difference_that_was_read_is_applied(folder):
    read = compare(load(folder)).digest
    write(folder, staging="components: {}\n")
    with pytest.raises(Conflict, match="no longer the one you looked at"):
        applied(folder, expected=read)
    assert Component.objects.count() == 0
    assert applied(folder, expected=compare(load(folder)).digest).counts["created"] == 9


def test_an_administrator_of_everything_may_apply(folder):
    world.scope("production", "api")
    administrator = world.account("admin", "administrator")
    applied(folder, by=administrator)
    assert Event.objects.get().actor == administrator


def test_new_scopes_are_reached_by_standing_rights(folder):
    viewer = world.account("viewer", "viewer", ("staging", "*"))
    applied(folder)
    held = EffectiveScope.objects.filter(account=viewer, action="inventory.view")
    assert [str(row.scope) for row in held] == ["staging × api"]


@pytest.mark.parametrize("role", ["viewer", "developer", "on_call", "operator", "security_officer", "auditor", "ci"])
def test_other_roles_may_not_apply(folder, role):
    world.scope("production", "api")
    with pytest.raises(Denied):
        applied(folder, by=world.account("somebody", role))
    assert Component.objects.count() == 0


def test_a_right_on_staging_does_not_change_production(folder):
    owner = world.account("owner", "operations_owner", ("staging", "*"))
    with pytest.raises(Denied):
        applied(folder, by=owner)
    assert Component.objects.count() == 0


def test_a_failure_in_the_middle_leaves_nothing(folder, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no")

    monkeypatch.setattr("inventory.actions.catalog.events.record", fail)
    with pytest.raises(RuntimeError):
        applied(folder)
    assert (Component.objects.count(), Team.objects.count(), DataCenter.objects.count()) == (0, 0, 0)


def test_what_belongs_to_no_scope_is_changed_only_by_who_may_everywhere(folder):
    """An environment's kind, for one, decides whether deployments there need an approval."""
    applied(folder)
    write(
        folder, base=SOUND["base.yaml"].replace("name: Production, kind: production", "name: Production, kind: local")
    )
    with pytest.raises(Denied):
        applied(folder, by=world.account("production-owner", "administrator", ("production", "*")))
    assert applied(folder, by=world.account("owner", "administrator")).counts["changed"] == 1
