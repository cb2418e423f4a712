"""Making a client, and one answer to the question which failures mean what."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from drivers.errors import PermanentError, TransientError
from drivers.secret import Secret

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client

_PASSING = frozenset({"SlowDown", "OperationAborted", "RequestTimeout", "ConditionalRequestConflict"})
"""Codes that a store gives for what is over in a moment, whatever the status."""
_MAKING = threading.Lock()
"""A session is not made for several threads; the clients that it makes are."""


@functools.cache
def _session() -> boto3.session.Session:
    """Kept, because reading the description of S3 costs ten times what a client costs. It is given no keys."""
    import boto3  # loaded where it is used first: it takes a sixth of a second, and few processes talk to a store

    return boto3.session.Session()


def make(endpoint: str, region: str, access: Secret, secret: Secret, authority: Path | None) -> S3Client:
    """A client with limits on connecting (2 s) and waiting (5 s), without repeats and without the environment's proxy.

    `authority` is a file of certificates to trust in place of the system's.
    """
    from botocore.config import Config

    config = Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"total_max_attempts": 1},
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        proxies={},
    )
    with _MAKING:
        return _session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=access.reveal(),
            aws_secret_access_key=secret.reveal(),
            verify=str(authority) if authority else None,
            config=config,
        )


def code(error: ClientError) -> str:
    """The store's own word for it, such as `NoSuchBucket`; for HEAD, which has no body, the status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status(error: ClientError) -> int:
    """The HTTP status, 0 when there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def asked(where: str) -> Iterator[None]:
    """What an act asks of the store `where`: a busy or failing store is transient, a refusal is permanent."""
    try:
        yield
    except ClientError as error:
        said = f"{code(error) or status(error)}: {error.response.get('Error', {}).get('Message', '')}"[:300]
        if status(error) >= 500 and status(error) != 501:
            raise TransientError(f"{where} answers {said}") from None
        if status(error) == 429 or code(error) in _PASSING:
            raise TransientError(f"{where} asks to come back later: {said}") from None
        raise PermanentError(f"{where} refuses: {said}") from None
    except ParamValidationError as error:
        raise PermanentError(f"{where} was not asked: {error}"[:300]) from None
    except (BotoCoreError, OSError) as error:
        raise TransientError(f"{where} does not answer: {error}"[:500]) from None
