"""The verbs of findings: let one be until a date, and no longer."""

from __future__ import annotations

from datetime import date, timedelta

from django.db import transaction

from inventory.models import Finding
from portal import clock, events
from portal.errors import Conflict, Invalid
from portal.lifecycle import Actor, Tone, Transition, authorize

LONGEST = timedelta(days=366)
# A finding is found, not moved; this is how the verbs look on its page.
WAIVE = Transition(
    "waive", (), "", "inventory.waive", "Exempt until…", "exempted", fields=("until", "reason"), tone=Tone.WARN
)
REINSTATE = Transition("reinstate", (), "", "inventory.reinstate", "End exemption", "counts again", fields=("reason",))


@transaction.atomic
def waive(finding: Finding, *, by: Actor, until: date, reason: str) -> Finding:
    """Let a finding be until the end of the day ``until``, a year at most; then it counts again.

    Done again, the later words hold. Raises ``Invalid`` for a day that is over or too far and without a reason,
    ``Conflict`` for a finding that is mended.
    """
    authorize(by, WAIVE.permission, finding)
    problems: dict[str, list[str]] = {}
    today = clock.now().date()
    if not today <= until <= today + LONGEST:
        problems["until"] = [f"It must lie ahead, at most {LONGEST.days} days."]
    if not reason.strip():
        problems["reason"] = ["Say why: whoever reads it later will ask."]
    if problems:
        raise Invalid("Some fields are not right.", fields=problems)
    before = {"until": finding.exempt_until, "reason": finding.exempt_reason}
    present = Finding.objects.present().filter(pk=finding.pk)
    if not present.update(exempt_until=until, exempt_reason=reason.strip(), exempt_by=by.pk):
        raise Conflict("It is mended already.")
    finding.refresh_from_db()
    after = {"rule": finding.rule, "until": until.isoformat()}
    events.record("inventory.waive", finding, by=by, reason=reason, before=before, after=after)
    return finding


@transaction.atomic
def reinstate(finding: Finding, *, by: Actor, reason: str = "") -> Finding:
    """End an exemption before its day; the finding counts again."""
    authorize(by, REINSTATE.permission, finding)
    before = {"until": finding.exempt_until, "reason": finding.exempt_reason}
    exempted = Finding.objects.filter(pk=finding.pk).exclude(exempt_until=None)
    if not exempted.update(exempt_until=None, exempt_reason="", exempt_by=None):
        raise Conflict("It is not exempted.")
    finding.refresh_from_db()
    events.record("inventory.reinstate", finding, by=by, reason=reason, before=before)
    return finding
