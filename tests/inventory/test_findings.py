"""Each rule of the estate: a case that trips it, and one beside it that does not."""

from datetime import timedelta

import pytest

from inventory.models import Component, Dependency, Finding, Service
from inventory.reconcile import findings
from inventory.rules import RULES
from portal import clock
from tests import world

pytestmark = pytest.mark.django_db
C, E = "production/us-central", "production/us-east"
LOCAL = {"connection": ""}


@pytest.fixture(autouse=True)
def _fresh():
    findings.forget_what_was_seen()


@pytest.fixture
def sound():
    """Services that break no rule by themselves."""
    team = world.team("core")
    for slug in ("api", "platform"):
        world.service(slug)
    Service.objects.update(owner=team, runbook="https://runbooks.example/", slo=99)


def found(rule):
    """Labels of what breaks a rule, with what is said about it."""
    findings.find()
    rows = Finding.objects.present().filter(rule=rule).select_related("component", "service", "environment")
    return {
        str(row.component) if row.component else f"{row.service.slug}@{row.environment and row.environment.slug}":
        row.detail for row in rows
    }  # fmt: skip


def make(slug, kind, **facts):
    return world.component(slug, kind, **{"service": "platform", **LOCAL, **facts})


def replicates(replica, primary):
    return world.dependency(replica, primary, "soft", relation="replicates")


def test_every_rule_has_a_case_here():
    source = __file__
    with open(source) as handle:
        text = handle.read()
    assert [name for name in RULES if f'found("{name}")' not in text] == []


def test_production_in_one_data_center_only(sound):
    world.component(f"{C}/api")
    make(f"{C}/nginx", "edge")
    make(f"{E}/nginx", "edge")
    world.component("staging/us-central/api")
    assert found("one-data-center") == {"api@production": "Only in us-central."}
    world.component(f"{E}/api", status="planned")
    assert found("one-data-center") == {"api@production": "Only in us-central."}
    Component.objects.filter(slug=f"{E}/api").update(status="active")
    assert found("one-data-center") == {}


def test_data_without_a_copy_in_the_other_data_center(sound):
    primary = make(f"{C}/database", "database", attributes={"role": "primary"})
    make("staging/us-central/database", "database")
    wanted = {f"{C}/database": "Nothing follows it from another data center."}
    assert found("no-replica") == wanted
    near = make(f"{C}/near", "database", attributes={"role": "replica"})
    replicates(near, primary)
    assert found("no-replica") == wanted
    replicates(make(f"{E}/database", "database", attributes={"role": "replica"}), primary)
    assert found("no-replica") == {}


def test_members_of_a_cluster_and_replicating_buckets_have_copies(sound):
    cluster = make("production/us-central/set", "replica_set")
    for slug in (f"{C}/documents", f"{E}/documents"):
        make(slug, "document_database", part_of=cluster)
    make(f"{C}/media", "object_store", attributes={"replicates_to": ["elsewhere"]})
    make(f"{C}/images", "object_store")
    assert found("no-replica") == {f"{C}/images": "Nothing follows it from another data center."}


def test_a_cache_that_nothing_stands_in_for(sound):
    cache, app = make(f"{C}/cache", "cache"), world.component(f"{C}/api")
    make("staging/us-central/cache", "cache")
    assert found("cache-alone") == {f"{C}/cache": "It has no replica, and nothing stands in for it."}
    link = replicates(make(f"{E}/cache", "cache"), cache)
    assert found("cache-alone") == {}
    link.delete()
    assert set(found("cache-alone")) == {f"{C}/cache", f"{E}/cache"}
    for target in Component.objects.filter(kind="cache", environment__slug="production"):
        world.dependency(app, target, "redundant", group="cache", needed=1)
    assert found("cache-alone") == {}


def test_what_needs_something_retired(sound):
    app, old = world.component(f"{C}/api"), make(f"{C}/old", "database", status="retired")
    world.dependency(app, old)
    assert found("needs-retired") == {f"{C}/api": f"It needs {C}/old."}
    Component.objects.filter(pk=old.pk).update(status="active")
    assert found("needs-retired") == {}


def test_data_of_unknown_provenance_outside_production(sound):
    make("staging/us-central/database", "database")
    make("staging/us-central/documents", "document_database", provenance="synthetic")
    make("staging/us-central/cache", "cache")
    make(f"{C}/database", "database")
    assert found("provenance-missing") == {"staging/us-central/database": "Nobody says where its data comes from."}


def test_production_data_outside_production(sound):
    make("local/us-central/database", "database", provenance="production")
    make("staging/us-central/database", "database", provenance="anonymised")
    make(f"{C}/database", "database", provenance="production")
    assert found("production-data") == {"local/us-central/database": "It is declared to hold production data."}


def test_a_copy_of_production_must_be_anonymised(sound):
    store = make(f"{C}/database", "database")
    raw = make("staging/us-central/raw", "database", provenance="synthetic")
    safe = make("staging/us-central/safe", "database", provenance="anonymised")
    for copy in (raw, safe):
        world.dependency(copy, store, "soft", relation=Dependency.Relation.COPIES)
    assert set(found("points-at-production")) == {"staging/us-central/raw"}


def test_nothing_outside_reaches_a_store_of_production(sound):
    store = make(f"{C}/database", "database", endpoint="db:3306")
    watcher = make("staging/us-central/metrics", "monitor")
    make("staging/us-central/api", "app", endpoint="db:3306")
    make("staging/us-central/play", "app", connection=f"{C}/database")
    make("staging/us-central/cloud", "app", endpoint="other:3306", connection="staging/us-central/cloud")
    world.dependency(watcher, store, "soft", relation="observes")
    names = {name.rpartition("/")[2] for name in found("points-at-production")}
    assert names == {"metrics", "api", "play"}


def test_data_without_a_classification(sound):
    make(f"{C}/database", "database")
    make(f"{C}/documents", "document_database", classification="internal")
    make("local/us-central/database", "database")
    assert found("unclassified") == {f"{C}/database": "A database without a classification."}


def test_components_without_an_owner():
    for name in ("a", "b"):
        world.component(f"{C}/{name}", service="api")
    world.service("empty")
    assert found("no-owner") == {"api@None": "2 components have no owner."}
    Service.objects.update(owner=world.team("core"))
    assert found("no-owner") == {}


def test_first_tier_services_have_a_runbook_and_an_objective():
    world.service("api")
    Service.objects.create(slug="second", name="Second", tier=2)
    assert found("no-runbook") == {"api@None": "Nobody wrote down what to do when it fails."}
    assert found("no-objective") == {"api@None": "Nobody said how good it must be."}
    Service.objects.update(runbook="https://runbooks.example/", slo=99)
    assert (found("no-runbook"), found("no-objective")) == ({}, {})


def day(days):
    return (clock.now() + timedelta(days=days)).date().isoformat()


def test_certificates_that_ended_or_are_about_to(sound):
    for name, when in {"ended": day(-1), "soon": day(29), "fine": day(31), "today": f"{day(0)}T12:00:00Z",
                       "odd": "next year"}.items():  # fmt: skip
        make(f"{C}/{name}", "tls_certificate", attributes={"not_after": when})
    make(f"{C}/undated", "tls_certificate")
    assert found("certificate-expired") == {f"{C}/ended": f"It ended on {day(-1)}."}
    assert found("certificate-expiring") == {
        f"{C}/soon": f"It ends on {day(29)}.", f"{C}/today": f"It ends on {day(0)}.",
    }  # fmt: skip


def test_a_day_that_is_none_does_not_stop_the_rule(sound):
    make(f"{C}/odd", "tls_certificate", attributes={"not_after": "2020-06-31"})
    assert found("certificate-expired") == {f"{C}/odd": "It ended on 2020-06-31."}


def test_secrets_whose_rotation_is_overdue(sound):
    for name, facts in {
        "late": {"rotated_on": day(-91), "rotated_every_days": 90},
        "due": {"rotated_on": day(-90), "rotated_every_days": 90},
        "undated": {"rotated_every_days": 90},
        "never": {"rotated_on": day(-900)},
        "rarely": {"rotated_on": day(-900), "rotated_every_days": 2**53},
    }.items():
        make(f"{C}/{name}", "secret", attributes=facts)
    assert found("secret-overdue") == {f"{C}/late": f"Last rotated on {day(-91)}."}


def test_a_kind_that_is_not_declared_any_more(sound, sql):
    world.component(f"{C}/api")
    make(f"{C}/old", "monitor")
    assert found("unknown-kind") == {}
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("ALTER TABLE inventory_component DROP CONSTRAINT component_attributes")
    Component.objects.filter(slug=f"{C}/old").update(kind="mainframe")
    assert found("unknown-kind") == {f"{C}/old": "There is no kind “mainframe”."}


def test_since_holds_while_it_lasts_and_begins_anew_when_it_comes_back(sound):
    store = make("staging/us-central/database", "database")
    found("provenance-missing")
    first = Finding.objects.get(rule="provenance-missing")
    Component.objects.filter(pk=store.pk).update(description="Changed in another way.")
    found("provenance-missing")
    assert Finding.objects.get(rule="provenance-missing").since == first.since
    Component.objects.filter(pk=store.pk).update(provenance="synthetic")
    assert found("provenance-missing") == {}
    assert Finding.objects.get(rule="provenance-missing").gone_at is not None
    Component.objects.filter(pk=store.pk).update(provenance="")
    assert set(found("provenance-missing")) == {str(store)}
    again = Finding.objects.get(rule="provenance-missing")
    assert (again.pk, again.gone_at, again.since > first.since) == (first.pk, None, True)


def test_one_statement_per_rule_and_one_when_nothing_changed(sound, django_assert_num_queries):
    world.component(f"{C}/api")
    with django_assert_num_queries(1 + len(RULES) + 2 + 1):
        findings.find()
    with django_assert_num_queries(1):
        assert findings.find() == 0
    for name in ("a", "b", "c"):
        make(f"staging/us-central/{name}", "database")
    with django_assert_num_queries(1 + len(RULES) + 2 + 1):
        assert findings.find() == 6


def test_what_goes_away_takes_its_findings_along(sound):
    store = make("staging/us-central/database", "database")
    found("provenance-missing")
    store.delete()
    assert not Finding.objects.filter(rule="provenance-missing").exists()
