"""Replacing one allowed file on a host, whole or not at all."""

from __future__ import annotations

import hashlib
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Parameters, Report, Risk
from drivers.errors import PermanentError, TransientError
from drivers.ssh import guard

if TYPE_CHECKING:
    from drivers.ssh.connection import Connection
    from drivers.ssh.host import SshHost

INSTALL = Path(__file__).with_name("install.sh").read_text()
RESTORE = Path(__file__).with_name("restore.sh").read_text()
UPLOAD = 'set -eu; umask 077; set -C; cat >"$1"'
SECONDS = 60.0


class FileParameters(Parameters):
    path: Annotated[
        str,
        Meta(title="File", description="One that the connection lists.", pattern=r"^/[A-Za-z0-9._/+@=,~ -]{1,510}$"),
    ]
    content: Annotated[
        str, Meta(title="New content", min_length=1, max_length=65_536, extra_json_schema={"format": "text"})
    ]


class ReplaceFile(Act["SshHost", FileParameters]):
    """Upload beside the file, prove by digest, keep the former content, rename: all but the upload under the guard."""

    name = "replace-file"
    title = "Replace {path}"
    summary = (
        "The file has the new content at once, never half of it; mode and owner stay. Its former content is kept "
        "beside it. A program that has read the file goes on with the former content until it reads it again."
    )
    risk = Risk.HIGH
    Parameters = FileParameters
    undo_title = "Put the former content back"
    timeout_seconds = 180

    def conditions(self, driver: SshHost, params: FileParameters) -> list[Condition]:
        with driver.connected() as host:
            regular = _state(host, driver.file(params.path)) is not None
        return [Condition("The file is there, and no link", regular)]

    def before(self, driver: SshHost, params: FileParameters) -> Report:
        with driver.connected() as host:
            found = _state(host, driver.file(params.path))
            if found is None:
                raise PermanentError(f"{params.path} is not a regular file")
            return {"run": uuid.uuid4().hex, **found, "sha256": _digest(host, params.path)}

    def sends(self, driver: SshHost, params: FileParameters, before: Mapping[str, Any]) -> list[str]:
        size, digest = len(params.content.encode()), _sha256(params)
        return [
            f"upload {size} bytes with SHA-256 {digest}",
            f"cp -p {params.path} {_kept(params, before)}",
            f"mv -f {_kept(params, before, 'new')} {params.path}",
        ]

    def done(self, driver: SshHost, params: FileParameters, before: Mapping[str, Any]) -> bool:
        with driver.connected() as host:
            return _digest(host, params.path) == _sha256(params)

    def do(self, driver: SshHost, params: FileParameters, before: Mapping[str, Any], call: Call) -> Report:
        path, digest = driver.file(params.path), _sha256(params)
        with driver.connected() as host:
            if _digest(host, path) != digest:
                # a name of this call's own: a caller that was stopped must not go on writing into what is in place
                upload = _kept(params, before, f"{uuid.uuid4().hex[:8]}.new")
                call.check()
                sent = host.run(["sh", "-c", UPLOAD, "upload", upload], seconds=SECONDS, given=params.content.encode())
                if sent.status != 0:
                    raise PermanentError(f"nothing can be written beside {path}: {sent.tail[-300:]}")
                argv = ["sh", "-c", INSTALL, "install", path, upload, _kept(params, before), digest, before["sha256"]]
                self._guarded(driver, host, argv, call, f"{before['run']}-install", path)
                call.log(f"{path} is replaced; the former content is in {_kept(params, before)}")
        return {"sha256": digest, "kept": _kept(params, before)}

    def undo(self, driver: SshHost, params: FileParameters, before: Mapping[str, Any], call: Call) -> Report:
        path = driver.file(params.path)
        argv = ["sh", "-c", RESTORE, "restore", path, _kept(params, before), _sha256(params), before["sha256"]]
        with driver.connected() as host:
            self._guarded(driver, host, argv, call, f"{before['run']}-restore", path)
        return {"sha256": before["sha256"]}

    @staticmethod
    def _guarded(driver: SshHost, host: Connection, argv: list[str], call: Call, run: str, path: str) -> None:
        ended = guard.run(host, driver.fence_dir, argv, call, run=run, mode="always", seconds=SECONDS)
        if ended.status != 0:
            raise PermanentError(f"{path} was left as it is: {ended.output.strip()[-300:]}")


def _sha256(params: FileParameters) -> str:
    return hashlib.sha256(params.content.encode()).hexdigest()


def _kept(params: FileParameters, before: Mapping[str, Any], ending: str = "before") -> str:
    """The name beside the file for what this plan keeps or uploads."""
    path = Path(params.path)
    return str(path.with_name(f".{path.name}.{before['run']}.{ending}"))


def _state(host: Connection, path: str) -> dict[str, Any] | None:
    """Size, mode and owner of a regular file; None when it is something else, or not there."""
    found = host.run(["stat", "-c", "%f %s %U:%G", "--", path])
    parts = found.output.split()
    if found.status != 0:
        return None
    if len(parts) != 3:
        raise TransientError(f"stat gives half an answer for {path}")
    mode = int(parts[0], 16)
    if not stat.S_ISREG(mode):
        return None
    return {"bytes": int(parts[1]), "mode": f"{stat.S_IMODE(mode):04o}", "owner": parts[2]}


def _digest(host: Connection, path: str) -> str:
    """The SHA-256 of a file; `PermanentError` when it cannot be read."""
    found = host.run(["sha256sum", "--", path])
    if found.status != 0:
        raise PermanentError(f"{path} cannot be read: {found.tail[-300:]}")
    return found.output.split()[0].lstrip("\\")
