"""Make the declared estate true."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import Group
from django.db import connection, transaction

from identity.models import Scope, Team
from inventory.catalog import Difference, Estate, compare
from inventory.models import AppliedCatalog
from inventory.writing import APPLY, denial, plain_conflicts, store
from portal import events
from portal.dispatch import nudge
from portal.errors import Conflict
from portal.lifecycle import Actor, authorize

PERMISSION = APPLY
LISTED = 200
"""How many keys of each kind the event names; the counts are always complete."""
_LOCK = 0x0CA7A106


@plain_conflicts()
@transaction.atomic
def apply_catalog(
    estate: Estate, *, by: Actor, expected: str = "", source: str = "", commit: str = "", reason: str = ""
) -> Difference:
    """Create, change and remove rows until the database equals ``estate``; all of it or nothing.

    ``by`` must hold the right on every scope that is touched, and on all of them when something changes that belongs to
    none, such as an environment. ``expected`` is the digest of the difference a person
    has read: when another one would be made by now, ``Conflict``. Rows of other catalogs, and rows that something
    still points at, refuse the whole with every reason. Scopes are made for new components, so that rights given on
    wider scopes reach them at once. ``source`` and ``commit`` are kept to say where it was read. Returns what was
    changed; when that is nothing, no event is recorded.
    """
    authorize(by, PERMISSION)
    _one_at_a_time()
    difference = compare(estate, by=by, lock=True)
    if difference.teams:
        authorize(by, PERMISSION, Scope())
    if difference.denied:
        raise denial(difference.denied)
    if difference.problems:
        raise Conflict("The catalog cannot be applied.", [str(problem) for problem in difference.problems])
    if expected and expected != difference.digest:
        raise Conflict("The difference is no longer the one you looked at. Look again, then apply.")
    if not difference:
        return difference
    _store_teams(difference.teams)
    for batch in difference.batches:
        store(batch)
    facts: dict[str, Any] = {"digest": difference.digest, "source": source[:300], "commit": commit[:64]}
    facts |= {"applied_by": str(by)[:200], "nouns": difference.by_noun, **difference.counts}
    applied = AppliedCatalog.objects.create(catalog=estate.catalog, **facts)
    events.record(PERMISSION, applied, by=by, reason=reason, after=_summary(difference))
    nudge("inventory.findings")
    return difference


def _one_at_a_time() -> None:
    """Two applies side by side would each see the world before the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _summary(difference: Difference) -> dict[str, Any]:
    named: dict[str, list[str]] = defaultdict(list)
    for change in difference.changes:
        named[f"{change.act} {change.noun}"].append(change.key)
    return {"catalog": difference.catalog, **difference.counts, "rows": {k: v[:LISTED] for k, v in named.items()}}


def _store_teams(teams: Sequence[Team]) -> None:
    """The groups carry the teams' rights; some of the same name may be there from the sign-in's directory."""
    names = {team.slug for team in teams}
    Group.objects.bulk_create([Group(name=name) for name in sorted(names)], ignore_conflicts=True)
    groups = {group.name: group for group in Group.objects.filter(name__in=names)}
    for team in teams:
        team.group = groups[team.slug]
    Team.objects.bulk_create(teams, update_conflicts=True, unique_fields=["pk"], update_fields=["name", "group"])
