"""The host beneath a pool: its files, its programs and its processes. What a simulation stands in for."""

from __future__ import annotations

import glob
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from drivers import commands
from drivers.commands import Finished
from drivers.errors import PermanentError, TransientError
from drivers.locks import Ledger, exclusive
from drivers.php_fpm import fastcgi
from drivers.php_fpm.fastcgi import Answer

PROGRAM_SECONDS = 15.0
Address = str | tuple[str, int]


class Machine:
    """This host."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def pause(self) -> None:
        """A moment between two looks."""
        time.sleep(0.05)

    def ask(self, address: Address, params: Mapping[str, str], seconds: float) -> Answer:
        """One FastCGI request."""
        return fastcgi.ask(address, params, seconds=seconds)

    def read(self, path: Path) -> str:
        """A file's text; `PermanentError` when it cannot be read."""
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise PermanentError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None

    def changed_at(self, path: Path) -> float:
        """When a file was last written, in seconds since 1970."""
        try:
            return path.stat().st_mtime
        except OSError as error:
            raise PermanentError(f"{path} cannot be read: {error.strerror}") from None

    def matching(self, pattern: str) -> list[str]:
        """The paths that a shell pattern stands for, in order."""
        return sorted(glob.glob(pattern))

    def replace(self, path: Path, text: str) -> None:
        """Write a file so that nobody sees half of it; mode and owner stay."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            kept = path.stat()
            with temporary.open("w") as handle:
                os.fchmod(handle.fileno(), kept.st_mode)
                os.fchown(handle.fileno(), kept.st_uid, kept.st_gid)
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise PermanentError(f"{path} cannot be written: {error.strerror}") from None

    @contextmanager
    def staged(self, folder: Path, texts: Mapping[str, str]) -> Iterator[Path]:
        """A folder below `folder` with these files, for the time of the block."""
        try:
            with tempfile.TemporaryDirectory(dir=folder, prefix="staged-") as made:
                for name, text in texts.items():
                    (Path(made) / name).write_text(text)
                yield Path(made)
        except OSError as error:
            raise PermanentError(f"nothing can be written in {folder}: {error.strerror}") from None

    def run(self, argv: Sequence[str]) -> Finished:
        """A program of PHP-FPM that only checks."""
        return commands.run(argv, seconds=PROGRAM_SECONDS, env={})

    def master(self, pid_file: Path) -> int:
        """The pid of the master; `TransientError` when it does not run."""
        try:
            pid = int(pid_file.read_text())
            words = psutil.Process(pid).cmdline()
        except (OSError, ValueError, psutil.Error):
            raise TransientError(f"PHP-FPM does not run: {pid_file} leads to no process") from None
        # its title is "php-fpm: master process (…)"; a pid that was left behind may be anybody's by now
        if not words or "php-fpm" not in words[0]:
            raise TransientError(f"PHP-FPM does not run: process {pid} is another program")
        return pid

    def workers(self, master: int, pool: str) -> list[str]:
        """The pool's workers, each as `pid@start`, so that a pid that is used again is another worker."""
        found = []
        try:
            for child in psutil.Process(master).children():
                with child.oneshot():
                    if child.cmdline()[:1] == [f"php-fpm: pool {pool}"] and child.status() != psutil.STATUS_ZOMBIE:
                        found.append(f"{child.pid}@{child.create_time():.2f}")
        except psutil.AccessDenied:
            raise PermanentError("the processes of PHP-FPM cannot be seen from this account") from None
        except psutil.NoSuchProcess:
            return self.workers(master, pool) if psutil.pid_exists(master) else []
        return sorted(found)

    def reload(self, master: int) -> None:
        """Tell the master to start itself afresh (SIGUSR2)."""
        try:
            os.kill(master, signal.SIGUSR2)
        except ProcessLookupError:
            raise TransientError("PHP-FPM has just ended") from None
        except PermissionError:
            raise PermanentError("PHP-FPM may not be signalled from this account") from None

    @contextmanager
    def alone(self, folder: Path, fence: int | None) -> Iterator[None]:
        """Be the only actor at this pool, and none that has been overtaken (`drivers.locks`)."""
        with exclusive(folder / "lock"):
            Ledger(folder / "fences.json").raise_fence(["php-fpm"], fence)
            yield
