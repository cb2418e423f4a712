"""Roles × actions, read from one data file: what seeds roles, the docs page and the tests.

``identity/matrix.yaml`` has four parts: ``roles`` (slug → label, description), ``actions``
(action → label, roles that hold it), ``routes`` (URL or API route name → the action it needs, or one of
``public``, ``signed_in``, ``own``) and ``commands`` (management command → who runs it).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

from portal.errors import Invalid

PUBLIC, SIGNED_IN, OWN = "public", "signed_in", "own"


@functools.cache
def load() -> dict[str, Any]:
    """The whole file, with every action's roles checked against the roles."""
    data: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "matrix.yaml").read_text())
    for action, facts in data["actions"].items():
        unknown = set(facts["roles"]) - set(data["roles"])
        if unknown:
            raise ValueError(f"matrix.yaml: {action} names unknown roles {sorted(unknown)}")
    return data


def actions_of(role: str) -> list[str]:
    """Every action a role holds. Raises ``Invalid`` for a role that is not declared."""
    data = load()
    if role not in data["roles"]:
        raise Invalid(f"There is no role “{role}”. Roles: {', '.join(data['roles'])}.")
    return [action for action, facts in data["actions"].items() if role in facts["roles"]]
