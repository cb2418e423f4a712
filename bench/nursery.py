"""Where the measured workers come from: a process that has loaded the portal and forks a worker whenever it is told.

Every worker is a real Celery worker in a process group of its own; only the seconds of importing are saved, which a
small machine would spend on nothing else when one is killed every two seconds. ``python -m bench.nursery`` reads one
JSON object a line (``log``, ``argv``) and answers each with the new process's number.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys

from bench.worker import app
from portal.embedded.process import follow_parent


def become(log: str, argv: list[str]) -> None:
    """The rest of this process's life is that of a worker."""
    os.setsid()
    follow_parent(signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    nothing, said = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for to, number in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(to, number)
    app.start(argv)


def main() -> None:
    follow_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                become(told["log"], told["argv"])
            finally:
                os._exit(1)
        print(child, flush=True)


if __name__ == "__main__":
    main()
