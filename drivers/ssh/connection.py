"""One SSH connection: the host's key is always checked, every wait has its limit, and failures are told apart.

Nothing of the account's own SSH configuration, agent or known hosts takes part.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import asyncssh

from drivers.commands import Finished
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.secret import Secret

CONNECT_SECONDS = 5.0
LOGIN_SECONDS = 10.0
MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to connect to, as whom, and by which keys it is recognised: its own, or an authority's that signed one.

    `name` is the one to look for in a host certificate.
    """

    host: str
    port: int
    user: str
    key: Secret
    certificate: Secret | None
    host_keys: tuple[str, ...]
    host_authorities: tuple[str, ...]
    name: str


class Connection:
    """An open connection. A command is given as a list and quoted word by word: in SSH it travels as one line."""

    def __init__(self, link: asyncssh.SSHClientConnection, runner: asyncio.Runner, where: str) -> None:
        self._link = link
        self._runner = runner
        self._where = where

    def run(self, argv: Sequence[str], *, seconds: float = 15.0, given: bytes = b"") -> Finished:
        """Run a command with `given` as its input.

        `TransientError` when it has not ended within `seconds` (it may go on), or when the connection ends before it.
        """
        command = shlex.join(argv)
        if "\0" in command:
            raise InvalidInput("a command holds a NUL character")
        with _failures(self._where):
            return self._runner.run(_run(self._link, command, given, seconds, self._where))


@contextmanager
def connected(target: Target) -> Iterator[Connection]:
    """A connection for the time of the block.

    `TransientError` when the host does not answer; `PermanentError` when it has another key than it should, or refuses
    this key.
    """
    where = f"{target.user}@{target.host}:{target.port}"
    options = _options(target)
    with asyncio.Runner() as runner:
        with _failures(where):
            link = runner.run(_connect(target, options))
        try:
            yield Connection(link, runner, where)
        finally:
            runner.run(_close(link))


def public_key(text: object) -> str:
    """A public key in OpenSSH's form, checked; `InvalidInput` when it is none."""
    try:
        return asyncssh.import_public_key(str(text)).export_public_key().decode().strip()
    except (asyncssh.KeyImportError, ValueError):
        raise InvalidInput("a host key must be a public key such as ssh-ed25519 AAAA…") from None


def _options(target: Target) -> asyncssh.SSHClientConnectionOptions:
    try:
        key = asyncssh.import_private_key(target.key.reveal())
        pair = (key, asyncssh.import_certificate(target.certificate.reveal())) if target.certificate else key
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        raise PermanentError("the private key or its certificate cannot be read") from None
    trusted = [asyncssh.import_public_key(text) for text in target.host_keys]
    authorities = [asyncssh.import_public_key(text) for text in target.host_authorities]
    try:
        return asyncssh.SSHClientConnectionOptions(
            username=target.user,
            client_keys=[pair],
            known_hosts=(trusted, authorities, []),
            host_key_alias=target.name,
            config=None,
            agent_path=None,
            preferred_auth=("publickey",),
            disable_trivial_auth=True,
            gss_host=None,
            x509_trusted_certs=None,
            compression_algs=None,
            connect_timeout=CONNECT_SECONDS,
            login_timeout=LOGIN_SECONDS,
            keepalive_interval=5,
        )
    except ValueError as error:
        raise PermanentError(f"the private key or its certificate cannot be used: {error}") from None


async def _connect(target: Target, options: asyncssh.SSHClientConnectionOptions) -> asyncssh.SSHClientConnection:
    async with asyncio.timeout(CONNECT_SECONDS + LOGIN_SECONDS):
        return await asyncssh.connect(target.host, target.port, options=options)


async def _close(link: asyncssh.SSHClientConnection) -> None:
    link.close()
    with suppress(TimeoutError, OSError, asyncssh.Error):
        async with asyncio.timeout(2):
            await link.wait_closed()
            return
    link.abort()


async def _run(link: asyncssh.SSHClientConnection, command: str, given: bytes, seconds: float, where: str) -> Finished:
    try:
        async with asyncio.timeout(seconds), link.create_process(command, encoding=None) as process:
            with suppress(BrokenPipeError):  # it may have ended without reading anything
                process.stdin.write(given)
                process.stdin.write_eof()
            output, error = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
            await process.wait_closed()
    except TimeoutError:
        raise TransientError(f"a command on {where} did not end within {seconds:g} seconds") from None
    if process.exit_status is None:
        raise TransientError(f"the connection to {where} ended before the command did")
    return Finished(process.exit_status, output.decode(errors="replace"), error.decode(errors="replace"))


async def _bounded(stream: asyncssh.SSHReader[bytes]) -> bytes:
    said = bytearray()
    while chunk := await stream.read(65536):
        said += chunk
        if len(said) > MAX_BYTES:
            raise PermanentError(f"a command says more than {MAX_BYTES} bytes")
    return bytes(said)


@contextmanager
def _failures(where: str) -> Iterator[None]:
    try:
        yield
    except asyncssh.HostKeyNotVerifiable as error:
        raise PermanentError(f"{where} is not the host that it should be: {error.reason}") from None
    except asyncssh.PermissionDenied:
        raise PermanentError(f"{where} refuses this key or certificate") from None
    except (asyncssh.KeyExchangeFailed, asyncssh.ProtocolNotSupported) as error:
        raise PermanentError(f"{where} speaks another SSH: {error.reason}") from None
    except TimeoutError:
        raise TransientError(f"{where} does not answer in time") from None
    except (asyncssh.Error, OSError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise TransientError(f"{where} does not answer: {reason}") from None
