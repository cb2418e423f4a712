"""Blast radius at 1,000 and 100,000 components: the part around a node read by SQL, and the graph held in the process.

Modules of 200 components that mostly need each other, with one dependency in ten on a platform that all share; half are
hard, three tenths soft, two tenths in groups of two of which one is needed; circles occur. A typical node has 5 to 50
dependents; the hub is the one with the most.
"""

from __future__ import annotations

SIZES = (1_000, 100_000)
REPEATS = 5
MODULE = 200
NAIVE_SECONDS = 20

_PLACES = """
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
    SELECT uuidv7(), 'production', slug FROM inventory_service WHERE slug LIKE 's-%';
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
           CASE drawn.kind WHEN 'redundant' THEN 'pair' ELSE '' END,
           CASE drawn.kind WHEN 'redundant' THEN 1 END, '', '', ''
      FROM (SELECT n, (CASE WHEN random() < 0.1 THEN floor(random() * least(200, {size} / 10))
                            ELSE n / 200 * 200 + (n % 200 + 1 + floor(random() * 8)::int) % 200 END)::int AS target,
                   CASE WHEN random() < 0.5 THEN 'hard' WHEN random() < 0.6 THEN 'soft' ELSE 'redundant' END AS kind
              FROM generate_series(0, {size} - 1) n, generate_series(1, 3) turn
             WHERE n % 200 + 8 < 200 OR random() < 0.02) drawn
      JOIN numbered source ON source.n = drawn.n JOIN numbered target ON target.n = drawn.target
     WHERE source.id <> target.id ON CONFLICT DO NOTHING;
    ANALYZE inventory_component; ANALYZE inventory_dependency; ANALYZE inventory_revision;
"""
