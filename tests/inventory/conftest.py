"""Who writes the inventory."""

from __future__ import annotations

from copy import deepcopy

import pytest

from identity.models import Account
from tests import world


def _make() -> Account:
    world.component("production/us-central/api")
    return world.account("owner", "operations_owner")


@pytest.fixture(scope="module")
def _owner(standing) -> Account:
    return standing(_make)


@pytest.fixture
def owner(_owner, db) -> Account:
    """May write everywhere; one component is there, production/us-central/api."""
    return deepcopy(_owner)
