"""The life of an incident, from the first sign to the closed ticket."""

from portal.lifecycle import Lifecycle, State, Tone, Transition

BEFORE_MITIGATION = ("detected", "classified", "response_active", "support_handling")
WORKING = (*BEFORE_MITIGATION, "mitigating", "investigating")
RESTORED = ("resolved", "post_mortem", "improving", "closing", "closed")

# What happens to an incident without moving it: the same declaration, without states.
BESIDE = (
    Transition(*("acknowledge", (), "", "incidents.acknowledge", "Acknowledge", "acknowledged it"), fields=("note",)),
    Transition(*("take_command", (), "", "incidents.take_command", "Take command", "took command"), fields=("reason",)),
    Transition(*("escalate", (), "", "incidents.escalate", "Call more people", "called more people")),
    Transition(*("reclassify", (), "", "incidents.classify", "Change the severity", "changed the severity")),
    Transition(*("comment", (), "", "incidents.comment", "Write a note", "wrote a note"), fields=("text",)),
    Transition(*("page", (), "", "incidents.escalate", "Page", "paged"), internal=True),
)
VERBS = {verb.name: verb for verb in BESIDE if not verb.internal}

incident = Lifecycle(
    "incidents.incident",
    states=(
        State("detected", "Detected", Tone.BAD, "Something is wrong; how bad it is has not been decided."),
        State("classified", "Classified", Tone.BAD, "Severity is known; nobody has been given the incident yet."),
        State("response_active", "Response active", Tone.BAD, "Critical: the response team is being called together."),
        State("support_handling", "With support", Tone.WARN, "Not critical: the support team has it."),
        State("mitigating", "Mitigating", Tone.WARN, "Somebody is making it hurt less."),
        State("investigating", "Investigating", Tone.WARN, "The cause is being looked for."),
        State("resolved", "Resolved", Tone.GOOD, "Service is restored; it is being watched for a return."),
        State("post_mortem", "Post-mortem", Tone.INFO, "What happened is being written down and reviewed."),
        State("improving", "Improving", Tone.INFO, "The lessons are being turned into owned work."),
        State("closing", "Closing", Tone.INFO, "Waiting for the last loose ends before it can close."),
        State("closed", "Closed", Tone.MUTED, "Everything about it is finished and on record.", terminal=True),
        State("cancelled", "Cancelled", Tone.MUTED, "It was no incident.", terminal=True),
        State("merged", "Merged", Tone.MUTED, "It is part of another incident.", terminal=True),
    ),
    transitions=(
        Transition(
            *("open", (), "detected", "incidents.open", "Open an incident", "opened it"),
            fields=("title", "environment", "component", "unknown_reason", "summary"),
        ),
        Transition(
            *("classify", ("detected",), "classified", "incidents.classify", "Classify", "classified it"),
            fields=("impact", "urgency", "reason"),
        ),
        Transition(
            *("activate", ("classified", "support_handling"), "response_active"),
            *("incidents.classify", "Activate the response team", "activated the response team"),
            internal=True,
        ),
        Transition(
            *("hand_to_support", ("classified", "response_active"), "support_handling"),
            *("incidents.classify", "Hand to support", "handed it to support"),
            internal=True,
        ),
        Transition(
            *("mitigate", ("response_active", "support_handling"), "mitigating"),
            *("incidents.mitigate", "Start mitigation", "started mitigation"),
            fields=("mitigation",),
        ),
        Transition(
            *("investigate", ("mitigating",), "investigating"),
            *("incidents.investigate", "Start the investigation", "started the investigation"),
            fields=("evidence", "no_mitigation_reason"),
        ),
        Transition(
            *("retry_mitigation", ("investigating",), "mitigating"),
            *("incidents.mitigate", "Try another mitigation", "tried another mitigation"),
            fields=("mitigation",),
        ),
        Transition(
            *("resolve", ("investigating",), "resolved", "incidents.resolve", "Resolve", "resolved it"),
            fields=("diagnosis", "fix", "validation", "follow_up"),
            tone=Tone.GOOD,
        ),
        Transition(
            *("regress", ("resolved",), "mitigating", "incidents.resolve", "It is back", "saw it come back"),
            fields=("reason",),
            tone=Tone.WARN,
        ),
        Transition(
            *("write_post_mortem", ("resolved", "post_mortem"), "post_mortem"),
            *("incidents.write_post_mortem", "Write the post-mortem", "wrote the post-mortem"),
            fields=("summary", "impact", "root_cause", "went_well", "went_poorly", "no_actions_reason"),
        ),
        Transition(
            *("improve", ("post_mortem",), "improving"),
            *("incidents.improve", "Approve the post-mortem", "approved the post-mortem"),
            fields=("note",),
            tone=Tone.GOOD,
        ),
        Transition(
            *("close", ("improving",), "closing", "incidents.close", "Close", "asked to close it"),
            fields=("ticket", "ticket_waiver", "runbooks"),
        ),
        Transition(*("finish", ("closing",), "closed", "incidents.close", "Finish", "closed it"), internal=True),
        Transition(
            *("cancel", WORKING, "cancelled", "incidents.cancel", "Cancel", "cancelled it"),
            fields=("reason",),
            tone=Tone.MUTED,
        ),
        Transition(
            *("merge", WORKING, "merged", "incidents.merge", "Merge", "merged it into another"),
            fields=("into", "reason"),
            tone=Tone.MUTED,
        ),
    ),
    beside=BESIDE,
)
