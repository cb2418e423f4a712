"""The lifecycles of discovery and of imports: what becomes of a run, of a drift, and of a file of rows."""

from portal.lifecycle import Lifecycle, State, Tone, Transition

RUNNING, COMPLETE, PARTIAL, FAILED, HELD = "running", "complete", "partial", "failed", "held"

run = Lifecycle(
    name="inventory.discovery_run",
    states=(
        State(RUNNING, "Running", Tone.INFO, "The source is being read."),
        State(COMPLETE, "Complete", Tone.GOOD, "All of the scope was read; what was not there counts as absent."),
        State(PARTIAL, "Partial", Tone.WARN, "Some of it could not be read, so nothing counts as absent."),
        State(FAILED, "Failed", Tone.BAD, "Nothing was learnt."),
        State(HELD, "Held", Tone.BAD, "So much vanished at once that nothing is removed until a person has looked."),
    ),
    transitions=(
        Transition("discover", (), RUNNING, "inventory.discover", "Discover", "began", internal=True),
        Transition("complete", (RUNNING,), COMPLETE, "inventory.discover", "Complete", "was complete", internal=True),
        Transition("part", (RUNNING, HELD), PARTIAL, "inventory.discover", "Part", "was partial", internal=True),
        Transition("fail", (RUNNING,), FAILED, "inventory.discover", "Fail", "failed", internal=True),
        Transition("hold", (RUNNING,), HELD, "inventory.discover", "Hold", "was held", internal=True, tone=Tone.BAD),
        Transition(
            "confirm_removal",
            (HELD,),
            COMPLETE,
            "inventory.confirm_removal",
            "They are gone",
            "confirmed the removal",
            fields=("reason",),
            tone=Tone.BAD,
        ),
        Transition(
            "dismiss",
            (HELD,),
            PARTIAL,
            "inventory.dismiss",
            "Do not believe it",
            "was not believed",
            fields=("reason",),
            tone=Tone.WARN,
        ),
    ),
)

OPEN, EXEMPTED, ACCEPTED, PLANNED, SETTLED = "open", "exempted", "accepted", "planned", "settled"
STANDING = (OPEN, EXEMPTED, ACCEPTED, PLANNED)
DECIDED = (EXEMPTED, ACCEPTED, PLANNED)

drift = Lifecycle(
    name="inventory.drift",
    states=(
        State(OPEN, "Open", Tone.WARN, "What is seen is not what is declared, and nobody has decided yet."),
        State(EXEMPTED, "Exempted", Tone.MUTED, "Somebody allowed it until a date, with a reason."),
        State(ACCEPTED, "Accepted", Tone.INFO, "The declaration is to change; it settles when that has happened."),
        State(PLANNED, "Planned", Tone.INFO, "An operation is to bring reality back; it settles when that shows."),
        State(SETTLED, "Settled", Tone.GOOD, "Declared and seen are the same again.", terminal=True),
    ),
    transitions=(
        Transition("detect", (), OPEN, "inventory.discover", "Detect", "was found", internal=True),
        Transition(
            "accept",
            (OPEN, EXEMPTED, PLANNED),
            ACCEPTED,
            "inventory.accept",
            "Accept into the catalog",
            "accepted",
            fields=("reason",),
            tone=Tone.GOOD,
        ),
        Transition(
            "plan",
            (OPEN, EXEMPTED, ACCEPTED),
            PLANNED,
            "inventory.plan",
            "Plan an operation",
            "planned an operation for",
            fields=("reason",),
        ),
        Transition(
            "exempt",
            (OPEN, ACCEPTED, PLANNED),
            EXEMPTED,
            "inventory.exempt",
            "Exempt until…",
            "exempted",
            fields=("until", "reason"),
            tone=Tone.WARN,
        ),
        Transition("revoke", DECIDED, OPEN, "inventory.revoke", "Revoke", "revoked", fields=("reason",)),
        Transition("reopen", DECIDED, OPEN, "inventory.discover", "Reopen", "is open again", internal=True),
        Transition("settle", STANDING, SETTLED, "inventory.discover", "Settle", "settled", internal=True),
    ),
)

UPLOADED, CHECKING, REFUSED, READY = "uploaded", "checking", "refused", "ready"
APPLYING, APPLIED, DISCARDED = "applying", "applied", "discarded"
WAITING = (UPLOADED, CHECKING, APPLYING)
"""What the portal has to do something about."""
SHOWN = (READY, APPLYING, APPLIED)
"""Where the difference that was read is known."""
_BY_PEOPLE, _BY_PORTAL = "inventory.import", "inventory.check"

file = Lifecycle(
    name="inventory.import",
    states=(
        State(UPLOADED, "Uploaded", Tone.NEUTRAL, "The file is here and waits to be checked."),
        State(CHECKING, "Checking", Tone.INFO, "Every row is compared with what there is; nothing is changed."),
        State(REFUSED, "Refused", Tone.BAD, "Something in the file is wrong, so that nothing of it can be applied."),
        State(READY, "Ready", Tone.WARN, "The difference is known and waits until somebody applies it."),
        State(APPLYING, "Applying", Tone.INFO, "The rows are written, all of them or none."),
        State(APPLIED, "Applied", Tone.GOOD, "All rows are written.", terminal=True),
        State(FAILED, "Failed", Tone.BAD, "The portal could not go on. Nothing was changed."),
        State(DISCARDED, "Discarded", Tone.MUTED, "The file was thrown away. Nothing was changed.", terminal=True),
    ),
    transitions=(
        Transition("upload", (), UPLOADED, _BY_PEOPLE, "Import", "uploaded the file", internal=True),
        Transition("check", (UPLOADED, CHECKING), CHECKING, _BY_PORTAL, "Check", "began to check", internal=True),
        Transition("refuse", (CHECKING,), REFUSED, _BY_PORTAL, "Refuse", "refused it", internal=True),
        Transition("prepare", (CHECKING,), READY, _BY_PORTAL, "Prepare", "worked the difference out", internal=True),
        Transition("apply", (READY,), APPLYING, _BY_PEOPLE, "Apply", "told it to be applied",
                   fields=("reason",), tone=Tone.GOOD),
        Transition("complete", (APPLYING,), APPLIED, _BY_PORTAL, "Complete", "wrote the rows", internal=True),
        Transition("outdate", (APPLYING,), UPLOADED, _BY_PORTAL, "Outdate", "found another difference", internal=True),
        Transition("fail", WAITING, FAILED, _BY_PORTAL, "Fail", "could not go on", internal=True),
        Transition("recheck", (REFUSED, READY, FAILED), UPLOADED, _BY_PEOPLE, "Check again", "had it checked again"),
        Transition("discard", (UPLOADED, CHECKING, REFUSED, READY, FAILED), DISCARDED, _BY_PEOPLE, "Discard",
                   "threw the file away", tone=Tone.BAD),
    ),
)  # fmt: skip
