"""Keep the findings equal to what breaks the rules now: one statement per rule, however large the estate is."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Max

from inventory.models import Finding, Revision
from inventory.rules import RULES, Rule
from portal import clock, events

TOPIC = "inventory.findings"
EVERY = timedelta(minutes=1)
AT_LEAST = timedelta(hours=1)
"""How often the rules are asked although nothing of the estate was changed: some go by the day."""
KEPT = timedelta(days=90)
_seen: tuple[int, datetime] | None = None

# Both parts see the table as it was: what is found is written by the first, what is not found any more by the second.
# NOT IN, because it is hashed whatever the planner expects: with NOT EXISTS ten thousand breaches took 15 s.
_KEEP = """
    WITH found AS (
        SELECT breach.component_id, breach.service_id, breach.environment_id, scope.id AS scope_id, breach.detail,
               coalesce(breach.component_id,
                        md5(concat(breach.service_id, breach.environment_id))::uuid) AS subject
          FROM ({breaches}) AS breach (component_id, service_id, environment_id, detail)
          JOIN inventory_service service ON service.id = breach.service_id
          LEFT JOIN inventory_environment environment ON environment.id = breach.environment_id
          LEFT JOIN identity_scope scope ON scope.environment = environment.slug AND scope.service = service.slug),
    kept AS (
        INSERT INTO inventory_finding AS old (id, rule, severity, subject, component_id, service_id, environment_id,
                                              scope_id, detail, since, exempt_reason)
        SELECT gen_random_uuid(), %s, %s, subject, component_id, service_id, environment_id, scope_id,
               left(detail, 255), %s, '' FROM found
            ON CONFLICT (rule, subject) DO UPDATE
           SET severity = excluded.severity, service_id = excluded.service_id, detail = excluded.detail,
               environment_id = excluded.environment_id, scope_id = excluded.scope_id, gone_at = NULL,
               since = CASE WHEN old.gone_at IS NULL THEN old.since ELSE excluded.since END
         WHERE old.gone_at IS NOT NULL
            OR (old.severity, old.service_id, old.environment_id, old.scope_id, old.detail) IS DISTINCT FROM
               (excluded.severity, excluded.service_id, excluded.environment_id, excluded.scope_id, excluded.detail)
        RETURNING 1),
    mended AS (
        UPDATE inventory_finding SET gone_at = %s
         WHERE rule = %s AND gone_at IS NULL AND subject NOT IN (SELECT subject FROM found)
        RETURNING 1)
    SELECT (SELECT count(*) FROM kept) + (SELECT count(*) FROM mended)
"""


def find() -> int:
    """Ask every rule, unless nothing of the estate was changed since the last time. Returns how many rows it changed.

    Idle, that is one statement: the last revision of the estate is the last one that was seen.
    """
    global _seen
    last, now = Revision.objects.aggregate(last=Max("id"))["last"] or 0, clock.now()
    if _seen and _seen[0] == last and now - _seen[1] < AT_LEAST:
        return 0
    changed = sum(keep(rule, now) for rule in RULES.values())
    forgotten, _ = Finding.objects.filter(gone_at__lt=now - KEPT).delete()
    abandoned, _ = Finding.objects.exclude(rule__in=list(RULES)).delete()
    _seen = last, now
    if changed:
        events.publish(TOPIC)
    return changed + forgotten + abandoned


def keep(rule: Rule, now: datetime) -> int:
    """Make the present findings of one rule those that it finds now."""
    breaches, params = rule.breaches().query.sql_with_params()
    with connection.cursor() as cursor:
        values = [*params, rule.name, rule.severity, now, now, rule.name]
        cursor.execute(_KEEP.format(breaches=breaches), values)
        changed: int = cursor.fetchone()[0]
    return changed


def forget_what_was_seen() -> None:
    """Ask the rules at the next tick, whatever was seen before."""
    global _seen
    _seen = None
