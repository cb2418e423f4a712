"""Where the real things are: the connections file, and the drivers made from it.

    {"version": 1, "connections": {"production/us-central/cache": {"driver": "redis", "host": "127.0.0.1", …}}}

A key is `environment/data-center/thing`. Values hold facts and secret *references* (`drivers.secret`), never secrets,
so the file may be shown and backed up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.base import Driver
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.registry import KINDS, driver_class
from drivers.secret import FORMS, SecretStore, is_reference

_MAX_BYTES = 4 * 1024 * 1024
_SECRET_FACTS = ("password", "access_key", "secret_key", "token", "key", "replication_password", "rebuild_password")


class Connections:
    """The connections of one file, by key."""

    def __init__(self, connections: Mapping[str, Mapping[str, Any]], secrets: SecretStore | None = None) -> None:
        self._facts = {key: dict(facts) for key, facts in connections.items()}
        self.secrets = secrets or SecretStore()

    def __contains__(self, key: object) -> bool:
        return key in self._facts

    def keys(self) -> list[str]:
        """All keys, sorted."""
        return sorted(self._facts)

    def get(self, key: str) -> dict[str, Any]:
        """The facts of `key` (a copy); `PermanentError` when there are none."""
        if key not in self._facts:
            raise PermanentError(f"no connection is known as {key!r}"[:200])
        return dict(self._facts[key])

    def driver(self, key: str) -> Driver:
        """The driver of `key`, with the drivers of the connections it refers to (an app's pm2 and nginx)."""
        return self._driver(key, optional=True)

    def _driver(self, key: str, *, optional: bool) -> Driver:
        facts = self.get(key)
        if facts.get("driver") not in KINDS:
            raise PermanentError(f"connection {key} names an unknown driver")
        kind = driver_class(facts["driver"])
        wanted = {reference: reference for reference in kind.references}
        if optional:
            wanted |= {name: other for name, other in kind.optional_references.items() if name in facts}
        # A relative comes without its own optional ones: two replicas may name each other.
        related = {name: self._relative(key, name, facts.get(name), other) for name, other in wanted.items()}
        return kind(facts, self.secrets, related)

    def _relative(self, key: str, name: str, target: object, kind: str) -> Driver:
        if not isinstance(target, str) or self.get(target).get("driver") != kind:
            raise InvalidInput(f"connection {key} needs the key of a {kind} connection as {name!r}")
        return self._driver(target, optional=False)


def load(path: Path | str) -> Connections:
    """Read and check a connections file.

    `TransientError` when the file is not there (it is written by whatever starts the servers, perhaps a moment later),
    `InvalidInput` when it is not what it should be, or when a secret's value stands where a reference must.
    """
    try:
        with Path(path).open("rb") as handle:
            text = handle.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise TransientError(f"there is no connections file at {path}") from None
    except OSError as error:
        raise PermanentError(f"the connections file cannot be read: {error.strerror}") from None
    if len(text) > _MAX_BYTES:
        raise InvalidInput("the connections file is too large")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"the connections file is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("version") != 1:
        raise InvalidInput('the connections file must be an object with "version": 1')
    connections = content.get("connections")
    if not isinstance(connections, dict):
        raise InvalidInput('the connections file needs an object "connections"')
    for key, facts in connections.items():
        _check(key, facts)
    return Connections(connections)


def _check(key: str, facts: object) -> None:
    if not isinstance(facts, dict) or not isinstance(facts.get("driver"), str):
        raise InvalidInput(f"connection {key} must be an object with a driver")
    for name in _SECRET_FACTS:
        value = facts.get(name)
        if value is not None and not is_reference(value):
            raise InvalidInput(f"connection {key}: {name} must be one of {FORMS}, never the value")
