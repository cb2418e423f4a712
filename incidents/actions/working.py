"""Working on an incident until service is restored."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from incidents import guards
from incidents.actions import paging
from incidents.actions.records import milestone, need, person_of, write
from incidents.lifecycle import WORKING
from incidents.lifecycle import incident as lifecycle
from incidents.models import Escalation, Incident, Note
from portal import clock, events
from portal.errors import Invalid
from portal.lifecycle import Actor, authorize, move

MAX_NOTE = 20_000


@transaction.atomic
def acknowledge(incident: Incident, *, by: Actor, note: str = "") -> Incident:
    """Somebody has it: the calling stops. Saying so twice changes nothing.

    An answer goes stale when no work follows (``severity.TARGETS``); then people are called again.
    """
    authorize(by, "incidents.acknowledge", incident)
    person = person_of(by)
    calling = incident.escalations.filter(state=Escalation.State.RUNNING).exists()
    if incident.acknowledged_at and not calling and incident.state in WORKING:
        return incident
    now = clock.now()
    write(incident, "incidents.acknowledge", by=by, acknowledged_at=now, acknowledged_by_id=person)
    paging.stop(incident, answered=True)
    milestone(incident, "acknowledged", by=by, at=now)
    events.record("incidents.acknowledge", incident, by=by, reason=note)
    return incident


@transaction.atomic
def take_command(incident: Incident, *, by: Actor, reason: str = "") -> Incident:
    """The actor's person becomes incident commander. Taking over from another needs a reason."""
    person = person_of(by)
    if incident.commander_id == person:
        return incident
    need(
        ["Say why you take over from the present commander."] if incident.commander_id and not reason.strip() else [],
        "Taking command",
    )
    before = {"commander": str(incident.commander_id or "")}
    write(incident, "incidents.take_command", by=by, commander_id=person)
    milestone(incident, "commander", by=by)
    events.record(
        "incidents.take_command", incident, by=by, reason=reason, before=before, after={"commander": str(person)}
    )
    return incident


@transaction.atomic
def mitigate(incident: Incident, *, by: Actor, mitigation: str) -> Incident:
    """Start making it hurt less: say how (an action, a runbook step, or why observing is enough).

    A critical incident needs a commander first. Nobody is called any further.
    """
    return _begin_mitigation(incident, "mitigate", by=by, mitigation=mitigation)


@transaction.atomic
def retry_mitigation(incident: Incident, *, by: Actor, mitigation: str) -> Incident:
    """The investigation shows that something else must be tried; the impact counts as going on."""
    return _begin_mitigation(incident, "retry_mitigation", by=by, mitigation=mitigation, mitigated_at=None, evidence="")


def _begin_mitigation(incident: Incident, name: str, *, by: Actor, mitigation: str, **values: Any) -> Incident:
    authorize(by, lifecycle[name].permission, incident)
    problems = guards.before(name, incident, by) if incident.state in lifecycle[name].sources else []
    if not mitigation.strip():
        problems.append("Say what is done, or why observing is enough.")
    need(problems, "Mitigation")
    now = clock.now()
    values["mitigation_started_at"] = incident.mitigation_started_at or now
    move(incident, name, by=by, mitigation=mitigation.strip(), **values)
    paging.stop(incident)
    milestone(incident, "mitigation_started", by=by, at=now)
    events.record(f"incidents.{name}", incident, by=by, reason=mitigation, after={"mitigation": mitigation})
    return incident


@transaction.atomic
def investigate(incident: Incident, *, by: Actor, evidence: str = "", no_mitigation_reason: str = "") -> Incident:
    """Go on to the cause: the impact has ended (``evidence`` says how one knows), or nothing has helped yet."""
    authorize(by, "incidents.investigate", incident)
    evidence, reason = evidence.strip(), no_mitigation_reason.strip()
    if bool(evidence) == bool(reason):
        need(["Say how one knows that the impact has ended, or why nothing has helped yet: one of the two."], "This")
    now = clock.now()
    move(incident, "investigate", by=by, evidence=evidence, mitigated_at=now if evidence else None)
    if evidence:
        milestone(incident, "mitigated", by=by, at=now)
    events.record(
        "incidents.investigate", incident, by=by, reason=evidence or reason, after={"mitigated": bool(evidence)}
    )
    return incident


@transaction.atomic
def resolve(
    incident: Incident, *, by: Actor, diagnosis: str, fix: str, validation: str, follow_up: str = "", evidence: str = ""
) -> Incident:
    """Service is restored: what it was, how it was fixed (``permanent`` or ``temporary``), how that was checked.

    A temporary fix needs the follow-up that replaces it. ``evidence`` may still record that the impact has ended.
    From now on a return of the same signals within the watch counts as this incident.
    """
    authorize(by, "incidents.resolve", incident)
    now = clock.now()
    mitigated_at = incident.mitigated_at or (now if evidence.strip() else None)
    problems = guards.before("resolve", incident, by)
    problems += [] if mitigated_at else ["The impact has not been recorded as ended or reduced."]
    problems += [] if diagnosis.strip() else ["Say what the cause was."]
    problems += [] if fix in ("permanent", "temporary") else ["Say whether the fix is permanent or temporary."]
    problems += ["A temporary fix needs a follow-up."] if fix == "temporary" and not follow_up.strip() else []
    problems += [] if validation.strip() else ["Say how the restoration was checked."]
    need(problems, "Resolving it")
    values = {
        "diagnosis": diagnosis.strip(),
        "fix": fix,
        "validation": validation.strip(),
        "follow_up": follow_up.strip(),
    }
    target = incident.target
    move(
        incident,
        "resolve",
        by=by,
        mitigated_at=mitigated_at,
        evidence=incident.evidence or evidence.strip(),
        resolved_at=now,
        watch_until=now + target.watch,
        post_mortem_due_at=now + target.post_mortem,
        **values,
    )
    paging.stop(incident)
    milestone(incident, "resolved", by=by, at=now)
    events.record("incidents.resolve", incident, by=by, reason=diagnosis, after=values)
    return incident


@transaction.atomic
def regress(incident: Incident, *, by: Actor, reason: str) -> Incident:
    """It is back within the watch: mitigation goes on, and people are called again."""
    authorize(by, "incidents.resolve", incident)
    problems = guards.before("regress", incident, by)
    problems += [] if reason.strip() else ["Say what shows that it is back."]
    need(problems, "Going back")
    values = dict.fromkeys(("resolved_at", "watch_until", "mitigated_at", "post_mortem_due_at"))
    move(incident, "regress", by=by, evidence="", **values)
    milestone(incident, "regressed", by=by)
    events.record("incidents.regress", incident, by=by, reason=reason)
    paging.start(incident, by=paging.PAGER)  # what pages nobody is not watched, and never comes here
    return incident


@transaction.atomic
def comment(incident: Incident, *, by: Actor, text: str) -> Incident:
    """Write a note into the timeline; possible in every state, and nobody's view goes stale by it."""
    authorize(by, "incidents.comment", incident)
    text = text.strip()
    if not text:
        raise Invalid("There is nothing to write down.", fields={"text": ["Write something."]})
    if len(text) > MAX_NOTE:
        raise Invalid(f"A note has at most {MAX_NOTE} characters.", fields={"text": ["Too long."]})
    Note.objects.create(incident=incident, author_id=by.pk, author_label=str(by)[:200], text=text)
    events.record("incidents.comment", incident, by=by, reason=text[:500])
    return incident


@transaction.atomic
def escalate(incident: Incident, *, by: Actor, reason: str) -> Incident:
    """Call the next people now, whoever has answered so far."""
    need([] if reason.strip() else ["Say why more people are needed."], "Escalating")
    write(incident, "incidents.escalate", by=by)
    live = incident.escalations.select_for_update().filter(state__in=paging.LIVE).first()
    events.record("incidents.escalate", incident, by=by, reason=reason)
    if live is None:
        paging.start(incident, by=by)
    else:
        live.incident, live.state = incident, Escalation.State.RUNNING
        live.save(update_fields=["state"])
        paging.advance(live, by=by)
    return incident
