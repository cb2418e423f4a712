"""Components summed up by environment or service: one statement, however many there are.

Rights hang on scopes, and a scope is one environment and one service: the scopes that somebody may see are looked up
first, then components are counted from an index alone. A filter on each row would look at all of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.utils.dateparse import parse_datetime

from inventory.models import Component, DataCenter, Environment, Service
from observability.health import BADNESS, DEGRADED, DOWN, STATES, UNKNOWN, worst
from observability.models import STALE_AFTER, ComponentHealth
from observability.queries import said
from portal import clock
from portal.lifecycle import State
from portal.prepared import fetched

By = Literal["environment", "service"]
MANY = 500
"""With more components than this only those that are ill are named: putting all in order costs more than it tells."""
GROUPS, NAMED = 30, 40
"""How many groups are summed up (those with something ill first), and how many components are named."""
PLACES = 6
"""Data centers that a group names."""

_BADNESS = " ".join(f"WHEN '{state}' THEN {bad}" for state, bad in BADNESS.items())
_SHOWN = f"CASE WHEN health.observed_at > %(fresh)s THEN health.state ELSE '{UNKNOWN}' END"


def _told(kind: str, among: str) -> str:
    """What is told of single components in the scopes ``among``."""
    return f"""
        SELECT component.slug, component.name, component.connection, component.scope_id, center.name AS center,
               health.version, health.error, health.observed_at, health.state, {_SHOWN} AS shown
          FROM inventory_component component
          {kind} JOIN observability_componenthealth health ON health.component_id = component.id
          LEFT JOIN inventory_datacenter center ON center.id = component.data_center_id
         WHERE component.scope_id = ANY(ARRAY(SELECT id FROM {among})) {{place}}"""  # noqa: S608 (constants)


_SUMS = f"""
    WITH seen AS MATERIALIZED (
        SELECT DISTINCT scope.id, scope.{{by}} AS slug
          FROM identity_effectivescope held JOIN identity_scope scope ON scope.id = held.scope_id
         WHERE held.account_id = %(reader)s AND held.action = 'inventory.view'
           AND (held.valid_until IS NULL OR held.valid_until > %(now)s) {{within}}),
    ill AS MATERIALIZED ({_told("", "seen")}
           AND health.state IN ('{DOWN}', '{DEGRADED}') AND health.observed_at > %(fresh)s),
    grouped AS MATERIALIZED (
        SELECT owner.slug, owner.name, array_agg(seen.id) AS scopes
          FROM seen JOIN {{owner}} owner ON owner.slug = seen.slug
         WHERE EXISTS (SELECT 1 FROM inventory_component component WHERE component.scope_id = seen.id {{place}})
         GROUP BY owner.slug, owner.name),
    shown AS MATERIALIZED (
        SELECT slug, name, scopes FROM grouped
         ORDER BY NOT scopes && ARRAY(SELECT scope_id FROM ill), name, slug LIMIT {GROUPS}),
    member AS MATERIALIZED (SELECT scope.id, shown.slug FROM shown CROSS JOIN unnest(scopes) scope(id)),
    counted AS MATERIALIZED (
        SELECT scope_id, data_center_id, count(*) AS count FROM inventory_component component
         WHERE scope_id = ANY(ARRAY(SELECT id FROM member)) {{place}} GROUP BY scope_id, data_center_id),
    total AS MATERIALIZED (SELECT coalesce(sum(count), 0) <= {MANY} AS few FROM counted),
    place AS (
        SELECT member.slug, center.name AS center, sum(count)::int AS count
          FROM counted JOIN member ON member.id = counted.scope_id
          LEFT JOIN inventory_datacenter center ON center.id = counted.data_center_id
         GROUP BY member.slug, center.name),
    state AS (
        SELECT member.slug, {_SHOWN} AS shown, count(*) AS count, min(health.observed_at) AS oldest,
               CASE WHEN component.kind = 'app' THEN health.version ELSE '' END AS version
          FROM inventory_component component
          JOIN observability_componenthealth health ON health.component_id = component.id
          JOIN member ON member.id = component.scope_id
         WHERE component.scope_id = ANY(ARRAY(SELECT id FROM member)) {{place}} GROUP BY 1, 2, 5),
    named AS (SELECT * FROM ill WHERE NOT (SELECT few FROM total)
              UNION ALL {_told("LEFT", "member")} AND (SELECT few FROM total))
    SELECT (SELECT count(*) FROM grouped), (SELECT json_agg(shown) FROM shown), (SELECT json_agg(place) FROM place),
           (SELECT json_agg(state) FROM state),
           (SELECT json_agg(first) FROM (
                SELECT named.*, member.slug AS within FROM named JOIN member ON member.id = named.scope_id
                 ORDER BY CASE shown {_BADNESS} END DESC, named.slug LIMIT {NAMED}) first)
"""  # noqa: S608 (constants; what is asked for comes as parameters)


@dataclass
class Sum:
    """Components of a group, summed up by the database; ``places`` counts them in each data center.

    ``components`` are the few that a page names: the worst first.
    """

    counted: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    oldest: datetime | None = None
    versions: set[str] = field(default_factory=set)
    components: list[Component] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.places.total()

    @property
    def where(self) -> str:
        """How many there are in each data center, the most first."""
        return ", ".join(f"{place}: {count:,}" for place, count in self.places.most_common(PLACES))

    @property
    def elsewhere(self) -> int:
        return max(len(self.places) - PLACES, 0)

    @property
    def running(self) -> str:
        return ", ".join(sorted(self.versions))

    @property
    def state_info(self) -> State:
        return STATES[worst(self.counted)]

    @property
    def counts(self) -> str:
        return said(self.counted)


def sums(reader: Any, by: By, **page: Any) -> tuple[list[tuple[Environment | Service, Sum]], int]:
    """What ``reader`` may see of an environment, a service or a data center, grouped ``by``, in the order of names.

    Returns at most ``GROUPS`` of them and how many more there are.
    """
    if reader.pk is None or not reader.is_active:
        return [], 0
    (kind, thing), *_ = page.items()
    model: Any = {"environment": Environment, "service": Service}[by]
    where = {"by": by, "owner": model._meta.db_table, "within": "", "place": ""}
    if kind == "data_center":
        where["place"] = "AND component.data_center_id = %(thing)s"
    else:
        where["within"] = f"AND scope.{kind} = %(slug)s"
    now = clock.now()
    asked = {"reader": reader.pk, "now": now, "fresh": now - STALE_AFTER, "thing": thing.pk, "slug": thing.slug}
    ((count, *lists),) = fetched(_SUMS.format(**where), asked)
    shown, places, states, named = (rows or [] for rows in lists)
    found = _sums(places, states, named)
    groups = [(model(slug=row["slug"], name=row["name"]), found[row["slug"]]) for row in shown]
    return sorted(groups, key=lambda group: str(group[0])), count - len(groups)


def _sums(places: list[Any], states: list[Any], named: list[Any]) -> dict[str, Sum]:
    found: dict[str, Sum] = {}
    for row in places:
        one = found.setdefault(row["slug"], Sum())
        one.places[row["center"] or "no data center"] += row["count"]
    for row in states:
        one = found[row["slug"]]
        one.counted[row["shown"]] += row["count"]
        oldest = parse_datetime(row["oldest"]) if row["oldest"] else None
        one.oldest = min(filter(None, (one.oldest, oldest)), default=None)
        one.versions |= {row["version"]} - {""}
    for one in found.values():
        if silent := one.total - one.counted.total():  # never read at all
            one.counted[UNKNOWN] += silent
    for row in named:
        found[row["within"]].components.append(_component(row))
    return found


def _component(row: dict[str, Any]) -> Component:
    """As much of a component as a page names; it is no row to be saved."""
    center = DataCenter(name=row["center"]) if row["center"] else None
    component = Component(slug=row["slug"], name=row["name"], connection=row["connection"], data_center=center)
    if row["state"] is None:
        component._state.fields_cache["health"] = None
        return component
    seen = parse_datetime(row["observed_at"]) if row["observed_at"] else None
    told = {name: row[name] for name in ("state", "version", "error")}
    ComponentHealth(component=component, observed_at=seen, **told)  # fills component.health
    return component
