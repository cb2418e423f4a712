"""After restoration: learning from it, and the ways an incident ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db import transaction

from identity.models import Person
from incidents import guards
from incidents.actions import paging
from incidents.actions.records import milestone, need, person_of
from incidents.lifecycle import WORKING
from incidents.models import ActionItem, Episode, Incident, PostMortem
from portal import clock, events
from portal.lifecycle import Actor, authorize, move

CLOSER = events.System("closing")


@transaction.atomic
def write_post_mortem(
    incident: Incident,
    *,
    by: Actor,
    summary: str,
    impact: str = "",
    root_cause: str = "",
    went_well: str = "",
    went_poorly: str = "",
    no_actions_reason: str = "",
    actions: Sequence[dict[str, Any]] = (),
) -> Incident:
    """Write down what happened, or write it better; it may be rewritten until somebody approves it.

    Each action has ``title``, ``owner`` (a ``Person``), ``due`` (a date) and optionally ``kind``. No alert of the
    incident may still fire when the post-mortem begins.
    """
    authorize(by, "incidents.write_post_mortem", incident)
    person = person_of(by)
    problems = guards.before("write_post_mortem", incident, by)
    problems += [] if summary.strip() else ["Say in a few sentences what happened."]
    for place, action in enumerate(actions, 1):
        problems += [f"Action {place} has no {name}." for name in ("title", "owner", "due") if not action.get(name)]
    need(problems, "The post-mortem")
    first = incident.state == "resolved"
    move(incident, "write_post_mortem", by=by)
    texts = {"summary": summary, "impact": impact, "root_cause": root_cause, "went_well": went_well}
    texts |= {"went_poorly": went_poorly, "no_actions_reason": no_actions_reason}
    _keep(incident, person, actions, {name: text.strip() for name, text in texts.items()})
    if first:
        milestone(incident, "post_mortem_begun", by=by)
    events.record("incidents.write_post_mortem", incident, by=by, after={"actions": len(actions)})
    return incident


def _keep(incident: Incident, person: Any, actions: Sequence[dict[str, Any]], texts: dict[str, str]) -> None:
    values = {**texts, "edited_by_id": person}
    written, _ = PostMortem.objects.update_or_create(
        incident=incident, defaults=values, create_defaults={**values, "author_id": person}
    )
    written.actions.all().delete()
    ActionItem.objects.bulk_create(ActionItem(post_mortem=written, **_item(action)) for action in actions)
    incident.post_mortem = written  # the reverse one-to-one may have been cached as missing


def _item(action: dict[str, Any]) -> dict[str, Any]:
    owner: Person = action["owner"]
    due: date = action["due"]
    kind = action.get("kind") or ActionItem.Kind.PREVENT
    return {"title": action["title"][:200], "owner": owner, "due": due, "kind": kind}


@transaction.atomic
def improve(incident: Incident, *, by: Actor, note: str = "") -> Incident:
    """Approve the post-mortem; its actions are tracked from now on. For SEV1 and SEV2 another person must do it."""
    authorize(by, "incidents.improve", incident)
    person = person_of(by)
    if incident.state == "post_mortem":
        need(guards.before("improve", incident, by), "Approving the post-mortem")
    now = clock.now()
    move(incident, "improve", by=by, approved_at=now, approved_by_id=person)
    milestone(incident, "post_mortem_approved", by=by, at=now)
    events.record("incidents.improve", incident, by=by, reason=note)
    return incident


@transaction.atomic
def close(incident: Incident, *, by: Actor, runbooks: str, ticket: str = "", ticket_waiver: str = "") -> Incident:
    """Ask to close it: what was done to the runbooks, and the ticket that records it (or why there is none).

    It closes at once when nothing is left to wait for, otherwise by itself as soon as that is so.
    """
    authorize(by, "incidents.close", incident)
    problems = [] if runbooks.strip() else ["Say which runbooks changed, or why none did."]
    if not ticket.strip() and not ticket_waiver.strip():
        problems.append("Name the ticket in the tracker, or say why there is none.")
    need(problems, "Closing it")
    values = {"runbooks": runbooks.strip(), "ticket": ticket.strip()[:200]}
    values["ticket_waiver"] = ticket_waiver.strip()[:300]
    move(incident, "close", by=by, **values)
    milestone(incident, "improvements_recorded", by=by)
    events.record("incidents.close", incident, by=by, reason=ticket_waiver, after=values)
    if not guards.before("finish", incident, CLOSER):
        finish(incident, by=CLOSER)
    return incident


@transaction.atomic
def finish(incident: Incident, *, by: Actor) -> Incident:
    """The system closes it once no alert fires, nobody is called and the ticket is settled."""
    need(guards.before("finish", incident, by), "Finishing it")
    now = clock.now()
    move(incident, "finish", by=by, closed_at=now)
    milestone(incident, "closed", by=by, at=now)
    events.record("incidents.finish", incident, by=by)
    return incident


@transaction.atomic
def cancel(incident: Incident, *, by: Actor, reason: str) -> Incident:
    """It was no incident: nobody is called any further; it still counts as noise."""
    authorize(by, "incidents.cancel", incident)
    need([] if reason.strip() else ["Say why it was no incident."], "Cancelling it")
    move(incident, "cancel", by=by, set_aside_at=clock.now(), set_aside_reason=reason.strip())
    paging.stop(incident)
    milestone(incident, "cancelled", by=by)
    events.record("incidents.cancel", incident, by=by, reason=reason)
    return incident


@transaction.atomic
def merge(incident: Incident, *, by: Actor, into: Incident, reason: str) -> Incident:
    """It is part of ``into``, which must still be worked on: its alerts go there, and nobody is called for it."""
    authorize(by, "incidents.merge", incident)
    authorize(by, "incidents.merge", into)
    problems = [] if reason.strip() else ["Say why they are the same."]
    if into.pk == incident.pk:
        problems.append("An incident cannot be merged into itself.")
    elif into.state not in WORKING:
        problems.append(f"{into.reference} is not being worked on any more.")
    need(problems, "Merging it")
    move(incident, "merge", by=by, merged_into=into, set_aside_at=clock.now(), set_aside_reason=reason.strip())
    paging.stop(incident)
    Episode.objects.filter(incident=incident).update(incident=into)
    milestone(incident, "merged", by=by)
    events.record("incidents.merge", incident, by=by, reason=reason, after={"into": into.reference})
    return incident
