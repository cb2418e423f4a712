"""One short-lived client per reading, and one answer to the question which failures mean what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from drivers.errors import PermanentError, TransientError
from drivers.secret import Secret

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0


@contextmanager
def connected(host: str, port: int, password: Secret | None) -> Iterator[redis.Redis]:
    """A client whose failures are ours: wrong credentials are permanent, silence and loading are transient."""
    client = redis.Redis(
        host=host,
        port=port,
        password=password.reveal() if password else None,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=READ_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    where = f"{host}:{port}"
    try:
        yield client
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise PermanentError(f"{where} refuses these credentials: {error}") from None
    except redis.ResponseError as error:
        raise PermanentError(f"{where} refuses the command: {error}") from None
    except (redis.RedisError, OSError) as error:  # refused, timed out, still loading its data
        raise TransientError(f"{where} does not answer: {error}") from None
    finally:
        client.close()
