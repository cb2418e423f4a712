"""Secrets in AWS Secrets Manager, read with the credentials and region that boto3 finds on this machine.

The caller needs `secretsmanager:GetSecretValue` (and `kms:Decrypt` for a key of one's own). Source:
docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from drivers.errors import InvalidInput, PermanentError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_UNUSABLE = (
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def read(place: str) -> str:
    """The current version of the secret `<name or ARN>`, or one field of it when it is JSON and `#<field>` is given."""
    name, _, field = place.partition("#")
    try:
        answer = _client(_region(name)).get_secret_value(SecretId=name)
    except ClientError as error:
        raise _refused(error, name) from None
    except _UNUSABLE as error:
        raise PermanentError(f"AWS Secrets Manager cannot be asked: {error}"[:500]) from None
    except BotoCoreError as error:
        raise TransientError(f"AWS Secrets Manager does not answer: {error}"[:500]) from None
    value = answer.get("SecretString")
    if value is None:
        raise PermanentError(f"the secret {name} in AWS Secrets Manager is not text")
    return _field(value, field, name) if field else value


def _field(text: str, field: str, name: str) -> str:
    try:
        value = json.loads(text).get(field)
    except (ValueError, AttributeError):
        raise PermanentError(f"the secret {name} in AWS Secrets Manager is not a JSON object") from None
    if not isinstance(value, str):
        raise PermanentError(f"the secret {name} in AWS Secrets Manager has no text field {field}")
    return value


def _region(name: str) -> str | None:
    """The region of an ARN; None for a name, which is looked up in the region of this machine."""
    parts = name.split(":")
    return parts[3] if name.startswith("arn:") and len(parts) > 5 else None


@functools.cache
def _client(region: str | None) -> SecretsManagerClient:
    """Kept: making one costs a tenth of a second. It renews expiring credentials by itself."""
    import boto3  # loaded where it is used first: it takes a sixth of a second
    from botocore.config import Config

    client = boto3.session.Session().client(
        "secretsmanager",
        region_name=region,
        config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    address = urlsplit(client.meta.endpoint_url)
    if address.scheme != "https" and address.hostname not in _LOOPBACK:
        raise InvalidInput("the address of AWS Secrets Manager must be https, except on this machine")
    return client


def _refused(error: ClientError, name: str) -> PermanentError | TransientError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "ResourceNotFoundException":
        return PermanentError(f"there is no secret {name} in AWS Secrets Manager")
    if status >= 500 or status == 429 or "Throttl" in code:
        return TransientError(f"AWS Secrets Manager answers {code or status}")
    return PermanentError(f"AWS Secrets Manager refuses to give {name}: {code or status}")
