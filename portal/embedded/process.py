"""Starting, recognising and stopping daemons, and the unprivileged account they run under."""

import contextlib
import ctypes
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


def follow_parent(signum: int) -> None:
    """From now on the kernel sends `signum` to this process when its parent is gone, also after kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)


def child(signum: int) -> Callable[[], None]:
    """A `preexec_fn` that makes the child follow its parent and hear signals that the parent ignores."""

    def prepare() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        follow_parent(signum)

    return prepare


def unprivileged() -> pwd.struct_passwd | None:
    """The account for daemons that refuse root; None when the caller is not root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    account: pwd.struct_passwd | None = None,
    env: Mapping[str, str] | None = None,
    stop_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a daemon in its own session, with its output appended to `log`; it ends when this process ends."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [os.fspath(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # the account may not be able to enter the caller's folder
            env=None if env is None else dict(env),
            start_new_session=True,
            preexec_fn=child(stop_signal),
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def allowed(account: pwd.struct_passwd | None, test: str, path: Path) -> bool:
    """Whether the account passes `test <test> <path>`, with every parent folder's mode and ACL taken into account."""
    identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    return subprocess.run(["test", test, path], cwd="/", check=False, **identity).returncode == 0  # type: ignore[call-overload, no-any-return]


def started_at(pid: int) -> int | None:
    """Start time of a live process in clock ticks; with the pid it names one process for good. None when gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def record(folder: Path, name: str, pid: int, stop_signal: int = signal.SIGTERM) -> None:
    """Remember a started process, so that a later run can stop what this one could not."""
    facts = {"pid": pid, "started": started_at(pid), "signal": int(stop_signal)}
    (folder / f"{name}.json").write_text(json.dumps(facts))


def stop(pid: int, stop_signal: int, *, patience: float) -> None:
    """Ask a session leader to end; after `patience` seconds end its whole process group."""
    started = started_at(pid)
    if started is None:
        return
    os.kill(pid, stop_signal)
    deadline = time.monotonic() + patience
    while started_at(pid) == started and time.monotonic() < deadline:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):  # the whole group left in time
        os.killpg(pid, signal.SIGKILL)


def stop_recorded(folder: Path, *, patience: float = 20) -> list[str]:
    """Stop what an earlier run recorded and left behind, servers last; returns their names."""
    stopped = []
    for path in sorted(folder.glob("*.json"), key=lambda path: (path.stem in ("postgres", "valkey"), path.stem)):
        facts = json.loads(path.read_text())
        # A recycled pid has another start time, and belongs to somebody else.
        if facts["started"] is not None and started_at(facts["pid"]) == facts["started"]:
            stop(facts["pid"], facts["signal"], patience=patience)
            stopped.append(path.stem)
        path.unlink()
    return stopped
