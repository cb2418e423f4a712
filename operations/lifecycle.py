"""The one lifecycle of an operation, and the states of its steps."""

from portal.lifecycle import Lifecycle, State, Tone, Transition

PLANNED, AWAITING_APPROVAL, QUEUED = "planned", "awaiting_approval", "queued"
RUNNING, PAUSED, HALTED, UNDOING, STUCK = "running", "paused", "halted", "undoing", "stuck"
DONE, UNDONE, CANCELLED = "done", "undone", "cancelled"

ACTIVE = (RUNNING, UNDOING)
WAITING = (PLANNED, AWAITING_APPROVAL, QUEUED)
# A stuck operation keeps its target: nobody knows what the next one would find there.
HOLDING = (RUNNING, PAUSED, HALTED, UNDOING, STUCK)
# Whoever had begun a step when it was paused still records how the step went.
HELD = (*ACTIVE, PAUSED)

operation = Lifecycle(
    name="operations.operation",
    states=(
        State(PLANNED, "Planned", Tone.NEUTRAL, "The steps are written down; nobody has told it to run."),
        State(AWAITING_APPROVAL, "Awaiting approval", Tone.WARN, "Somebody else has to agree to these very steps."),
        State(QUEUED, "Queued", Tone.INFO, "It starts as soon as its target is free and a worker takes it."),
        State(RUNNING, "Running", Tone.INFO, "A worker carries out one step after the other."),
        State(PAUSED, "Paused", Tone.WARN, "The step at work is finished; no other begins until somebody resumes it."),
        State(
            HALTED, "Halted", Tone.BAD, "A step failed and what was done stands. Try the step again, or take all back."
        ),
        State(DONE, "Done", Tone.GOOD, "Every step was carried out and seen to have its effect.", terminal=True),
        State(UNDOING, "Undoing", Tone.WARN, "A step failed, or somebody stopped it; what was done is taken back."),
        State(UNDONE, "Undone", Tone.MUTED, "What it had done was taken back.", terminal=True),
        State(STUCK, "Stuck", Tone.BAD, "Taking back failed as well; a person has to look. The target stays reserved."),
        State(CANCELLED, "Cancelled", Tone.MUTED, "It was called off before anything was done.", terminal=True),
    ),
    transitions=(
        Transition("request", (), PLANNED, "operations.request", "Plan", "planned"),
        Transition("confirm", (PLANNED,), AWAITING_APPROVAL, "operations.request", "Run it", "told to run"),
        Transition(
            "approve",
            (AWAITING_APPROVAL,),
            AWAITING_APPROVAL,
            "operations.approve",
            "Approve",
            "approved",
            second_person=True,
            tone=Tone.GOOD,
        ),
        Transition("queue", (AWAITING_APPROVAL,), QUEUED, "operations.run", "Queue", "queued", internal=True),
        Transition(
            "cancel", WAITING, CANCELLED, "operations.cancel", "Cancel", "cancelled", fields=("reason",), tone=Tone.WARN
        ),
        Transition(
            "expedite",
            (QUEUED,),
            QUEUED,
            "operations.expedite",
            "Put first",
            "put first",
            fields=("reason",),
        ),
        Transition(
            "override",
            (QUEUED,),
            QUEUED,
            "operations.override",
            "Run in spite of the freeze",
            "let run in spite of a freeze",
            fields=("reason",),
            second_person=True,
            step_up=True,
            tone=Tone.BAD,
        ),
        Transition("start", (QUEUED,), RUNNING, "operations.run", "Start", "started", internal=True),
        Transition("finish", (RUNNING,), DONE, "operations.run", "Finish", "finished", internal=True),
        Transition(
            "pause", (RUNNING,), PAUSED, "operations.pause", "Pause", "paused", fields=("reason",), tone=Tone.WARN
        ),
        Transition("resume", (PAUSED,), RUNNING, "operations.pause", "Resume", "resumed", tone=Tone.GOOD),
        Transition("halt", (RUNNING, PAUSED), HALTED, "operations.run", "Halt", "halted", internal=True),
        Transition("proceed", (HALTED,), RUNNING, "operations.retry", "Try the step again", "went on with"),
        Transition(
            "stop",
            (RUNNING, PAUSED, HALTED),
            RUNNING,
            "operations.cancel",
            "Stop and undo",
            "told to stop",
            fields=("reason",),
            tone=Tone.BAD,
        ),
        Transition(
            "fail", (RUNNING, PAUSED), UNDOING, "operations.run", "Unwind", "failed, is being undone", internal=True
        ),
        Transition("undo", (UNDOING,), UNDONE, "operations.run", "Undone", "undone", internal=True),
        Transition("stick", (UNDOING,), STUCK, "operations.run", "Stick", "got stuck", internal=True),
        Transition("retry", (STUCK,), UNDOING, "operations.retry", "Try to undo again", "tried again"),
        Transition(
            "settle",
            (STUCK,),
            UNDONE,
            "operations.retry",
            "Settled by hand",
            "settled by hand",
            fields=("reason",),
            step_up=True,
            tone=Tone.WARN,
        ),
    ),
)

DECLARED, LIFTED = "declared", "lifted"
window = Lifecycle(
    name="operations.window",
    states=(
        State(DECLARED, "Declared", Tone.INFO, "It holds from its beginning to its end."),
        State(LIFTED, "Lifted", Tone.MUTED, "Somebody ended it or called it off.", terminal=True),
    ),
    transitions=(
        Transition("declare", (), DECLARED, "operations.declare", "Declare", "declared"),
        Transition(
            "lift", (DECLARED,), LIFTED, "operations.declare", "Lift", "lifted", fields=("reason",), tone=Tone.WARN
        ),
    ),
)

SCHEDULED, SUSPENDED, RETIRED = "scheduled", "suspended", "retired"
schedule = Lifecycle(
    name="operations.schedule",
    states=(
        State(SCHEDULED, "Scheduled", Tone.GOOD, "It asks for its plan at each of its instants."),
        State(SUSPENDED, "Suspended", Tone.WARN, "It asks for nothing until somebody resumes it."),
        State(RETIRED, "Retired", Tone.MUTED, "It has ended for good.", terminal=True),
    ),
    transitions=(
        Transition("schedule", (), SCHEDULED, "operations.schedule", "Schedule", "scheduled"),
        Transition(
            "suspend",
            (SCHEDULED,),
            SUSPENDED,
            "operations.schedule",
            "Suspend",
            "suspended",
            fields=("reason",),
            tone=Tone.WARN,
        ),
        Transition("reactivate", (SUSPENDED,), SCHEDULED, "operations.schedule", "Resume", "resumed"),
        Transition(
            "retire",
            (SCHEDULED, SUSPENDED),
            RETIRED,
            "operations.schedule",
            "Retire",
            "retired",
            fields=("reason",),
            tone=Tone.BAD,
        ),
    ),
)

STEP_PENDING, STEP_RUNNING, STEP_DONE = "pending", "running", "done"
STEP_UNDOING, STEP_UNDONE, STEP_FAILED, STEP_SKIPPED = "undoing", "undone", "failed", "skipped"

# Steps follow their operation and have no verbs of their own: the engine alone writes them.
STEP_STATES = {
    state.value: state
    for state in (
        State(STEP_PENDING, "Pending", Tone.NEUTRAL, "Not begun."),
        State(STEP_RUNNING, "Running", Tone.INFO, "Being carried out, or waiting to be tried again."),
        State(STEP_DONE, "Done", Tone.GOOD, "Carried out, and its effect was seen."),
        State(STEP_UNDOING, "Undoing", Tone.WARN, "Being taken back."),
        State(STEP_UNDONE, "Undone", Tone.MUTED, "Taken back, or nothing had to be."),
        State(STEP_FAILED, "Failed", Tone.BAD, "It did not happen, or taking it back did not."),
        State(STEP_SKIPPED, "Skipped", Tone.MUTED, "Never begun, because the operation ended before."),
    )
}
# The world may hold traces of a step in one of these states.
STEP_BEGUN = (STEP_RUNNING, STEP_DONE, STEP_UNDOING, STEP_FAILED)
