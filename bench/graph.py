"""Blast radius at 1,000 and 100,000 components: the part around a node read by SQL, and the graph held in the process.

Modules of 200 components that mostly need each other, with one dependency in ten on a platform that all share; half are
hard, three tenths soft, two tenths in groups of two of which one is needed; circles occur. A typical node has 5 to 50
dependents; the hub is one whose failure reaches about half of the graph.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from bench.stage import stage
from bench.table import show

SIZES = (1_000, 100_000)
REPEATS = 5

_PLACES = """
    TRUNCATE inventory_environment, inventory_datacenter, inventory_service, inventory_component, inventory_dependency,
             inventory_revision CASCADE;
    INSERT INTO inventory_environment (id, declared_by, slug, name, kind, description)
    VALUES (uuidv7(), '', 'production', 'Production', 'production', '');
    INSERT INTO inventory_datacenter (id, declared_by, slug, name, provider, region, location, role)
    SELECT uuidv7(), '', 'dc-' || n, 'Data center ' || n, '', '', '', CASE n WHEN 1 THEN 'primary' ELSE 'secondary' END
      FROM generate_series(1, 2) n;
    INSERT INTO inventory_service (id, declared_by, slug, name, tier, language, framework, repository, runbook,
                                   description, tags, custom)
    SELECT uuidv7(), '', 's-' || n, 'Service ' || n, n % 4 + 1, '', '', '', '', '', '{{}}', '{{}}'
      FROM generate_series(0, {services}) n;
    INSERT INTO identity_scope (id, environment, service)
    SELECT uuidv7(), 'production', slug FROM inventory_service WHERE slug LIKE 's-%'
        ON CONFLICT DO NOTHING;
"""
_COMPONENTS = """
    SELECT setseed(0.5);
    INSERT INTO inventory_component (id, declared_by, slug, name, kind, status, environment_id, service_id,
        data_center_id, scope_id, software, version, endpoint, connection, classification, provenance, external_id,
        attributes, description, tags, custom)
    SELECT uuidv7(), '', 'production/dc/c-' || n, 'c-' || n, 'app', 'active', environment.id, service.id, center.id,
           scope.id, '', '', '', '', '', '', '', '{{}}', '', '{{}}', '{{}}'
      FROM generate_series(0, {size} - 1) n JOIN inventory_environment environment ON environment.slug = 'production'
      JOIN inventory_service service ON service.slug = 's-' || n / 200
      JOIN inventory_datacenter center ON center.slug = 'dc-' || n % 2 + 1
      JOIN identity_scope scope ON scope.environment = 'production' AND scope.service = service.slug;
"""
_DEPENDENCIES = """
    CREATE TEMPORARY TABLE numbered ON COMMIT DROP AS
        SELECT id, substring(name FROM 3)::int AS n FROM inventory_component WHERE name LIKE 'c-%';
    CREATE UNIQUE INDEX ON numbered (n);
    INSERT INTO inventory_dependency (id, declared_by, source_id, target_id, kind, relation, "group", needed, protocol,
                                      mode, description)
    SELECT uuidv7(), '', source.id, target.id, drawn.kind, 'uses',
           CASE drawn.kind WHEN 'redundant' THEN 'pair' ELSE '' END, CASE drawn.kind WHEN 'redundant' THEN 1 END,
           '', '', ''
      FROM (SELECT n, (CASE WHEN random() < 0.1 THEN floor(random() * least(200, {size} / 10))
                            ELSE n / 200 * 200 + (n % 200 + 1 + floor(random() * 8)::int) % 200 END)::int AS target,
                   CASE WHEN random() < 0.5 THEN 'hard' WHEN random() < 0.6 THEN 'soft' ELSE 'redundant' END AS kind
              FROM generate_series(0, {size} - 1) n, generate_series(1, 4) turn
             WHERE (n % 200 + 8 < 200 OR random() < 0.02) AND (turn < 4 OR n % 20 < 11)) drawn
      JOIN numbered source ON source.n = drawn.n JOIN numbered target ON target.n = drawn.target
     WHERE source.id <> target.id ON CONFLICT DO NOTHING;
    ANALYZE inventory_component; ANALYZE inventory_dependency; ANALYZE inventory_revision;
"""


def main(_: argparse.Namespace) -> None:
    rows, held_rows = [], []
    with stage():
        for size in SIZES:
            _build(size)
            measured, kept = _measure(size)
            rows += measured
            held_rows.append(kept)
    head = (
        "components",
        "dependencies",
        "question",
        "finds",
        "SQL part ms",
        "in memory ms",
        "whole answer ms",
        "CPU ms",
    )
    show("What fails, what could have broken it (medians)", head, rows)
    head = (
        "components",
        "read whole ms",
        "CPU ms",
        "MB of arrays",
        "MB in all",
        "look for news ms",
        "take one change ms",
    )
    show("The graph held in the process", head, held_rows)


def _build(size: int) -> None:
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        for text in (_PLACES, _COMPONENTS, _DEPENDENCIES):
            cursor.execute(text.format(size=size, services=max(1, size // 200)))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE inventory_dependency")


def _time(ask: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, float]:
    """Medians of milliseconds that passed, and of this process's processor."""
    passed, used = [], []
    for _ in range(repeats):
        began, spent = time.perf_counter(), time.process_time()
        ask()
        passed.append(1000 * (time.perf_counter() - began))
        used.append(1000 * (time.process_time() - spent))
    return statistics.median(passed), statistics.median(used)


def _measure(size: int) -> tuple[list[list[object]], list[object]]:
    from inventory.graph import held, loading
    from inventory.models import Dependency

    whole = loading.whole()
    links = Dependency.objects.count()
    typical, hub = _nodes(whole)
    kept = _kept(size, whole)
    rows = []
    for name, place in (("typical node", typical), ("hub", hub)):
        for direction, word in (("down", "what fails"), ("up", "what could have")):
            held.forget()
            rows.append([size, links, f"{name}: {word}", *_asked(whole, place, direction)])
    return rows, kept


def _nodes(whole: Any) -> tuple[int, int]:
    """A node with 20 dependents that fail or degrade, and one whose failure reaches nearest to half of the graph."""
    from inventory.graph.spread import fail

    some = sorted(range(whole.size), key=whole.needed_by.count)
    reach = {place: len(fail(whole, [place]).state) for place in some[:: max(1, whole.size // 400)] + some[-30:]}
    typical = min(reach, key=lambda place: abs(reach[place] - 20))
    return typical, min(reach, key=lambda place: abs(reach[place] - whole.size // 2))


def _asked(whole: Any, place: int, direction: Any) -> list[object]:
    from inventory.graph import loading
    from inventory.graph.causes import causes
    from inventory.graph.held import hold
    from inventory.graph.impact import what_could_have, what_fails
    from inventory.graph.spread import fail
    from portal.events import SYSTEM

    key = whole.id_of(place)
    finds = len(fail(whole, [place]).state) - 1 if direction == "down" else len(causes(whole, place)[0])
    part = loading.around([key], direction)
    sql = _time(lambda: loading.around([key], direction))[0] if part else "too much"
    memory = _time(lambda: fail(whole, [place]) if direction == "down" else causes(whole, place))[0]
    if part is None:
        hold()  # as a process that was asked before

    def answer() -> None:
        found = what_fails(SYSTEM, [key]) if direction == "down" else what_could_have(SYSTEM, key)
        found.rows(found.ranked[:50])

    return [f"{finds:,}", sql if isinstance(sql, str) else round(sql, 1), memory, *_time(answer)]


def _kept(size: int, whole: Any) -> list[object]:
    from inventory.graph import held, loading
    from inventory.models import Dependency

    passed, used = _time(loading.whole, 3)
    held.forget()
    tracemalloc.start()
    held.hold()
    memory = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    news = _time(held.held)[0]

    def change() -> float:
        link = Dependency.objects.filter(kind="hard").first()
        assert link is not None
        Dependency.objects.filter(pk=link.pk).update(kind="soft")
        return _time(held.held, 1)[0]

    one = statistics.median(change() for _ in range(REPEATS))
    return [size, passed, used, whole.weight / 2**20, memory, news, one]
