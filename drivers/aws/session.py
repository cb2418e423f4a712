"""One AWS account and region, through boto3: keys, limits, waiting. What every AWS driver shares."""

from __future__ import annotations

import functools
import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from drivers import names
from drivers.acts import Call
from drivers.aws.errors import Missing, asking
from drivers.base import Driver, Observation
from drivers.errors import InvalidInput, TransientError

Keys = dict[str, str]
_ROLE = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}"
_BORROWED = timedelta(hours=1)
_SPARE = timedelta(minutes=15)


CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
_MAKING = threading.Lock()


@functools.cache
def _session() -> Any:
    """One for the process: making one, and reading the service descriptions, costs more than most calls.

    Its clients may be used in any thread; making them may not (boto3's guide, "Multithreading"): hold `_MAKING`.
    """
    import boto3  # loaded where it is used first: it takes a sixth of a second, and few processes talk to AWS

    return boto3.session.Session()


def matching(pattern: str, what: str, value: object) -> str:
    """`value` when all of it matches; `InvalidInput` otherwise."""
    if isinstance(value, str) and re.fullmatch(pattern, value):
        return value
    raise InvalidInput(f"not a valid {what}: {repr(value)[:80]}")


def short_token(token: str) -> str:
    """A step's token as 32 hexadecimal digits, which any AWS identifier may hold."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


class AwsDriver(Driver):
    """Base of the AWS drivers.

    Facts: `region`; `access_key` and `secret_key` as secret references (without them boto3's default chain:
    environment, profile, instance role); `role_arn` to assume; `endpoint_url` for something that only speaks like AWS,
    and `ca`, a file of certificates, when a private authority vouches for it.
    """

    required: ClassVar[tuple[str, ...]] = ("region",)
    simulated: ClassVar[str] = "Tried only against moto, a simulation of AWS."
    service: ClassVar[str] = ""
    wait_seconds: float = 540
    poll_seconds: float = 5

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.region = names.name(self.facts["region"], "region")
        self.endpoint = names.url(self.facts["endpoint_url"]) if "endpoint_url" in self.facts else None
        self.ca = str(names.path(self.facts["ca"])) if "ca" in self.facts else None
        self.role = matching(_ROLE, "role", self.facts["role_arn"]) if "role_arn" in self.facts else None
        if ("access_key" in self.facts) != ("secret_key" in self.facts):
            raise InvalidInput("access_key and secret_key go together")
        self.where = f"{self.service} in {self.region}"
        self._clients: dict[str, Any] = {}
        self._usable_until: datetime | None = None

    def asking(self) -> AbstractContextManager[None]:
        """Failures inside are ours (`drivers.aws.errors`)."""
        return asking(self.where)

    def client(self, service: str) -> Any:
        """A boto3 client of this driver's region and keys, kept as long as borrowed keys stay usable."""
        if self._usable_until is not None and datetime.now(UTC) > self._usable_until:
            self._clients.clear()
        if service not in self._clients:
            with self.asking():
                self._clients[service] = self.connect(service)
        return self._clients[service]

    def connect(self, service: str) -> Any:
        """A new client: nothing is repeated, 2 s to connect, 10 s to answer, no proxy or address from elsewhere."""
        from botocore.config import Config

        limits: dict[str, Any] = {
            "region_name": self.region,
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"total_max_attempts": 1},
            "ignore_configured_endpoint_urls": True,
            "proxies": {},
        }
        given: dict[str, Any] = {"endpoint_url": self.endpoint, "verify": self.ca, "config": Config(**limits)}

        def make(name: str, **keys: str) -> Any:
            with _MAKING:
                return _session().client(name, **given, **keys)

        keys: Keys = {}
        if "access_key" in self.facts:
            keys["aws_access_key_id"] = self.secrets.resolve(self.facts["access_key"]).reveal()
            keys["aws_secret_access_key"] = self.secrets.resolve(self.facts["secret_key"]).reveal()
        if self.role:
            keys = self._borrow(make("sts", **keys))
        return make(service, **keys)

    def _borrow(self, sts: Any) -> Keys:
        """Keys of the role for an hour, the most that a role may lend to a role (STS, AssumeRole)."""
        seconds = int(_BORROWED.total_seconds())
        given = sts.assume_role(RoleArn=self.role, RoleSessionName="edye-portal", DurationSeconds=seconds)[
            "Credentials"
        ]
        self._usable_until = datetime.now(UTC) + _BORROWED - _SPARE
        return {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }

    def observe(self) -> Observation:
        """What `look` sees. A resource that is not there, or a service that does not answer, is a finding."""
        try:
            return self.look()
        except Missing as error:
            return self.seen(False, {"exists": False, "error": str(error)[:500]})
        except TransientError as error:
            return self.down(error)

    def look(self) -> Observation:
        """Read the resource; may raise."""
        raise NotImplementedError

    def wait(self, what: str, ready: Callable[[], bool], call: Call, seconds: float | None = None) -> None:
        """Ask `ready` until it says so; `TransientError` when time is up (it may well become so by itself).

        `what` completes "waiting until …".
        """
        limit = self.wait_seconds if seconds is None else seconds
        deadline = time.monotonic() + limit
        call.log(f"waiting until {what}")
        while not ready():
            if time.monotonic() >= deadline:
                raise TransientError(f"waited {limit:g} seconds until {what}; it goes on, ask again")
            call.check()
            time.sleep(self.poll_seconds)


def tags(given: object) -> dict[str, str]:
    """AWS's list of Key and Value as a dictionary."""
    listed = given if isinstance(given, list) else []
    return {tag["Key"]: tag["Value"] for tag in listed if isinstance(tag, Mapping)}
