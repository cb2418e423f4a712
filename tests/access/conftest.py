"""The cast of access: who asks, who decides, who must see nothing."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest

from access import actions
from portal import clock, events
from tests import world

REASON = "Mitigate the failing checkout"


def _people() -> SimpleNamespace:
    here = world.component("production/us-central/api")
    world.component("staging/us-central/api")
    return SimpleNamespace(
        component=here,
        scope=here.scope,
        dev=world.account("dev", "developer", ("production", "*")),
        owner=world.account("owner", "operations_owner", ("production", "*")),
        security=world.account("security", "security_officer"),
        auditor=world.account("auditor", "auditor"),
        stranger=world.account("stranger", "developer", ("staging", "*")),
    )


@pytest.fixture(scope="module")
def _cast(standing) -> SimpleNamespace:
    return standing(_people)


@pytest.fixture
def cast(_cast, db) -> SimpleNamespace:
    return deepcopy(_cast)


@pytest.fixture
def ask(cast):
    def make(**facts):
        values = {"minutes": 60, "reason": REASON, "by": cast.dev, **facts}
        return actions.request_access(cast.scope, **values)

    return make


def decide(request, by, verb=actions.approve, **values):
    """Decide with a second factor shown just now."""
    with events.acting(second_factor_at=clock.now()):
        return verb(request, by=by, **values)


@pytest.fixture
def granted(cast, ask):
    def make(**facts):
        return decide(ask(**facts), cast.owner).grant

    return make
