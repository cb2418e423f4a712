"""Whose agreement counts, against every way of giving the places away; and nobody agrees to what they asked for."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from identity.models import RoleBinding
from operations import actions, approvals, engine
from operations.models import Approval, Operation
from portal import clock
from portal.errors import Denied, Refused
from tests import world

ROLES = ["operations_owner", "security_officer", "auditor"]
DIGEST = "d" * 64
ASKER = 0


@dataclass
class Holder:
    """An account as far as counting looks at it."""

    pk: int
    is_active: bool = True
    may_approve: bool = True
    roles: set[str] = field(default_factory=set)

    def has_perm(self, permission: str, obj: object) -> bool:
        return permission == "operations.approve" and self.may_approve


@dataclass
class Vote:
    account: Holder
    person_id: int
    digest: str
    left: timedelta

    @property
    def account_id(self) -> int:
        return self.account.pk

    def current(self, operation: Operation) -> bool:
        return Approval(digest=self.digest, valid_until=clock.now() + self.left).current(operation)


holders = some.builds(
    Holder,
    pk=some.just(0),
    is_active=some.sampled_from([True, True, True, False]),
    may_approve=some.sampled_from([True, True, True, False]),
    roles=some.sets(some.sampled_from(ROLES)),
)
ballots = some.lists(
    some.builds(
        Vote,
        account=holders,
        person_id=some.just(0),
        digest=some.sampled_from([DIGEST, DIGEST, DIGEST, "e" * 64]),
        left=some.sampled_from([timedelta(hours=1), timedelta(hours=1), timedelta(0), -timedelta(hours=1)]),
    ),
    max_size=5,
)
rules = some.lists(
    some.fixed_dictionaries({"role": some.sampled_from(ROLES), "count": some.integers(1, 2)}), max_size=2
)


def counts(vote: Vote) -> bool:
    unspoilt = vote.digest == DIGEST and vote.left > timedelta(0) and vote.person_id != ASKER
    return unspoilt and vote.account.is_active and vote.account.may_approve


def most(wanted: list[str], votes: list[Vote]) -> int:
    """As many places as can be filled, by trying every order in which voters could sit down."""
    able = [vote for vote in votes if counts(vote)] + [None] * len(wanted)
    seatings = itertools.permutations(able, len(wanted))
    fits = [
        sum(vote is not None and role in ("", *vote.account.roles) for role, vote in zip(wanted, seated, strict=True))
        for seated in seatings
    ]
    return max(fits, default=0)


@settings(max_examples=150, deadline=None)
@given(ballots=ballots, rules=rules, anybody=some.integers(0, 1), asked=some.booleans())
def test_as_many_places_are_filled_as_can_be_and_only_by_votes_that_count(ballots, rules, anybody, asked):
    named = sum(rule["count"] for rule in rules)
    for number, vote in enumerate(ballots):  # each person once, as the database keeps it; the first may be who asked
        vote.person_id, vote.account.pk = number + (not asked), number + 1
    operation = Operation(approval_rules=rules, approvals_needed=named + anybody, plan_digest=DIGEST)
    operation.scope = world.Scope(environment="production", service="api")
    operation.requested_by = world.Account(person_id=ASKER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approvals, "roles_on", lambda who, scope: {each.pk: each.roles for each in who})
        filled = approvals.counting(operation, ballots)
        still = approvals.missing(operation, ballots)
    wanted = approvals.places(operation)
    assert len(wanted) == operation.approvals_needed
    assert len(filled) == most(wanted, ballots)
    assert len({vote.person_id for vote in filled.values()}) == len(filled)
    for place, vote in filled.items():
        assert counts(vote) is True
        assert wanted[place] in ("", *vote.account.roles)
    assert still == [approvals.label(role) for place, role in enumerate(wanted) if place not in filled]


# -- with real accounts


pytestmark = pytest.mark.django_db
HERE = ("production", "*")


@pytest.fixture
def cast(db):
    """By name: who asked, their second account, two owners, a security officer who is an owner as well, a viewer."""
    asker = world.account("asker", "operations_owner", HERE)
    return {
        "asker": asker,
        "asker's other": world.account("asker-admin", "operations_owner", HERE, of=asker.person),
        "one": world.account("one", "operations_owner", HERE),
        "two": world.account("two", "operations_owner", HERE),
        "elsewhere": world.account("elsewhere", "operations_owner", ("staging", "*")),
        "viewer": world.account("viewer", "viewer", HERE),
    }


@pytest.mark.parametrize("order", list(itertools.permutations(["asker", "asker's other", "one", "two"]))[::4])
def test_nobody_ever_approves_what_they_asked_for(at, cast, order):
    operation = at("awaiting_approval", by=cast["asker"], approvals=2)
    for name in (*order, "elsewhere", "viewer"):
        try:
            actions.approve(Operation.objects.get(pk=operation.pk), by=cast[name])
        except Refused:
            assert name not in ("one", "two")
    assert sorted(vote.account.username for vote in operation.approvals.all()) == ["one", "two"]
    assert Operation.objects.get(pk=operation.pk).state == "queued"


def test_a_vote_of_whoever_asked_does_not_count_however_it_got_there(at, cast):
    operation = at("awaiting_approval", by=cast["asker"])
    other = cast["asker's other"]
    lasts = clock.now() + timedelta(hours=1)
    vote = {"person": other.person, "account": other, "digest": operation.plan_digest, "valid_until": lasts}
    Approval.objects.create(operation=operation, **vote)
    assert approvals.counting(operation, operation.approvals.all()) == {}
    Operation.objects.filter(pk=operation.pk).update(state="queued", valid_until=None)
    assert engine.advance(operation.pk) is False
    assert Operation.objects.get(pk=operation.pk).failure == "0 of 1 approvals still count."


def test_an_agreement_that_has_expired_may_be_given_anew(at, cast):
    operation = at("awaiting_approval", by=cast["asker"], approvals=2)
    operation = actions.approve(operation, by=cast["one"])
    with pytest.raises(Denied, match="approved it already"):
        actions.approve(operation, by=cast["one"])
    with clock.travel(timedelta(hours=25)):
        operation = Operation.objects.get(pk=operation.pk)
        assert approvals.counting(operation, operation.approvals.all()) == {}
        assert actions.approve(operation, by=cast["one"]).state == "awaiting_approval"
        assert actions.approve(operation, by=cast["two"]).state == "queued"
    assert operation.approvals.count() == 2


def test_one_that_expired_while_it_waited_in_line_calls_it_off(at, cast):
    operation = actions.approve(at("awaiting_approval", by=cast["asker"]), by=cast["one"])
    with clock.travel(timedelta(hours=25)):
        assert engine.advance(operation.pk) is False
    ended = Operation.objects.get(pk=operation.pk)
    assert (ended.state, ended.failure) == ("cancelled", "0 of 1 approvals still count.")


def test_who_lost_the_role_or_the_account_no_longer_counts(at, cast):
    from identity import rights

    operation = at("awaiting_approval", by=cast["asker"], approvals=2)
    for name in ("one", "two"):
        operation = actions.approve(operation, by=cast[name])
    assert operation.state == "queued"
    rights.unbind(RoleBinding.objects.get(account=cast["one"]))
    cast["two"].is_active = False
    cast["two"].save()
    assert approvals.counting(operation, operation.approvals.all()) == {}
