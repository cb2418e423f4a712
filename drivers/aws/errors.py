"""What a failure of an AWS call means.

Codes are those of the "Common Errors" page and of each service's API reference (docs.aws.amazon.com).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
    SSLError,
)

from drivers.errors import DriverError, PermanentError, TransientError

AGAIN = frozenset(
    (
        *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestLimitExceeded"),
        *("RequestThrottledException", "TooManyRequestsException", "PriorRequestNotComplete", "SlowDown"),
        *("RequestTimeout", "RequestTimeoutException", "ServiceUnavailable", "InternalError", "InternalFailure"),
        # the thing is busy with something that ends
        *("IncorrectInstanceState", "InvalidDBInstanceState", "InvalidDBClusterStateFault"),
        *("ScalingActivityInProgress", "ResourceContention", "ResourceInUse", "TooManyInvalidationsInProgress"),
        *("AWS.SimpleQueueService.PurgeQueueInProgress", "PurgeQueueInProgress"),
        # borrowed keys are borrowed anew by the next driver
        *("ExpiredToken", "ExpiredTokenException"),
    )
)
"""Codes that may be different in a moment, whatever the HTTP status is."""

MISSING = frozenset(
    (
        *("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed", "TargetGroupNotFound", "RuleNotFound"),
        *("DBInstanceNotFound", "DBInstanceNotFoundFault", "DBSnapshotNotFound", "DBSnapshotNotFoundFault"),
        *("DBClusterNotFoundFault", "NoSuchDistribution", "NoSuchHostedZone", "ResourceNotFoundException"),
        *("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    )
)

KEYS = frozenset(
    (
        *("AccessDenied", "AccessDeniedException", "AuthFailure", "AuthorizationError", "UnauthorizedOperation"),
        *("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "OptInRequired"),
        *("IncompleteSignature", "MissingAuthenticationToken", "InvalidAccessKeyId", "RequestExpired"),
    )
)
"""Refused credentials. Their messages repeat parts of the signed request, so they are never passed on."""


class Missing(PermanentError):
    """The resource that the connection names is not there."""


def code(error: ClientError) -> str:
    """The error code of an answer, such as `Throttling`; empty when it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def refused(where: str, error: ClientError) -> DriverError:
    """The error to raise for an answer that is a refusal."""
    found = code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    message = str(error.response.get("Error", {}).get("Message", ""))[:300]
    if found in AGAIN or status in (429, *range(500, 600)):
        return TransientError(f"{where} asks to come back later: {found or status}")
    if found in MISSING:
        return Missing(f"{where} does not know it: {message or found}")
    if found in KEYS or status in (401, 403):
        return PermanentError(f"{where} refuses these credentials: {found or status}")
    return PermanentError(f"{where} refuses the request: {found or status} {message}".rstrip())


def _unreadable() -> type[Exception]:
    """What botocore raises for half an answer. Its parsers are loaded with boto3, see ``drivers.aws.session``."""
    from botocore.parsers import ResponseParserError

    return ResponseParserError


@contextmanager
def asking(where: str) -> Iterator[None]:
    """Turn what botocore raises, and an answer that lacks what it must hold, into the drivers' own errors."""
    try:
        yield
    except ClientError as error:
        raise refused(where, error) from None
    except SSLError as error:
        # a certificate that is not trusted stays so; a broken handshake may not
        wrong = "CERTIFICATE_VERIFY_FAILED" in str(error)
        kind = PermanentError if wrong else TransientError
        raise kind(f"{where} has no usable certificate: {str(error)[:200]}") from None
    except (ConnectionError, HTTPClientError, CredentialRetrievalError, MetadataRetrievalError) as error:
        raise TransientError(f"{where} does not answer: {str(error)[:200]}") from None
    except (_unreadable(), KeyError, IndexError) as error:
        raise TransientError(f"{where} gave half an answer: {type(error).__name__}") from None
    except BotoCoreError as error:  # no credentials, a parameter that the service does not take
        raise PermanentError(f"{where} cannot be asked: {str(error)[:300]}") from None
