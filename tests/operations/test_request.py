"""Asking for an operation: what must hold, what is written, and that asking twice is harmless."""

from __future__ import annotations

import pytest
from django.db import transaction

from operations import actions, plan
from operations.models import Operation, Step
from operations.plan import Act, Plan, StepDraft
from portal import events
from portal.errors import Conflict, Denied, Invalid
from portal.models import Event
from tests import world
from tests.operations.counting import KIND, STEPS

pytestmark = pytest.mark.django_db


@pytest.fixture
def component():
    return world.component()


def test_the_steps_are_written_before_anything_happens(counting, component, owner, tmp_path):
    operation = actions.request(KIND, component, by=owner, params={"folder": str(tmp_path)}, reason="why", draft=True)
    written = list(operation.steps.values_list("position", "act", "title", "state", "reversible", "taking_back"))
    assert written == [
        *((n, "count", f"Count {n}", "pending", True, "Takes the count back.") for n in range(1, STEPS + 1)),
        (STEPS + 1, "end", "End", "pending", False, "It does nothing."),
    ]
    assert (operation.state, operation.requested_by, operation.reason) == ("planned", owner, "why")
    assert (operation.scope, operation.target) == (component.scope, component.slug)
    assert str(operation) == f"OP-{operation.number} Count in {component.slug}"
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_has_to_approve_is_queued_at_once(at, owner):
    operation = at("queued", by=owner)
    verbs = Event.objects.filter(operation_id=operation.pk).order_by("seq").values_list("verb", flat=True)
    assert list(verbs) == ["operations.request", "operations.confirm", "operations.queue"]


@pytest.mark.parametrize("role", ["viewer", "auditor", "developer", "ci", None])
def test_the_plans_own_right_is_needed(counting, component, role, tmp_path):
    somebody = world.account("somebody", role, ("production", "*"))
    with pytest.raises(Denied):
        actions.request(KIND, component, by=somebody, params={"folder": str(tmp_path)})
    assert Operation.objects.count() == 0


@pytest.mark.parametrize(
    ("params", "fields"),
    [
        ({}, {"params": ["'folder' is a required property"]}),
        ({"folder": 7}, {"folder": ["7 is not of type 'string'"]}),
        ({"folder": "/x", "more": 1}, {"params": ["Additional properties are not allowed ('more' was unexpected)"]}),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_name(counting, component, owner, params, fields):
    with pytest.raises(Invalid) as refusal:
        actions.request(KIND, component, by=owner, params=params)
    assert refusal.value.fields == fields


def test_parameters_that_look_like_secrets_are_refused(counting, component, owner):
    with pytest.raises(Invalid, match="secret"):
        actions.request(KIND, component, by=owner, params={"folder": "https://user:hunter2@host/"})
    assert Operation.objects.count() == 0


def test_the_same_key_gives_the_same_operation(counting, component, owner, tmp_path):
    how = {"by": owner, "params": {"folder": str(tmp_path)}, "key": "nightly"}
    first = actions.request(KIND, component, **how)
    assert actions.request(KIND, component, **how) == first
    assert (Operation.objects.count(), Step.objects.count()) == (1, STEPS + 1)


def test_a_key_that_belongs_to_something_else_is_a_conflict(counting, component, owner, tmp_path):
    actions.request(KIND, component, by=owner, params={"folder": str(tmp_path)}, key="nightly")
    with pytest.raises(Conflict, match="belongs to OP-"):
        actions.request(KIND, component, by=owner, params={"folder": "/elsewhere"}, key="nightly")


def test_two_requests_with_one_key_at_the_same_time_make_one(counting, component, owner, tmp_path, monkeypatch):
    """The second does not see the first yet, and meets it at the unique key."""
    how = {"by": owner, "params": {"folder": str(tmp_path)}, "key": "nightly"}
    first = actions.request(KIND, component, **how)
    looked = []

    def blind_at_first(**facts):
        looked.append(facts)
        return Operation.objects.none() if len(looked) == 1 else Operation.objects.get_queryset().filter(**facts)

    monkeypatch.setattr(Operation.objects, "filter", blind_at_first)
    assert actions.request(KIND, component, **how) == first


def test_the_cause_is_kept(at, component):
    operation = at("queued", cause=component)
    assert list(Operation.objects.all().of(component)) == [operation]


def test_a_plan_that_looks_at_the_world_is_refused_inside_a_transaction(counting, component, owner, monkeypatch):
    monkeypatch.setattr(type(counting), "observes", True)
    with pytest.raises(RuntimeError, match="not inside a transaction"), transaction.atomic():
        actions.request(KIND, component, by=owner, params={"folder": "/x"})


class Small(Plan):
    kind, title, permission = "tests.small", "Small", "inventory.reload"
    acts = (Act("only", "Only", lambda ctx: {}, None, lambda ctx: True, "It does nothing."),)

    def __init__(self, drafts=(), target="here", mutating=True):
        self.drafts, self.mutating, self._target = drafts, mutating, target

    def target(self, subject):
        return self._target

    def draft(self, subject, params):
        return self.drafts


ONLY = (StepDraft("only", "Only"),)


@pytest.mark.parametrize(
    ("it", "error", "says"),
    [
        (Small(), Conflict, "nothing to do"),
        (Small(ONLY, target=""), ValueError, "does not say what"),
        (Small((StepDraft("only", "Only", {"password": "x"}),)), Invalid, "looks like a secret"),
    ],
)
def test_faulty_plans_write_nothing(component, owner, monkeypatch, it, error, says):
    monkeypatch.setitem(plan.registry, ("tests.small", 1), it)
    with pytest.raises(error, match=says):
        actions.request("tests.small", component, by=owner)
    assert Operation.objects.count() == 0


def test_a_plan_that_changes_nothing_needs_no_target(component, monkeypatch):
    monkeypatch.setitem(plan.registry, ("tests.small", 1), Small(ONLY, target="", mutating=False))
    first, second = (actions.request("tests.small", component, by=events.SYSTEM) for _ in range(2))
    assert (first.target, second.queue) == ("", "default")


def test_only_what_belongs_to_a_scope_can_be_operated_on(counting, component, owner):
    with pytest.raises(Invalid, match="environment and a service"):
        actions.request(KIND, component.service, by=owner, params={"folder": "/x"})


@pytest.mark.parametrize(
    ("acts", "says"),
    [
        ((Small.acts[0], Small.acts[0]), "same name"),
        ((Act("x", "X", lambda c: {}, None, lambda c: True),), "does not say why"),
        ((Act("x", "X", lambda c: {}, lambda c: {}, lambda c: True),), "what undo does"),
        ((Act("x", "X", lambda c: {}, None, lambda c: True, "No.", timeout_seconds=9999),), "at most 600"),
    ],
)
def test_acts_that_could_not_be_approved_are_not_registered(acts, says):
    it = Small()
    it.acts = acts
    with pytest.raises(ValueError, match=says):
        plan.register(it)
    assert ("tests.small", 1) not in plan.registry


def test_a_kind_is_registered_once_per_version(counting):
    with pytest.raises(ValueError, match="twice"):
        plan.register(counting)


def test_unknown_plans_are_named():
    with pytest.raises(plan.UnknownPlan, match=r"no plan tests\.nothing version 0"):
        plan.get("tests.nothing")
