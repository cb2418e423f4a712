"""A boto3 client that exists only in memory: the few calls that the drivers use, answered from a dictionary."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError


def refuse(code: str, message: str = "", status: int = 400) -> ClientError:
    """The error that botocore makes of a refusal."""
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Call")


class Client:
    """Calls go to the methods of `service`; what goes in and comes out is copied, as if it had been sent.

    Things that take time in AWS are on their way when they are first looked at, and there at the next look.
    """

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self, service: object) -> None:
        self.service = service

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.service, name)

        def call(**given: Any) -> Any:
            if given.pop("DryRun", False):
                raise refuse("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
            return copy.deepcopy(method(**copy.deepcopy(given)))

        return call

    def get_paginator(self, name: str) -> SimpleNamespace:
        def paginate(**given: Any) -> Iterator[Any]:
            yield getattr(self, name)(**given)

        return SimpleNamespace(paginate=paginate)


class Silent:
    """A service that nobody reaches."""

    exceptions = Client.exceptions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://nowhere.invalid")

        return call

    get_paginator = Client.get_paginator
