"""What people see while a step runs: lines and progress, written at once and never by somebody who lost the claim."""

from __future__ import annotations

from operations import redaction
from operations.leases import Claim, LeaseLost, release
from operations.models import Step, StepLog
from operations.plan import MAX_LINE
from portal import clock, events

MAX_LINES = 2000


class Journal:
    """The log and the progress of one try of one step."""

    def __init__(self, claim: Claim, step: Step) -> None:
        self.claim = claim
        self.step = step
        self._lines = 0

    def log(self, text: str) -> None:
        """Append a line. After 2,000 lines of one try the rest is left out, and a line says so."""
        self._held()
        self._lines += 1
        if self._lines > MAX_LINES:
            return
        if self._lines == MAX_LINES:
            text = "More lines follow; they are left out here."
        StepLog.objects.create(step=self.step, at=clock.now(), text=redaction.text(text, MAX_LINE))
        events.publish(self.claim.operation.topic)
        release()

    def progress(self, done: int, total: int) -> None:
        """Say how far the step is: ``done`` of ``total``, whole numbers; more than all counts as all."""
        self._held()
        total = max(0, int(total))
        now = (max(0, min(int(done), total)), total)
        if now != (self.step.progress_done, self.step.progress_total):
            self.step.progress_done, self.step.progress_total = now
            Step.objects.filter(pk=self.step.pk).update(progress_done=now[0], progress_total=now[1])
            events.publish(self.claim.operation.topic)
            release()

    def _held(self) -> None:
        if self.claim.lost.is_set():
            raise LeaseLost(str(self.claim.operation.pk))
