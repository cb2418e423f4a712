"""A daemon to act on that counts: it does whatever it is told, as often as it is told, and writes down each time.

It is deliberately no help at all: no token is recognised, no fence refused, nothing is idempotent. Whoever tells it
twice has done it twice. ``python -m bench.tally <port> <folder>``; in the folder it finds ``faults.json`` and writes
``journal``, one JSON object a line, in the order in which things happened.

``GET /<thing>/<step>``: how often it was done less how often it was taken back. ``POST`` does it, ``DELETE`` takes it
back. Faults are by ``<thing>/<step>``: ``{"busy": 2}`` refuses twice for now (503), ``{"busy_back": 1}`` the same for
taking back, ``{"lost": 1}`` does it and hangs up without an answer, ``{"refuse": true}`` never does it (422),
``{"refuse_back": true}`` never takes it back (409), ``{"slow": 0.1}`` takes that many seconds on either side of it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Tally:
    """What was done, and the journal of it."""

    def __init__(self, folder: Path) -> None:
        self.faults: dict[str, dict[str, Any]] = json.loads((folder / "faults.json").read_text())
        self.journal = (folder / "journal").open("a", buffering=1)
        self.counts: Counter[str] = Counter()
        self.guard = threading.Lock()

    def used_up(self, name: str, fault: str) -> bool:
        """Whether the fault no longer happens; each time it does it is counted down."""
        with self.guard:
            left = self.faults.get(name, {}).get(fault, 0)
            if left:
                self.faults[name][fault] = left - 1
        return not left

    def tell(self, name: str, verb: str, fence: str, change: int, answer: int) -> None:
        """Change the count and write it down as one."""
        with self.guard:
            self.counts[name] += change
            line = {"at": time.time(), "name": name, "verb": verb, "fence": fence, "change": change, "answer": answer}
            self.journal.write(json.dumps(line) + "\n")


class Handler(BaseHTTPRequestHandler):
    tally: Tally

    def do_GET(self) -> None:
        self._answer(200, self.tally.counts[self.path.strip("/")])

    def do_POST(self) -> None:
        self._change("do", 1, "busy", "refuse", 422)

    def do_DELETE(self) -> None:
        self._change("undo", -1, "busy_back", "refuse_back", 409)

    def _change(self, verb: str, change: int, busy: str, refuse: str, refused: int) -> None:
        name, tally = self.path.strip("/"), self.tally
        faults = tally.faults.get(name, {})
        fence = self.headers.get("X-Fence", "")
        if faults.get(refuse):
            tally.tell(name, verb, fence, 0, refused)
            return self._answer(refused, 0)
        if not tally.used_up(name, busy):
            tally.tell(name, verb, fence, 0, 503)
            return self._answer(503, 0)
        time.sleep(faults.get("slow", 0))
        if verb == "do" and not tally.used_up(name, "lost"):
            tally.tell(name, verb, fence, change, 0)
            self.close_connection = True
            return None
        tally.tell(name, verb, fence, change, 200)
        time.sleep(faults.get("slow", 0))
        return self._answer(200, tally.counts[name])

    def _answer(self, status: int, count: int) -> None:
        body = json.dumps({"count": count}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: Any) -> None:
        """The journal says it."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A caller that was killed does not read its answer."""


if __name__ == "__main__":
    Handler.tally = Tally(Path(sys.argv[2]))
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
