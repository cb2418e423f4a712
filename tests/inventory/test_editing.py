"""Adding, changing and removing what there is on screens: one thing and many."""

from __future__ import annotations

import pytest
from django.urls import reverse

from inventory.actions.estate import change
from inventory.forms.nouns import NounForm
from inventory.kinds import KINDS
from inventory.models import NOUNS, Component, Dependency
from portal.models import Event
from tests import world
from tests.inventory.screens import browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return world.account("owner", "operations_owner")


@pytest.fixture
def client(owner):
    return browser(owner)


@pytest.fixture
def api():
    return world.component("production/us-central/api", service="api")


def fields(client, url: str) -> dict[str, str]:
    """What the form holds as it is shown."""
    form = client.get(url).context["form"]
    return {bound.name: form.text(bound.name, bound.value()) for bound in form}


@pytest.mark.parametrize("noun", sorted(NOUNS))
def test_every_noun_has_a_form_with_every_field_that_is_declared(client, api, noun):
    form = client.get(reverse(f"{noun}-create")).context["form"]
    left_out = {"attributes"} | ({"slug"} if form.known.placed else set())
    own = {name for name in form.fields if name.startswith("attribute_")}
    assert set(form.fields) - {"reason"} - own == set(form.known.names) - left_out


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_brings_its_own_fields(kind):
    form = NounForm("component", typed={"kind": kind})
    own = {name.removeprefix("attribute_") for name in form.fields if name.startswith("attribute_")}
    assert own == set(KINDS[kind].attributes)


def test_a_component_is_added_with_what_its_kind_knows(client, api):
    typed = {"kind": "cache", "name": "cache", "environment": "production", "service": "api", "status": "active"}
    typed |= {"data_center": "us-central", "attribute_max_memory_mb": "64", "attribute_persistent": "yes"}
    typed |= {"tags": "blue, green", "custom": "rack: 7\nnote: a: b\non: true", "reason": "Sessions."}
    answer = client.post(reverse("component-create"), typed)
    assert answer["Location"] == "/components/production/us-central/cache/"
    made = Component.objects.get(slug="production/us-central/cache")
    assert made.attributes == {"max_memory_mb": 64, "persistent": True}
    assert (made.tags, made.custom) == (["blue", "green"], {"rack": 7, "note": "a: b", "on": True})
    assert Event.objects.order_by("seq").last().reason == "Sessions."


def test_the_kind_that_stands_in_the_list_at_first_has_its_fields(client, api):
    page = client.get(reverse("component-create")).content.decode()
    assert 'name="attribute_origins"' in page
    assert 'name="attribute_max_memory_mb"' not in page


def test_choosing_another_kind_keeps_what_was_typed(client, api):
    page = client.post(reverse("component-create"), {"kind": "cache", "name": "mine", "again": "1"})
    assert page.status_code == 200
    text = page.content.decode()
    assert 'value="mine"' in text
    assert 'name="attribute_max_memory_mb"' in text
    assert "is-invalid" not in text
    assert Component.objects.count() == 1


def test_everything_that_is_wrong_stands_beside_its_field(client, api):
    typed = {"kind": "cache", "name": "x", "environment": "nowhere", "service": "api", "status": "active",
             "attribute_max_memory_mb": "-1"}  # fmt: skip
    answer = client.post(reverse("component-create"), typed)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["attribute_max_memory_mb"]
    answer = client.post(reverse("component-create"), typed | {"attribute_max_memory_mb": "1"})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["environment"]


@pytest.mark.parametrize(
    ("noun", "typed"),
    [
        ("environment", {"slug": "drill", "name": "Drill", "kind": "staging"}),
        ("data-center", {"slug": "eu", "name": "EU", "role": "secondary"}),
        ("service", {"slug": "web", "name": "Web", "tier": "2", "slo": "99.9"}),
        ("network-zone", {"name": "inner", "environment": "production", "exposure": "private"}),
        ("server-group", {"name": "web", "environment": "production", "service": "api", "least": "1"}),
        ("server", {"name": "one", "environment": "production", "service": "api", "kind": "vm", "status": "active"}),
        ("endpoint", {"component": "production/us-central/api", "name": "main", "protocol": "tcp", "port": "80"}),
    ],
)
def test_each_noun_is_added_changed_and_removed(client, api, noun, typed):
    assert client.post(reverse(f"{noun}-create"), typed).status_code == 303
    made = NOUNS[noun]._default_manager.order_by("created_at", "pk").last()
    key = made.pk if noun == "endpoint" else made.slug
    url = reverse(f"{noun}-edit", args=[key])
    changed = fields(client, url) | ({"port": "81"} if noun == "endpoint" else {"name": "renamed"})
    assert client.post(url, changed).status_code == 303
    made.refresh_from_db()
    assert made.revision == 2
    assert client.post(reverse(f"{noun}-remove", args=[key]), {"reason": "Gone."}).status_code == 303
    assert not NOUNS[noun]._default_manager.filter(pk=made.pk).exists()


def test_saving_a_form_as_it_was_changes_nothing(client, api):
    url = reverse("component-edit", args=[api.slug])
    assert client.post(url, fields(client, url)).status_code == 303
    api.refresh_from_db()
    assert api.revision == 1


def test_a_stale_form_shows_both_values_and_loses_neither(client, owner, api):
    url = reverse("component-edit", args=[api.slug])
    typed = fields(client, url) | {"version": "mine", "software": ""}
    change(api, by=owner, version="theirs", software="nginx")
    answer = client.post(url, typed)
    assert answer.status_code == 422
    form = answer.context["form"]
    assert form.theirs == {"version": "now: theirs", "software": "changed by somebody else meanwhile"}
    shown = {bound.name: form.text(bound.name, bound.value()) for bound in form}
    assert (shown["version"], shown["software"]) == ("mine", "nginx")
    assert client.post(url, shown).status_code == 303
    api.refresh_from_db()
    assert (api.version, api.software) == ("mine", "nginx")


def test_what_a_catalog_declares_is_changed_there(client, api):
    Component.objects.update(declared_by="edye")
    answer = client.get(reverse("component-edit", args=[api.slug]))
    assert answer.status_code == 409
    assert "The catalog “edye” declares it" in answer.content.decode()
    page = client.get(api.get_absolute_url()).content.decode()
    assert "change it there" in page
    assert reverse("component-edit", args=[api.slug]) not in page


def test_a_removal_says_what_is_in_the_way_and_what_goes_with_it(client, api):
    cache = world.component("production/us-central/cache", kind="cache", service="api")
    world.dependency(api, cache)
    api.endpoints.create(name="main", port=80)
    page = client.get(reverse("component-remove", args=[cache.slug])).content.decode()
    assert "still pointed at" in page
    assert "production/us-central/api" in page
    assert client.post(reverse("component-remove", args=[cache.slug]), {}).status_code == 409
    assert "its endpoint main, port 80" in client.get(reverse("component-remove", args=[api.slug])).content.decode()
    assert client.post(reverse("component-remove", args=[api.slug]), {}).status_code == 303
    assert list(Component.objects.values_list("name", flat=True)) == ["cache"]


def bulk(client, verb: str, query: str = "", **given):
    return client.post(reverse(f"objects-{verb}", args=["component"]) + query, given)


def test_many_are_changed_after_a_look(client, api):
    others = [world.component(f"production/us-central/c{number}", service="api", tags=["old"]) for number in range(2)]
    given = {"pick": [str(other.pk) for other in others], "set": ["status"], "status": "retiring", "add_tags": "new",
             "remove_tags": "old"}  # fmt: skip
    looked = bulk(client, "edit", step="look", **given)
    assert [change.key for change in looked.context["changes"]] == [other.slug for other in others]
    assert Component.objects.filter(status="retiring").count() == 0
    assert bulk(client, "edit", step="do", **given).status_code == 303
    assert set(Component.objects.filter(status="retiring").values_list("name", "tags__0")) == {
        ("c0", "new"),
        ("c1", "new"),
    }
    assert Event.objects.filter(verb="inventory.edit").count() == 1


def test_all_that_match_are_those_of_the_filter(client, api):
    world.component("production/us-central/cache", kind="cache", service="api")
    given = {"all": "on", "set": ["status"], "status": "retired", "step": "do"}
    assert bulk(client, "edit", "?kind=cache&health=unknown", **given).status_code == 303
    assert list(Component.objects.filter(status="retired").values_list("name", flat=True)) == ["cache"]
    assert bulk(client, "edit", "?kind=app&unknown=1", **given).status_code == 422
    assert bulk(client, "edit", "?kind=nonsense", **given).status_code == 422


def test_many_are_removed_or_none(client, api):
    cache = world.component("production/us-central/cache", kind="cache", service="api")
    stays = world.dependency(world.component("production/us-central/web", service="api"), api)
    picks = [str(api.pk), str(cache.pk)]
    refused = bulk(client, "remove", pick=picks, step="do")
    assert refused.status_code == 409
    assert Component.objects.count() == 3
    Dependency.objects.filter(pk=stays.pk).delete()
    assert bulk(client, "remove", pick=picks, step="look").context["count"] == 2
    assert bulk(client, "remove", pick=picks, step="do").status_code == 303
    assert list(Component.objects.values_list("name", flat=True)) == ["web"]


def test_picks_of_what_is_foreign_are_not_there(api):
    world.component("staging/us-central/api", service="api")
    staging = browser(world.account("other", "operations_owner", ("staging", "api")))
    answer = bulk(staging, "edit", pick=[str(api.pk)], set=["status"], status="retired", step="look")
    assert list(answer.context["rows"]) == []
    assert bulk(staging, "edit", pick=["nonsense"]).status_code == 422
    assert bulk(staging, "edit").status_code == 422
    assert staging.get(reverse("component-edit", args=[api.slug])).status_code == 404


def test_a_reader_changes_nothing(api):
    reader = browser(world.account("reader", "viewer"))
    for name in ("component-edit", "component-remove"):
        assert reader.get(reverse(name, args=[api.slug])).status_code == 403
    assert reader.get(reverse("component-create")).status_code == 403
    assert bulk(reader, "edit", pick=[str(api.pk)]).status_code == 403
    assert bulk(reader, "remove", pick=[str(api.pk)]).status_code == 403
    assert 'name="pick"' not in reader.get("/components/").content.decode()
