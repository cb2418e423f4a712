"""A plan whose acts are what a test says, and the ways in which they fail."""

from __future__ import annotations

from operations.plan import Act, Plan, StepDraft


class Scripted(Plan):
    """One step (or more) whose do, undo and done are what a test says."""

    kind, title, permission = "tests.scripted", "Scripted", "inventory.reload"

    def __init__(self, do, *, undo=None, done=None, steps=1, read=None, seconds=60, conditions=None):
        self.happened = []
        self.steps = steps

        def doing(ctx):
            output = do(ctx)
            self.happened.append(ctx.position)
            return output

        def undoing(ctx):
            """Takes it back."""
            self.happened.append(-ctx.position)
            return undo(ctx) if undo else {}

        seen = done or (lambda ctx: ctx.position in self.happened)
        how = {"timeout_seconds": seconds, "read": read, "conditions": conditions}
        self.acts = (Act("act", "Act", doing, undoing, seen, **how),)

    def target(self, subject):
        return subject.slug

    def draft(self, subject, params):
        return [StepDraft("act", f"Act {n}") for n in range(1, self.steps + 1)]


class Refused(Exception):
    permanent = True


class Passing(Exception):
    permanent = False


def failing(error, times=10**6):
    left = [times]

    def do(ctx):
        if left[0] > 0:
            left[0] -= 1
            raise error
        return {"tries": ctx.attempt}

    return do
