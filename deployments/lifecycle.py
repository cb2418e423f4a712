"""The life of a deployment, declared once."""

from portal.lifecycle import Lifecycle, State, Tone, Transition

WAITING = ("preparing", "awaiting_approval", "queued")
ACTIVE = ("running", "rolling_back", "needs_operator")

deployment = Lifecycle(
    "deployments.deployment",
    states=(
        State("preparing", "Preparing", Tone.INFO, "The steps are being worked out from what really runs."),
        State(
            "awaiting_approval", "Awaiting approval", Tone.WARN, "An operations owner who is not the author decides."
        ),
        State("queued", "Queued", Tone.INFO, "Agreed; it starts when nothing else changes this service here."),
        State("running", "Running", Tone.INFO, "The new version is being brought in, step by step."),
        State("rolling_back", "Rolling back", Tone.WARN, "The old version is getting its traffic back."),
        State("needs_operator", "Needs an operator", Tone.BAD, "Neither forward nor back worked; a person must look."),
        State("succeeded", "Succeeded", Tone.GOOD, "The new version serves everywhere it was meant to.", terminal=True),
        State(
            "rolled_back", "Rolled back", Tone.WARN, "The old version serves; the new one was withdrawn.", terminal=True
        ),
        State("rejected", "Rejected", Tone.MUTED, "An operations owner said no.", terminal=True),
        State("cancelled", "Cancelled", Tone.MUTED, "It was called off before it started.", terminal=True),
        State(
            "superseded", "Superseded", Tone.MUTED, "A newer version took its place before it started.", terminal=True
        ),
    ),
    transitions=(
        Transition(
            "request", (), "preparing", "deployments.request", "Deploy", "asked for the deployment", tone=Tone.INFO
        ),
        Transition(
            "submit",
            ("preparing",),
            "awaiting_approval",
            "deployments.request",
            "Submit",
            "laid out the steps",
            internal=True,
        ),
        Transition(
            "enqueue", ("preparing",), "queued", "deployments.request", "Enqueue", "laid out the steps", internal=True
        ),
        Transition(
            "approve",
            ("awaiting_approval",),
            "queued",
            "deployments.approve",
            "Approve",
            "approved the deployment",
            fields=("note",),
            second_person=True,
            step_up=True,
            tone=Tone.GOOD,
        ),
        Transition(
            "reject",
            ("awaiting_approval",),
            "rejected",
            "deployments.approve",
            "Reject",
            "rejected the deployment",
            fields=("reason",),
            tone=Tone.BAD,
        ),
        Transition(
            "cancel",
            WAITING,
            "cancelled",
            "deployments.cancel",
            "Cancel",
            "called the deployment off",
            fields=("reason",),
            tone=Tone.MUTED,
        ),
        Transition(
            "supersede",
            WAITING,
            "superseded",
            "deployments.request",
            "Supersede",
            "put a newer version in its place",
            internal=True,
        ),
        Transition("start", ("queued",), "running", "deployments.request", "Start", "started", internal=True),
        Transition(
            "withdraw",
            ("running",),
            "rolling_back",
            "deployments.roll_back",
            "Withdraw",
            "withdrew the new version",
            fields=("reason",),
            tone=Tone.BAD,
        ),
        Transition("succeed", ("running",), "succeeded", "deployments.request", "Succeed", "succeeded", internal=True),
        Transition(
            "back_out",
            ("running",),
            "rolling_back",
            "deployments.request",
            "Back out",
            "began to give the old version its traffic back",
            internal=True,
        ),
        Transition(
            "roll_back",
            ("running", "rolling_back"),
            "rolled_back",
            "deployments.request",
            "Roll back",
            "gave the old version its traffic back",
            internal=True,
        ),
        Transition(
            "escalate",
            ("running", "rolling_back"),
            "needs_operator",
            "deployments.request",
            "Escalate",
            "could neither go on nor back",
            internal=True,
        ),
        Transition(
            "settle",
            ("needs_operator",),
            "rolled_back",
            "deployments.roll_back",
            "Settle",
            "saw to it by hand",
            fields=("reason",),
        ),
    ),
)
