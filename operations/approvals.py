"""Who has to agree, and whose agreement counts: so many distinct persons for each role, counted when it matters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from identity.queries import role_label, roles_on

if TYPE_CHECKING:
    from operations.models import Approval, Operation

ANYBODY = ""


def places(operation: Operation) -> list[str]:
    """The role of each agreement needed; ``ANYBODY`` where any approver will do."""
    named = [rule["role"] for rule in operation.approval_rules for _ in range(rule["count"])]
    return named + [ANYBODY] * (operation.approvals_needed - len(named))


def counting(operation: Operation, votes: Iterable[Approval]) -> dict[int, Approval]:
    """Which vote fills which place, as many places as can be filled; each person fills one at most.

    A vote counts while it is for these very steps, has not expired, is not of the person who asked, and its account is
    active and still holds ``operations.approve`` and the place's role on the operation's scope.
    """
    asked = operation.requested_by
    fresh = [vote for vote in votes if vote.current(operation) and not (asked and asked.person_id == vote.person_id)]
    valid = [
        vote for vote in fresh if vote.account.is_active and vote.account.has_perm("operations.approve", operation)
    ]
    held = roles_on([vote.account for vote in valid], operation.scope) if valid else {}
    wanted = places(operation)
    filled: dict[int, Approval] = {}

    def place(vote: Approval, tried: set[int]) -> bool:
        """Augmenting path of bipartite matching: a vote may push another one to a place that it fits as well."""
        for number, role in enumerate(wanted):
            if number in tried or not (role == ANYBODY or role in held[vote.account_id]):
                continue
            tried.add(number)
            if number not in filled or place(filled[number], tried):
                filled[number] = vote
                return True
        return False

    for vote in valid:
        place(vote, set())
    return filled


def missing(operation: Operation, votes: Iterable[Approval]) -> list[str]:
    """The roles whose agreement is still missing, as people read them."""
    filled = counting(operation, votes)
    return [label(role) for number, role in enumerate(places(operation)) if number not in filled]


def label(role: str) -> str:
    return role_label(role) if role else "anybody who may approve"
