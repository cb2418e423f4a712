"""Who is called in the demo: the on-call engineer first, then the operations owners."""

from __future__ import annotations

import os
from datetime import date, time

from django.conf import settings
from django.contrib.auth.models import Group

from identity import rights
from identity.models import Account, Team
from incidents.actions import sources
from incidents.models import ContactMethod, EscalationPolicy, EscalationStep, Schedule, ScheduleMember
from inventory.models import Environment
from portal import events

ENGINEER = "on-call"
OWNERS = ("operations-owner", "second-operations-owner")
PATIENCE_SECONDS = 300
A_MONDAY = date(2026, 1, 5)


def make() -> None:
    """Give the demo's accounts a rota, e-mail as the way to reach them, and a policy for every service.

    It may run any number of times. A default policy that is there is kept as it is: somebody may have changed it.
    """
    accounts = {one.username: one for one in Account.objects.filter(username__in=[ENGINEER, *OWNERS])}
    if ENGINEER not in accounts:
        return
    for account in accounts.values():
        if account.person and account.person.email:
            ContactMethod.objects.get_or_create(
                person=account.person,
                position=0,
                defaults={"kind": ContactMethod.Kind.EMAIL, "address": account.person.email},
            )
    _source()
    rota = _rota(accounts[ENGINEER], _team("on-call", "On call", list(accounts.values())))
    owners = _team("operations", "Platform operations", [accounts[name] for name in OWNERS if name in accounts])
    policy, is_new = EscalationPolicy.objects.get_or_create(
        team=None, defaults={"slug": "default", "name": "Everything", "repeat": 1}
    )
    if is_new:
        EscalationStep.objects.create(policy=policy, position=0, delay_seconds=PATIENCE_SECONDS, schedule=rota)
        EscalationStep.objects.create(policy=policy, position=1, delay_seconds=PATIENCE_SECONDS, team=owners)


def _source() -> None:
    """The source "lab", once the catalog is there; its key is in a file that only the portal's account can read."""
    production = Environment.objects.filter(slug="production").first()
    key = production and sources.create("lab", environment=production, by=events.System("manage.py demo"))
    if not key:
        return
    path = settings.STATE_DIR / "secrets" / "signal-lab.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(key)


def _team(slug: str, name: str, members: list[Account]) -> Team:
    """The catalog's team of that slug, when it has one; else a new one. The members join it."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        group, _ = Group.objects.get_or_create(name=slug)
        team = Team.objects.create(slug=slug, name=name, group=group)
    for account in members:
        if not team.members.filter(pk=account.pk).exists():
            rights.join(team, account)
    return team


def _rota(engineer: Account, team: Team) -> Schedule:
    facts = {"name": "First line", "team": team, "time_zone": "UTC", "handoff": time(9), "anchor": A_MONDAY}
    rota, is_new = Schedule.objects.get_or_create(slug="first-line", defaults=facts)
    if is_new and engineer.person:
        ScheduleMember.objects.create(schedule=rota, person=engineer.person, position=0)
    return rota
