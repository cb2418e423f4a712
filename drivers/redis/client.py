"""One short-lived client per reading or act, and one answer to the question which failures mean what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from drivers import names
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.secret import Secret, SecretStore

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0

_PASSES = frozenset({"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOGOODSLAVE", "NOREPLICAS", "OOM", "TRYAGAIN"})
"""Refusals that pass by themselves: a script runs, data is loaded, no replica is fit for now, memory is full."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server listens and how to sign in; `tls` is verified against `ca` or the system's authorities."""

    host: str
    port: int
    user: str | None = None
    password: Secret | None = None
    database: int = 0
    tls: bool = False
    ca: Path | None = None

    @property
    def address(self) -> str:
        """`host:port`, for people."""
        return f"{self.host}:{self.port}"

    def anonymous(self) -> Target:
        """The same place without credentials."""
        return replace(self, user=None, password=None)


def target(host: object, port: object, facts: Mapping[str, Any], secrets: SecretStore) -> Target:
    """The target that connection facts describe: `user`, `password`, `database`, `tls` and `ca` are optional."""
    tls = facts.get("tls", "ca" in facts)
    if not isinstance(tls, bool) or ("ca" in facts and not tls):
        raise InvalidInput("tls must be true or false, and true where a ca is given")
    return Target(
        host=names.host(host),
        port=names.port(port),
        user=names.name(facts["user"], "user") if "user" in facts else None,
        password=secrets.optional(facts.get("password")),
        database=names.whole(facts.get("database", 0), 0, 1023, "database"),
        tls=tls,
        ca=names.path(facts["ca"]) if "ca" in facts else None,
    )


def client_for(target: Target, *, decode: bool = True) -> redis.Redis:
    """A client that connects with its first command, waits a limited time and repeats nothing."""
    if target.ca is not None and not target.ca.is_file():
        raise PermanentError(f"the certificate authority {target.ca} cannot be read")
    return redis.Redis(
        host=target.host,
        port=target.port,
        username=target.user,
        password=target.password.reveal() if target.password else None,
        db=target.database,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=READ_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=decode,
        ssl=target.tls,
        ssl_ca_certs=str(target.ca) if target.ca else None,
    )


@contextmanager
def translated(client: redis.Redis, where: str) -> Iterator[redis.Redis]:
    """The client, closed at the end, whose failures are ours.

    Wrong credentials and refused commands are permanent; silence, loading and what passes by itself is transient.
    """
    try:
        yield client
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise PermanentError(f"{where} refuses these credentials: {error}") from None
    except redis.ResponseError as error:
        text = str(error)
        kind = TransientError if text.partition(" ")[0] in _PASSES else PermanentError
        raise kind(f"{where} refuses the command: {text[:300]}") from None
    except (redis.RedisError, OSError) as error:  # refused, timed out, still loading its data
        raise TransientError(f"{where} does not answer: {error}") from None
    finally:
        client.close()


def told(client: Any, *words: str) -> Any:
    """The answer to a command that the library has no method for."""
    return client.execute_command(*words)
