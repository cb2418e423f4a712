"""Calling people. Everything here writes rows; ``incidents.reconcile`` alone talks to the outside."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q

from identity.models import Account, Person, RoleBinding
from identity.models.scope import ANY
from incidents.models import ContactMethod, Escalation, EscalationPolicy, Incident, Notification, Schedule
from portal import clock, events
from portal.dispatch import nudge
from portal.lifecycle import Actor

log = structlog.get_logger(__name__)
PAGER = events.System("pager")
LIVE = (Escalation.State.RUNNING, Escalation.State.ACKED)
# Waits between attempts at one address. After the last one it is given up; others were tried long before.
BACK_OFF = (5, 15, 60, 120, 300)
SEV3_PATIENCE = 3


def start(incident: Incident, *, by: Actor) -> Escalation:
    """Begin calling people about ``incident`` (or go on, when somebody is being called already).

    The policy is the one of the service's team, else the default; without any, the operations owners are called.
    The first page is due in the caller's transaction.
    """
    live = incident.escalations.filter(state__in=LIVE).first()
    if live:
        return live
    owner = incident.component.service.owner_id if incident.component else None
    policies = EscalationPolicy.objects.filter(Q(team=owner) if owner else Q(team=None)) | (
        EscalationPolicy.objects.filter(team=None)
    )
    policy = policies.prefetch_related("steps").order_by("team").first()
    snapshot = policy.snapshot() if policy else {"policy": "", "repeat": 0, "steps": []}
    escalation = Escalation.objects.create(incident=incident, policy=snapshot)
    advance(escalation, by=by)
    return escalation


def call_again(escalation: Escalation, *, reason: str) -> None:
    """Start an answered escalation from its first step again: who answered has gone quiet."""
    escalation.state, escalation.step, escalation.round = Escalation.State.RUNNING, 0, escalation.round + 1
    escalation.save(update_fields=["state", "step", "round"])
    events.record("incidents.escalate", escalation.incident, by=PAGER, reason=reason)


def advance(escalation: Escalation, *, by: Actor) -> None:
    """Call whoever the present step names and set the timer of the next; a step that reaches nobody is skipped at once.

    The caller holds the escalation's row. After the last round everybody who answers for the environment is called.
    """
    steps, repeat = escalation.policy["steps"], escalation.policy["repeat"]
    for _ in range(len(steps) + 1):
        if escalation.step >= len(steps):
            if not steps or escalation.round >= repeat:
                break
            escalation.step, escalation.round = 0, escalation.round + 1
        step = steps[escalation.step]
        called = _call(escalation, _targets(step), kind=Notification.Kind.PAGE)
        escalation.step += 1
        if called:
            patience = SEV3_PATIENCE if escalation.incident.severity == 3 else 1
            escalation.next_step_at = clock.now() + timedelta(seconds=step["delay"] * patience)
            escalation.save(update_fields=["step", "round", "next_step_at"])
            events.record("incidents.page", escalation.incident, by=by, after={"called": called})
            return
    exhaust(escalation, by=by)


def exhaust(escalation: Escalation, *, by: Actor) -> None:
    """Nobody answered, or nobody could be reached: call every operations owner, and say so in the timeline."""
    escalation.state, escalation.next_step_at = Escalation.State.EXHAUSTED, None
    escalation.ended_at = clock.now()
    escalation.save(update_fields=["state", "step", "round", "next_step_at", "ended_at"])
    called = _call(escalation, operations_owners(escalation.incident), kind=Notification.Kind.ALARM)
    log.error("escalation_exhausted", incident=str(escalation.incident.pk), reached=len(called))
    events.record("incidents.exhaust", escalation.incident, by=by, after={"called": called})


def _targets(step: dict[str, Any]) -> list[Person]:
    if step["schedule"]:
        schedule = Schedule.objects.filter(pk=step["schedule"]).first()
        member = schedule.on_call().member if schedule else None
        return [member] if member else []
    if step["person"]:
        return list(Person.objects.filter(pk=step["person"]))
    return list(Person.objects.filter(accounts__teams=step["team"], accounts__is_active=True).distinct())


def operations_owners(incident: Incident) -> list[Person]:
    """The persons who answer for the incident's scope now."""
    scope = incident.scope
    now = clock.now()
    bindings = RoleBinding.objects.filter(
        Q(valid_until=None) | Q(valid_until__gt=now),
        role="operations_owner",
        scope__environment__in=[ANY, scope.environment],
        scope__service__in=[ANY, scope.service],
    )
    accounts = Account.objects.filter(Q(bindings__in=bindings) | Q(teams__bindings__in=bindings), is_active=True)
    return list(Person.objects.filter(accounts__in=accounts).distinct())


def _call(escalation: Escalation, people: list[Person], *, kind: str) -> list[str]:
    """Make a message due for each person's first address; returns the names of those who have one."""
    called = []
    turn = f"{escalation.round}.{escalation.step}"
    for person in people:
        methods = list(person.contact_methods.all())
        if methods or person.email:
            _page(escalation, person, methods[0] if methods else None, kind=kind, turn=turn)
            called.append(person.name)
        else:
            log.warning("person_unreachable", person=str(person.pk))
    return called


def _page(escalation: Escalation, person: Person, method: ContactMethod | None, *, kind: str, turn: str) -> bool:
    key = f"{escalation.pk}:{turn}:{person.pk}:{method.pk if method else 'email'}:{kind}"
    notification, fresh = Notification.objects.get_or_create(
        dedupe_key=key,
        defaults={
            "kind": kind,
            "incident": escalation.incident,
            "escalation": escalation,
            "person": person,
            "method": method,
        },
    )
    if fresh:
        nudge("incidents.send", notification.pk)
    return fresh


def stop(incident: Incident, *, answered: bool = False) -> None:
    """Call nobody further. With ``answered`` a timer remains: an answer that no work follows goes stale."""
    now = clock.now()
    live = Escalation.objects.filter(incident=incident, state__in=LIVE)
    if answered:
        live.update(state=Escalation.State.ACKED, next_step_at=now + incident.target.stale)
    else:
        live.update(state=Escalation.State.RESOLVED, next_step_at=None, ended_at=now)
    Notification.objects.filter(incident=incident, state=Notification.State.DUE).exclude(
        kind=Notification.Kind.WEBHOOK
    ).update(state=Notification.State.CANCELLED, lease_token=None, lease_until=None)


@transaction.atomic
def mark_sent(notification: Notification, token: uuid.UUID) -> bool:
    """The provider took it. False when the lease had passed to somebody else, or nobody wants the message any more."""
    now = clock.now()
    incident = Incident.objects.select_for_update(no_key=True).get(pk=notification.incident_id)
    mine = Notification.objects.filter(pk=notification.pk, lease_token=token)
    if not mine.update(state=Notification.State.SENT, sent_at=now, lease_token=None, lease_until=None, error=""):
        return False
    if notification.kind != Notification.Kind.WEBHOOK and incident.first_page_at is None:
        from incidents.actions.records import milestone

        Incident.objects.filter(pk=incident.pk).update(first_page_at=now)
        milestone(incident, "first_page", by=PAGER, at=now)
    events.publish(f"incidents.incident:{incident.pk}")
    return True


@transaction.atomic
def mark_failed(notification: Notification, token: uuid.UUID, error: str) -> bool:
    """It could not be sent. The next address, else the next step, is tried at once; this one again after a while."""
    incident = Incident.objects.select_for_update(no_key=True).get(pk=notification.incident_id)
    mine = Notification.objects.select_for_update().filter(pk=notification.pk, lease_token=token).first()
    if mine is None:
        return False
    mine.error, mine.lease_token, mine.lease_until = error[:300], None, None
    if mine.attempts > len(BACK_OFF):
        mine.state = Notification.State.FAILED
    else:
        mine.due_at = clock.now() + timedelta(seconds=BACK_OFF[mine.attempts - 1])
    mine.save(update_fields=["error", "lease_token", "lease_until", "state", "due_at"])
    if mine.kind != Notification.Kind.WEBHOOK and _try_elsewhere(mine, incident):
        after = {"to": str(mine.person), "error": mine.error}
        events.record("incidents.fail_page", incident, by=PAGER, after=after)
    return True


def _try_elsewhere(failed: Notification, incident: Incident) -> bool:
    """The person's next address, else the next step now; False when a message before this one has done so already."""
    escalation = incident.escalations.select_for_update(of=("self",)).get(notifications=failed)
    escalation.incident = incident
    place = failed.method.position if failed.method else -1
    person: Any = failed.person
    later = person.contact_methods.filter(position__gt=place).first()
    if later:
        return _page(escalation, person, later, kind=failed.kind, turn=_turn(failed))
    present = f"{escalation.round}.{escalation.step - 1}"
    if escalation.state != Escalation.State.RUNNING or _turn(failed) != present:
        return False
    Escalation.objects.filter(pk=escalation.pk).update(next_step_at=clock.now())
    nudge("incidents.escalate")
    return True


def _turn(notification: Notification) -> str:
    return notification.dedupe_key.split(":")[1]
