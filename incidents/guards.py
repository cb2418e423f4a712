"""What is missing before an incident may move on: everything at once, one plain sentence each.

``before`` asks about facts already on record (it also explains buttons); what a verb is given is checked by the verb.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Q

from incidents import severity
from operations.lifecycle import HOLDING
from operations.models import Operation

Problems = list[str]


def _mitigate(incident: Any, actor: Any) -> Problems:
    if incident.severity in severity.CRITICAL and incident.commander_id is None:
        return ["A critical incident needs an incident commander first: somebody takes command."]
    return []


def _resolve(incident: Any, actor: Any) -> Problems:
    return acting(incident)


def _regress(incident: Any, actor: Any) -> Problems:
    if incident.state == "resolved" and not incident.watched:
        return ["The watch is over. A return now is a new incident, linked to this one."]
    return []


def acting(incident: Any) -> Problems:
    """One sentence when an operation still changes the incident's component, or was started because of it."""
    here = Q(cause_type=incident._meta.label_lower, cause_id=str(incident.pk))
    if incident.component:
        here |= Q(target=incident.component.slug)
    running = Operation.objects.filter(here, mutating=True, state__in=HOLDING).first()
    return [f"{running} is still changing it."] if running else []


def firing(incident: Any) -> Problems:
    """One sentence when alerts of the incident still fire."""
    count = incident.episodes.filter(resolved_at=None).count()
    return [f"{count} alert{'s' if count > 1 else ''} of it still fire{'' if count > 1 else 's'}."] if count else []


def _write_post_mortem(incident: Any, actor: Any) -> Problems:
    if incident.state != "resolved":
        return []
    return firing(incident)


def _improve(incident: Any, actor: Any) -> Problems:
    written = getattr(incident, "post_mortem", None)
    if written is None:
        return ["There is no post-mortem yet."]
    problems = [] if written.summary.strip() else ["The post-mortem has no summary."]
    if incident.severity in severity.CRITICAL:
        required = {"impact": "impact", "root_cause": "root cause", "went_well": "what went well"}
        required["went_poorly"] = "what went poorly"
        problems += [
            f"The post-mortem does not say: {label}."
            for name, label in required.items()
            if not getattr(written, name).strip()
        ]
        if getattr(actor, "person_id", None) in (written.author_id, written.edited_by_id):
            problems.append("Who wrote it cannot approve it; another person reviews it.")
    if not written.no_actions_reason and not written.actions.exists():
        problems.append("There is neither an action item nor a reason for having none.")
    return problems


def _finish(incident: Any, actor: Any) -> Problems:
    problems = firing(incident)
    if incident.escalations.filter(state__in=["running", "acked"]).exists():
        problems.append("People are still being called about it.")
    if not incident.ticket and not incident.ticket_waiver:
        problems.append("There is neither a ticket nor a reason for having none.")
    return problems


def _working(incident: Any, actor: Any) -> Problems:
    return [] if incident.working else [f"Not possible while {incident.state_info.label.lower()}."]


def _acknowledge(incident: Any, actor: Any) -> Problems:
    if incident.working and incident.acknowledged_at and not incident.escalations.filter(state="running").exists():
        return [f"{incident.acknowledged_by} has acknowledged it."]
    return _working(incident, actor)


def _take_command(incident: Any, actor: Any) -> Problems:
    if incident.commander_id and incident.commander_id == getattr(actor, "person_id", None):
        return _working(incident, actor) or ["You are in command."]
    return _working(incident, actor)


def _reclassify(incident: Any, actor: Any) -> Problems:
    return ["It has not been classified yet."] if incident.state == "detected" else _working(incident, actor)


def _reload(incident: Any, actor: Any) -> Problems:
    if incident.component is None:
        return ["It is not known which component is meant."]
    return [] if incident.component.kind == "app" else ["Only an application component can be reloaded."]


GUARDS: dict[str, Callable[[Any, Any], Problems]] = {
    "acknowledge": _acknowledge,
    "take_command": _take_command,
    "escalate": _working,
    "reclassify": _reclassify,
    "reload": _reload,
    "mitigate": _mitigate,
    "resolve": _resolve,
    "regress": _regress,
    "write_post_mortem": _write_post_mortem,
    "improve": _improve,
    "finish": _finish,
}


def before(name: str, incident: Any, actor: Any) -> Problems:
    """Everything on record that stands against the transition ``name``; empty when nothing does."""
    guard = GUARDS.get(name)
    return guard(incident, actor) if guard else []
