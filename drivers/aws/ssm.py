"""Running something on an instance through SSM Run Command, without a shell on our side and without free text.

What may be run is a list of documents that the connection names. Values travel as document parameters, each checked
against the pattern of its template: what a document does with them is written in the document, in AWS, under review.
Source: the AWS Systems Manager API reference (SendCommand, ListCommands, GetCommandInvocation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from drivers.acts import Call
from drivers.aws.errors import code
from drivers.aws.session import AwsDriver, matching
from drivers.commands import Finished
from drivers.errors import InvalidInput, PermanentError

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

SHELLS = ("AWS-RunShellScript", "AWS-RunPowerShellScript", "AWS-RunRemoteScript")
_RUNNING = ("Pending", "InProgress", "Delayed", "Cancelling")
_INSTANCE = r"(i|mi)-[0-9a-f]{8,17}"


@dataclass(frozen=True, slots=True)
class Template:
    """One document that may be run: `parameters` gives for each parameter the pattern of all of its value."""

    document: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        matching(r"[A-Za-z0-9_.-]{3,128}", "SSM document", self.document)
        if self.document in SHELLS:
            raise InvalidInput(f"{self.document} runs any text as a script; write a document for what is needed")

    def filled(self, given: Mapping[str, str]) -> dict[str, list[str]]:
        """The parameters the way SSM takes them; `InvalidInput` for one too many, one too few, or a wrong value."""
        if set(given) != set(self.parameters):
            raise InvalidInput(f"{self.document} takes exactly: {', '.join(self.parameters) or 'nothing'}")
        for name, value in given.items():
            # The agent puts values into the document's text: {{ }} would be read as a parameter there.
            if not value.isprintable() or "{{" in value or not re.fullmatch(self.parameters[name], value):
                raise InvalidInput(f"not a valid {name} for {self.document}: {repr(value)[:80]}")
        return {name: [value] for name, value in given.items()}


class RunCommand:
    """A transport like `drivers.commands.run`, to an instance, for templates only."""

    def __init__(self, aws: AwsDriver, templates: Mapping[str, Template]) -> None:
        self.aws = aws
        self.templates = dict(templates)

    @property
    def api(self) -> SSMClient:
        return cast("SSMClient", self.aws.client("ssm"))

    def run(
        self, instance_id: str, template: str, given: Mapping[str, str], call: Call, seconds: int = 300
    ) -> Finished:
        """Run a template on an instance and wait for it.

        Once for one token: SendCommand has no idempotency key, so the token is its comment and is looked for first.
        `TransientError` when it has not ended in time, `PermanentError` when it was never delivered or cancelled. The
        exit status is the caller's to judge.
        """
        matching(_INSTANCE, "instance", instance_id)
        if template not in self.templates:
            raise InvalidInput(f"not an allowed command: {repr(template)[:80]}")
        parameters = self.templates[template].filled(given)
        document = self.templates[template].document
        command = self._sent(instance_id, document, call.token)
        if not command:
            with self.aws.asking():
                call.check()
                command = self.api.send_command(
                    InstanceIds=[instance_id],
                    DocumentName=document,
                    Parameters=parameters,
                    TimeoutSeconds=max(30, seconds),
                    Comment=call.token[:100],
                )["Command"]["CommandId"]
        ended: list[Finished] = []
        self.aws.wait(f"{document} has ended on {instance_id}", self._end(command, instance_id, ended), call, seconds)
        return ended[0]

    def _sent(self, instance_id: str, document: str, token: str) -> str:
        """The id of the command that carries this token, on the last pages of this instance; empty when none does."""
        with self.aws.asking():
            for page in self.api.get_paginator("list_commands").paginate(InstanceId=instance_id):
                for one in page["Commands"]:
                    if (one.get("Comment"), one.get("DocumentName")) == (token[:100], document):
                        return one["CommandId"]
        return ""

    def _end(self, command: str, instance_id: str, ended: list[Finished]) -> Callable[[], bool]:
        def look() -> bool:
            with self.aws.asking():
                try:
                    found = self.api.get_command_invocation(CommandId=command, InstanceId=instance_id)
                except self.api.exceptions.ClientError as error:
                    if code(error) == "InvocationDoesNotExist":  # it takes a moment to be known
                        return False
                    raise
                status = str(found["Status"])
                if status in _RUNNING:
                    return False
                if status not in ("Success", "Failed"):
                    raise PermanentError(f"the command was not carried out: {status}")
                output, errors = found["StandardOutputContent"], found["StandardErrorContent"]
                ended.append(Finished(int(found["ResponseCode"]), output, errors))
            return True

        return look
