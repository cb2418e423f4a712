"""The PHP-FPM driver on a real master with a pool, an opcache and scripts."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.php_fpm import PhpFpm, driver, fastcgi, pool_file
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract, World, call
from tests.drivers.daemons import free_port, running, until
from tests.drivers.simulated.php_fpm import EXAMPLES, PhpFpmWorld
from tests.need import need

POOL = """; the pool of the test
[www]
{account}listen = 127.0.0.1:{port}
pm = dynamic
pm.max_children = 5 ; sized for 2 GB
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
pm.status_path = /status
ping.path = /ping
"""
MAIN = """[global]
pid = {folder}/fpm.pid
error_log = {folder}/error.log
daemonize = no
process_control_timeout = 10s
include = {folder}/pool.d/*.conf
"""
SCRIPTS = {
    "status.php": "<?php echo json_encode(opcache_get_status(false));",
    "reset.php": "<?php echo json_encode(['reset' => opcache_reset()]);",
    "slow.php": "<?php usleep(20000); echo json_encode(['pid' => getmypid()]);",
    "words.php": "<?php echo 'no json';",
    "broken.php": "<?php http_response_code(503);",
}
RELOAD, SET, RESET = PhpFpm.acts


@contextmanager
def serving(ground):
    need(daemons.PHP_FPM, package="php8.2-fpm")
    port = free_port()
    folder = ground / f"fpm-{port}"
    for name in ("pool.d", "state", "scripts"):
        (folder / name).mkdir(parents=True)
    account = "user = nobody\ngroup = nogroup\n" if os.geteuid() == 0 else ""
    (folder / "pool.d" / "www.conf").write_text(POOL.format(port=port, account=account))
    (folder / "main.conf").write_text(MAIN.format(folder=folder))
    for name, text in SCRIPTS.items():
        (folder / "scripts" / name).write_text(text)
    arguments = ["-n", "-d", "zend_extension=opcache"]
    facts = {
        "host": "127.0.0.1",
        "port": port,
        "pool": "www",
        "pool_file": f"{folder}/pool.d/www.conf",
        "config": f"{folder}/main.conf",
        "pid_file": f"{folder}/fpm.pid",
        "program": daemons.PHP_FPM,
        "arguments": arguments,
        "state": f"{folder}/state",
        "opcache_script": f"{folder}/scripts/status.php",
        "reset_script": f"{folder}/scripts/reset.php",
    }
    argv = [daemons.PHP_FPM, *arguments, "-y", f"{folder}/main.conf", "-F"]
    with running(argv, folder / "out"):
        until(lambda: PhpFpm(facts, SecretStore()).observe().healthy)
        yield facts


@pytest.fixture(scope="module")
def facts(ground):
    with serving(ground) as made:
        yield made


@pytest.fixture
def fpm(facts):
    return PhpFpm(facts, SecretStore())


class RealWorld(World):
    driver_class = PhpFpm
    examples = EXAMPLES

    def __init__(self, facts):
        self.facts = facts
        self.counted = False

    def driver(self):
        return PhpFpm(self.facts, SecretStore())

    def unreachable(self):
        return PhpFpm({**self.facts, "port": free_port(), "pid_file": "/nowhere/fpm.pid"}, SecretStore())

    def picture(self):
        path = Path(self.facts["pool_file"])
        file = (path.read_text(), path.stat().st_mode, sorted(os.listdir(path.parent)))
        return file, (pids(self.facts) if self.counted else None)

    def prepare(self, act):
        self.counted = act.name == "reload"


def pids(facts):
    master = psutil.Process(int(Path(facts["pid_file"]).read_text()))
    return sorted(child.pid for child in master.children())


@contextmanager
def real(request):
    yield RealWorld(request.getfixturevalue("facts"))


@contextmanager
def simulated(request):
    yield PhpFpmWorld()


class TestPhpFpm(Contract):
    worlds = {"real": real, "simulated": simulated}
    declared = PhpFpm


def asked(name="pm.max_children", value=8):
    return SET.parse({"name": name, "value": value})


def test_a_pool_tells_its_workers_and_opcache(fpm):
    seen = fpm.observe()
    assert (seen.kind, seen.healthy) == ("php-fpm", True)
    assert re.fullmatch(r"8\.\d+\.\d+", seen.version)
    assert (seen.facts["pool"], seen.facts["process_manager"], seen.facts["full"]) == ("www", "dynamic", False)
    assert seen.facts["opcache"] == {"full": False}
    assert seen.readings["workers"] >= 2
    assert seen.readings["opcache_scripts"] >= 0
    assert {"queue", "max_children_reached", "slow_requests"} <= set(seen.readings)


@contextmanager
def load(facts, threads=4):
    """Requests to the slow script from several threads for the time of the block; the list of what went wrong."""
    stop, answers, failures = threading.Event(), [], []
    script = str(Path(facts["opcache_script"]).parent / "slow.php")
    params = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/slow.php", "SCRIPT_FILENAME": script}

    def ask():
        while not stop.is_set():
            try:
                answers.append(fastcgi.ask((facts["host"], facts["port"]), params, seconds=20).body)
            except Exception as error:
                failures.append(error)

    workers = [threading.Thread(target=ask) for _ in range(threads)]
    for worker in workers:
        worker.start()
    until(lambda: len(answers) >= threads)
    try:
        yield answers, failures
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def test_a_reload_under_load_loses_no_request(facts, fpm):
    with load(facts) as (answers, failures):
        before = RELOAD.before(fpm, RELOAD.parse({}))
        after = RELOAD.do(fpm, RELOAD.parse({}), before, call())
        known = len(answers)
        until(lambda: len(answers) > known + 8)
    assert failures == []
    assert after["master"] == before["master"]
    assert set(after["workers"]) & set(before["workers"]) == set()
    assert not {pid.partition("@")[0] for pid in before["workers"]} & {str(pid) for pid in pids(facts)}


def test_a_reload_without_a_grace_period_is_refused(facts, fpm):
    with changed(facts["config"], "process_control_timeout = 10s", "; none"):
        grace, loads = RELOAD.conditions(fpm, RELOAD.parse({}))
        assert (grace.holds, grace.seen, loads.holds) == (False, "it is 0 s", True)
        assert [one.holds for one in SET.conditions(fpm, asked())] == [False, True]
    assert [one.holds for one in RELOAD.conditions(fpm, RELOAD.parse({}))] == [True, True]


@contextmanager
def changed(path, old, new):
    path = Path(path)
    text, times = path.read_text(), path.stat()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_broken_configuration_is_never_loaded(facts, fpm):
    before = RELOAD.before(fpm, RELOAD.parse({}))
    with changed(facts["pool_file"], "pm = dynamic", "pm = nonsense"):
        _, loads = RELOAD.conditions(fpm, RELOAD.parse({}))
        assert loads.holds is False
        assert "nonsense" in loads.seen or "pm" in loads.seen
        with pytest.raises(PermanentError, match="would not come back"):
            RELOAD.do(fpm, RELOAD.parse({}), before, call())
    assert fpm.generation() == before


def test_a_parameter_that_php_fpm_refuses_changes_nothing(facts, fpm):
    text, before = Path(facts["pool_file"]).read_text(), SET.before(fpm, asked())
    with pytest.raises(PermanentError, match="refuses this configuration"):
        SET.do(fpm, asked(value=1), before, call())  # fewer than start_servers
    assert Path(facts["pool_file"]).read_text() == text
    assert os.listdir(Path(facts["pool_file"]).parent) == ["www.conf"]
    assert fpm.generation()["started"] == before["started"]


def test_a_parameter_takes_effect_and_keeps_its_file_as_it_was(facts, fpm):
    path = Path(facts["pool_file"])
    path.chmod(0o640)
    params = asked("pm.max_requests", 7)
    before, text = SET.before(fpm, params), path.read_text()
    assert (before["line"], before["value"]) == (None, None)
    SET.do(fpm, params, before, call())
    assert path.read_text() == f"{text}pm.max_requests = 7\n"
    assert oct(path.stat().st_mode)[-3:] == "640"
    workers = fpm.generation()["workers"]
    until(lambda: (fpm.observe(), not set(fpm.generation()["workers"]) & set(workers))[1])  # each ends after 7 requests
    SET.undo(fpm, params, before, call())
    assert path.read_text() == text
    path.chmod(0o644)


def test_a_worker_killed_between_file_and_reload_is_followed_by_another(facts, fpm):
    """The file is written, the pool runs with the former one: neither done nor undone until somebody reloads."""
    before = SET.before(fpm, asked())
    checks = iter([True, False])
    with pytest.raises(StaleFence):
        SET.do(fpm, asked(), before, Call("t", alive=lambda: next(checks)))
    assert fpm.parameter("pm.max_children") == "pm.max_children = 8"
    assert SET.done(fpm, asked(), before) is False
    assert fpm.generation()["started"] == before["started"]
    SET.do(fpm, asked(), before, call(2))
    assert SET.done(fpm, asked(), before) is True
    checks = iter([True, False])
    with pytest.raises(StaleFence):
        SET.undo(fpm, asked(), before, Call("t", alive=lambda: next(checks)))
    assert (fpm.parameter("pm.max_children"), fpm.loaded()) == (before["line"], False)
    SET.undo(fpm, asked(), before, call(3))
    assert (fpm.parameter("pm.max_children"), fpm.loaded()) == (before["line"], True)


def test_nothing_is_written_while_php_fpm_does_not_run(facts, fpm):
    text, before = Path(facts["pool_file"]).read_text(), SET.before(fpm, asked())
    with pytest.raises(TransientError, match="does not run"):
        SET.do(PhpFpm({**facts, "pid_file": "/nowhere/pid"}, SecretStore()), asked(), before, call())
    assert Path(facts["pool_file"]).read_text() == text


def test_a_caller_that_was_overtaken_is_refused(fpm):
    before = SET.before(fpm, asked())
    SET.undo(fpm, asked(), before, Call("new", fence=7))
    for act, params in ((SET, asked()), (RELOAD, RELOAD.parse({})), (RESET, RESET.parse({}))):
        with pytest.raises(StaleFence, match="another caller took over"):
            act.do(fpm, params, before, Call("old", fence=6))
    assert fpm.parameter("pm.max_children") == before["line"]


def test_an_emptied_opcache_is_proved_by_its_counter(facts, fpm):
    before = RESET.before(fpm, RESET.parse({}))
    RESET.do(fpm, RESET.parse({}), before, call())
    after = fpm.opcache()["opcache_statistics"]
    assert after["manual_restarts"] == before["manual_restarts"] + 1
    bare = {name: value for name, value in facts.items() if name not in ("opcache_script", "reset_script")}
    (condition,) = RESET.conditions(PhpFpm(bare, SecretStore()), RESET.parse({}))
    assert (condition.holds, condition.seen) == (False, "missing: opcache_script, reset_script")
    assert "opcache" not in PhpFpm(bare, SecretStore()).observe().facts


@pytest.mark.parametrize(
    ("script", "reason"), [("words.php", "JSON"), ("none.php", "404"), ("slow.php", "switched off")]
)
def test_a_script_that_says_something_else_is_told(facts, script, reason):
    path = str(Path(facts["opcache_script"]).parent / script)
    seen = PhpFpm({**facts, "opcache_script": path}, SecretStore()).observe()
    assert seen.healthy is True
    assert reason in seen.facts["opcache"]["error"]


def test_a_wrong_pool_or_path_is_permanent_and_a_failing_script_is_not(facts):
    with pytest.raises(PermanentError, match="not switched on"):
        PhpFpm({**facts, "status_path": "/other"}, SecretStore()).status()
    with pytest.raises(PermanentError, match="not other"):
        PhpFpm({**facts, "pool": "other"}, SecretStore()).status()
    broken = str(Path(facts["opcache_script"]).parent / "broken.php")
    with pytest.raises(TransientError, match="503"):
        PhpFpm({**facts, "opcache_script": broken}, SecretStore()).opcache()


def test_a_file_that_is_not_included_is_refused(facts, fpm, place):
    other = place / "other.conf"
    other.write_text(Path(facts["pool_file"]).read_text())
    with pytest.raises(PermanentError, match="does not include"):
        PhpFpm({**facts, "pool_file": str(other)}, SecretStore()).proved("[www]\n")
    with pytest.raises(PermanentError, match="has no pool"):
        PhpFpm({**facts, "pool_file": facts["config"]}, SecretStore()).pool_text()


def test_a_pid_that_belongs_to_another_program_is_not_signalled(facts, place):
    (place / "pid").write_text(str(os.getpid()))
    with pytest.raises(TransientError, match="is another program"):
        PhpFpm({**facts, "pid_file": str(place / "pid")}, SecretStore()).generation()


def test_a_pool_that_hangs_is_down(facts, fpm, monkeypatch):
    monkeypatch.setattr(driver, "ASK_SECONDS", 0.3)
    stopped = pids(facts)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        seen = fpm.observe()
        assert (seen.healthy, "did not answer within 0.3 seconds" in seen.facts["error"]) == (False, True)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    until(lambda: fpm.observe().healthy)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x01\x06",
        b"\x01\x06\x00\x01\x00\x04\x00\x00body",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x01\x03\x00\x01\x00\x00\x00\x00",
    ],
)
def test_half_answers_are_transient(answer):
    with socket.create_server(("127.0.0.1", free_port())) as server:

        def serve():
            link, _ = server.accept()
            with link:
                link.recv(4096)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(TransientError):
            fastcgi.ask(server.getsockname(), {"REQUEST_METHOD": "GET"}, seconds=2)
        thread.join()


def test_a_unix_socket_and_long_values_are_spoken_to(place):
    path = str(place / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        got = []

        def serve():
            link, _ = server.accept()
            with link:
                got.append(link.recv(65536))
                link.sendall(b"\x01\x06\x00\x01\x00\x14\x04\x00Status: 201 X\r\n\r\nok!" + b"\0" * 4)
                link.sendall(b"\x01\x03\x00\x01\x00\x08\x00\x00" + b"\0" * 8)

        thread = threading.Thread(target=serve)
        thread.start()
        answer = fastcgi.ask(path, {"LONG": "x" * 300}, seconds=2)
        thread.join()
    assert (answer.status, answer.body) == (201, "ok!")
    assert b"\x04\x80\x00\x01\x2cLONG" + b"x" * 300 in got[0]


def test_a_directive_is_changed_in_its_own_section_only():
    text = "[global]\npm.max_children = 1\n[www]\n pm.max_children=2 ; why\n; pm.max_children = 3\n\n[two]\npm = static"
    assert pool_file.value_of(pool_file.line_of(text, "www", "pm.max_children")) == "2"
    assert pool_file.with_line(text, "www", "pm.max_children", "X = 9") == text.replace(
        " pm.max_children=2 ; why", "X = 9"
    )
    assert pool_file.line_of(text, "two", "pm.max_children") is None
    assert pool_file.with_line(text, "two", "pm.max_children", "pm.max_children = 4") == f"{text}\npm.max_children = 4"
    assert pool_file.with_line(text, "www", "pm", "pm = static") == text.replace("; why\n", "; why\npm = static\n")
    assert pool_file.with_line("[a]\nx = 1\nx = 2\n", "a", "x", None) == "[a]\nx = 1\n"
    assert pool_file.includes('include=/a/*.conf\n include = "/b" ; why\n;include=/c\n') == ["/a/*.conf", "/b"]


@pytest.mark.parametrize(
    "odd",
    [
        {"pool": "a b"},
        {"pool_file": "../x"},
        {"config": 5},
        {"arguments": "-n"},
        {"status_path": "status"},
        {"socket": "x"},
        {"port": 0},
        {"host": "-h"},
    ],
)
def test_odd_facts_are_refused(odd):
    facts = {"host": "127.0.0.1", "port": 1, "pool": "www", "pool_file": "/a", "config": "/b", "pid_file": "/c"}
    with pytest.raises(InvalidInput):
        PhpFpm({**facts, "program": "/d", "state": "/e", **odd}, SecretStore())


def test_a_connection_without_an_address_is_refused():
    facts = {"pool": "www", "pool_file": "/a", "config": "/b", "pid_file": "/c", "program": "/d", "state": "/e"}
    with pytest.raises(InvalidInput, match="needs a socket"):
        PhpFpm(facts, SecretStore())


@pytest.mark.parametrize(
    "given", [{"name": "listen", "value": 1}, {"name": "pm.max_children", "value": -1}, {"value": 1}]
)
def test_only_listed_numbers_can_be_set(given):
    with pytest.raises(InvalidInput):
        SET.parse(given)
