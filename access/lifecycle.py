"""Temporary access: a request that somebody else decides, and the grant that ends by itself."""

from portal.lifecycle import Lifecycle, State, Tone, Transition

request = Lifecycle(
    "access.request",
    states=(
        State("pending", "Waiting", Tone.WARN, "Nobody has decided yet; it lapses by itself."),
        State("approved", "Approved", Tone.GOOD, "Another person agreed, and a grant was made.", terminal=True),
        State("denied", "Denied", Tone.BAD, "Another person said no.", terminal=True),
        State("cancelled", "Cancelled", Tone.MUTED, "Whoever asked took it back.", terminal=True),
        State("lapsed", "Lapsed", Tone.MUTED, "Nobody decided in time.", terminal=True),
    ),
    transitions=(
        Transition("request", (), "pending", "access.request", "Request access", "asked for access",
                   fields=("scope", "minutes", "reason", "wanted_from")),
        Transition("approve", ("pending",), "approved", "access.approve", "Approve", "approved the access",
                   fields=("minutes", "note"), second_person=True, step_up=True, tone=Tone.GOOD),
        Transition("deny", ("pending",), "denied", "access.deny", "Deny", "denied the access",
                   fields=("note",), second_person=True, tone=Tone.BAD),
        Transition("cancel", ("pending",), "cancelled", "access.cancel", "Cancel request", "took the request back"),
        Transition("lapse", ("pending",), "lapsed", "access.lapse", "Lapse", "let the request lapse", internal=True),
    ),
)  # fmt: skip

grant = Lifecycle(
    "access.grant",
    states=(
        State("scheduled", "Scheduled", Tone.INFO, "Approved; the right begins at the wanted time."),
        State("active", "Active", Tone.GOOD, "The right works until its end, by the clock."),
        State("ended", "Ended", Tone.MUTED, "The right is gone.", terminal=True),
    ),
    transitions=(
        Transition("grant", (), "scheduled", "access.approve", "Grant", "granted the access", internal=True),
        Transition("start", ("scheduled",), "active", "access.start", "Start", "began the access", internal=True),
        Transition("expire", ("scheduled", "active"), "ended", "access.expire", "Expire", "ended the access in time",
                   internal=True),
        Transition("revoke", ("scheduled", "active"), "ended", "access.revoke", "Revoke", "revoked the access",
                   fields=("reason",), tone=Tone.BAD),
        Transition("give_back", ("scheduled", "active"), "ended", "access.give_back", "Give back",
                   "gave the access back"),
    ),
)  # fmt: skip
