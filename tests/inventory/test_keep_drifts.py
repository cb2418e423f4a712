"""Keeping drifts costs the same however many there are; what comparing passes over quickly differs in nothing."""

from dataclasses import replace
from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from identity.models import Scope
from inventory.actions.drift import keep
from inventory.discovery import comparing
from inventory.discovery.comparing import Difference
from inventory.models import DiscoveryRun, Drift, Sighting
from inventory.queries import Estate
from portal import clock, events
from portal.events import SYSTEM
from portal.models import Event
from tests import world

pytestmark = pytest.mark.django_db
PLACE = "production/us-central"


def seen(number: int, value="2") -> Difference:
    component = world.component(f"{PLACE}/app-{number}", service="api")
    return Difference(
        f"{component.pk}:changed:version", "changed", "version", "1", value, "aws", component=component.pk
    )


def cost(found: list[Difference]) -> int:
    with CaptureQueriesContext(connection) as captured:
        keep(found, by=SYSTEM)
    return len(captured)


def test_each_step_costs_the_same_for_one_and_for_many():
    one, many = [seen(0)], [seen(number) for number in range(5)]
    keep(one, by=SYSTEM)
    keep([], by=SYSTEM)
    opened = (cost(one), cost(many))  # the second opens four
    changed = (cost([replace(each, observed="3") for each in many[:1]] + many[1:]),
               cost([replace(each, observed="4") for each in many]))  # fmt: skip
    settled = (cost([replace(each, observed="4") for each in many[:4]]), cost([]))
    assert (opened[0], changed[0], settled[0]) == (opened[1], changed[1], settled[1])
    assert Event.objects.filter(verb="inventory.detect").count() == 6
    assert Event.objects.filter(verb="inventory.settle").count() == 6
    assert set(Event.objects.values_list("subject_label", flat=True)) == {
        f"{PLACE}/app-{number}: changed version" for number in range(5)
    }
    assert events.verify("inventory") == []


def test_reopened_drifts_say_why_together():
    many = [seen(number) for number in range(3)]
    keep(many, by=SYSTEM)
    Drift.objects.update(state="accepted", decided_at=clock.now(), decided_by="Owner")
    assert keep([replace(each, observed=None) for each in many], by=SYSTEM) == 3
    assert (
        list(Drift.objects.filter(observed__isnull=True).values_list("state", "row_version", "decided_by"))
        == [("open", 2, "")] * 3
    )
    told = Event.objects.filter(verb="inventory.reopen").values_list("reason", flat=True)
    assert list(told) == ["Another value is seen now."] * 3


def sighting(external: str, scope: Scope, **facts) -> None:
    fields = {name: {"value": value, "changed_at": "2026-01-01"} for name, value in facts.pop("fields").items()}
    now = clock.now()
    defaults = {"source": f"{PLACE}/aws", "driver": "aws", "listed": "ec2", "kind": "cache", "name": external}
    Sighting.objects.create(
        **defaults | {"key": external, "external_id": external, "scope": scope, "fields": fields} | facts,
        first_seen=now, last_seen=now,
    )  # fmt: skip


def test_what_is_passed_over_differs_in_nothing():
    """Every mixture of what one sighting may say, compared in both ways."""
    world.environment("staging")
    own = world.component(f"{PLACE}/own", "cache", service="api")
    run = {"driver": "redis", "scope": own.scope, "state": "complete", "at": clock.now(), "finished_at": clock.now()}
    DiscoveryRun.objects.create(source=own.connection, listed="all", tells=["uses"], **run)
    DiscoveryRun.objects.create(source=f"{PLACE}/aws", listed="ec2", **run)
    sighting("own", own.scope, source=own.connection, key="", external_id="", listed="all", fields={"mode": "async"})
    said = product(("1", "1.4", "2"), ("cache", "database"), ("production", "staging"), ([], [["uses", "id:e-0"]]))
    for number, (version, kind, environment, relations) in enumerate(said):
        made = world.component(
            f"{PLACE}/c-{number}", "cache", service="api", version="1", connection="", external_id=f"e-{number}",
            attributes={"mode": "async"},
        )  # fmt: skip
        fields = {"version": version, "environment": environment, "size": "big"}
        sighting(f"e-{number}", made.scope, kind=kind, relations=relations, fields=fields)
    short, estate = list(Estate().differences()), Estate()
    estate._as_declared = lambda component, row: False
    assert short == list(estate.differences())
    assert len({each.component for each in short}) == 24 - 2  # versions 1 and 1.4, seen as they should be
    assert {each.kind for each in short} == {comparing.CHANGED, comparing.ENVIRONMENT}
