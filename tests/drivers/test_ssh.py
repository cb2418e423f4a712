"""The SSH driver on a real sshd with user and host certificates, and on servers that misbehave."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncssh
import pytest

from drivers.base import InvalidInput, PermanentError, TransientError
from drivers.secret import SecretStore
from drivers.ssh import SshHost, connection
from drivers.ssh import acts as ssh_acts
from tests.drivers.contract import Contract, World, call
from tests.drivers.daemons import free_port
from tests.drivers.simulated.ssh import SshWorld
from tests.drivers.sshd import commands, examples, public, serving

RUN, RUN_WITH_UNDO, REPLACE, RESTART, REBOOT = SshHost.acts


@pytest.fixture(scope="module")
def host(ground):
    with serving(ground / "ssh") as made:
        yield made


class RealWorld(World):
    driver_class = SshHost
    free_text = SshWorld.free_text

    def __init__(self, host):
        self.host = host
        self.examples = examples(host.folder)

    def driver(self):
        return self.host.driver()

    def unreachable(self):
        return self.host.driver(port=free_port())

    def picture(self):
        return self.host.picture()

    def prepare(self, act):
        pass


@contextmanager
def real(request):
    yield RealWorld(request.getfixturevalue("host"))


@contextmanager
def simulated(request):
    yield SshWorld()


class TestSshHost(Contract):
    worlds = {"real": real, "simulated": simulated}
    declared = SshHost


def run(driver, command, *arguments, act=RUN):
    """Plan and run an allowed command; what the act needs to be called again."""
    params = act.parse({"command": command, "arguments": list(arguments)})
    before = act.before(driver, params)
    act.do(driver, params, before, call())
    return params, before


def effect(host, name):
    path = host.folder / "effects" / name
    return path.read_text() if path.exists() else None


# -- what is seen ------------------------------------------------------------------------------------------------------


def test_a_host_tells_what_it_is(host):
    seen = host.driver().observe()
    assert (seen.kind, seen.healthy, seen.facts["kernel"]) == ("ssh", True, os.uname().release)
    assert (seen.facts["hostname"], seen.facts["boot_id"]) == (os.uname().nodename, host.driver().boot_id())
    assert [disk["mount"] for disk in seen.facts["disks"]] == ["/"]
    assert seen.facts["units"]["web.service"]["ActiveState"] == "active"
    assert seen.readings["pending_updates"] == 3.0
    assert 0 < seen.readings["memory_available_bytes"] < seen.readings["memory_bytes"]
    assert {"load", "uptime_seconds", "disk_used_percent"} <= set(seen.readings)


def test_a_failed_service_is_unhealthy_and_odd_programs_are_told(host):
    (host.folder / "broken").touch()
    try:
        assert host.driver().observe().healthy is False
    finally:
        (host.folder / "broken").unlink()
    odd = {**commands(host.folder), "package-check": {"argv": ["/bin/echo", "many"]}}
    odd["service-status"] = {"argv": ["/bin/false", "{unit}"]}
    seen = host.driver(commands=odd).observe()
    assert (seen.healthy, "pending_updates" in seen.readings) == (True, False)
    assert seen.facts["updates"].startswith("unknown: ")
    assert seen.facts["units"]["web.service"]["ActiveState"] == "unknown"


# -- who is who --------------------------------------------------------------------------------------------------------


def test_a_host_is_known_by_its_key_or_by_its_authority(host):
    own = {"host_ca": [], "host_name": "127.0.0.1"}
    assert host.driver(known_hosts=[public(host.host_key)], **own).observe().healthy is True
    stranger = [public(asyncssh.generate_private_key("ssh-ed25519"))]
    for facts in ({"known_hosts": stranger, **own}, {"host_ca": stranger}, {"host_name": "web-2.edye.test"}):
        with pytest.raises(PermanentError, match="is not the host that it should be"):
            host.driver(**facts).observe()


def test_an_unknown_host_is_never_trusted(host):
    for facts in ({"host_ca": []}, {"host_ca": [], "known_hosts": []}):
        with pytest.raises(InvalidInput, match="never trusted"):
            host.driver(**facts)
    for odd in (None, "x", ["x"], [None], ["ssh-ed25519 AAAA"]):
        with pytest.raises(InvalidInput):
            host.driver(known_hosts=odd)


def test_wrong_and_outdated_credentials_are_permanent(host, place, secret):
    other = asyncssh.generate_private_key("ssh-ed25519")
    stranger = secret(other.export_private_key().decode())
    yesterday = datetime.now(UTC) - timedelta(days=1)
    host.certify(place / "expired", host.user, valid_after=yesterday - timedelta(1), valid_before=yesterday)
    host.certify(place / "elsewhere", "somebody-else")
    refused = [{"certificate": None}, {"certificate": None, "key": stranger}]
    refused += [{"certificate": f"file:{place}/{name}"} for name in ("expired", "elsewhere")]
    for facts in refused:
        with pytest.raises(PermanentError, match="refuses this key or certificate"):
            host.driver(**facts).observe()
    for facts in ({"key": secret("no key")}, {"certificate": secret("none")}, {"key": stranger}):
        with pytest.raises(PermanentError, match="private key") as caught:
            host.driver(**facts).observe()
        assert "no key" not in str(caught.value)


# -- commands ----------------------------------------------------------------------------------------------------------


def test_an_argument_arrives_as_one_word(host):
    template = {"argv": ["/usr/bin/printf", "<%s>", "{text}"], "patterns": {"text": "[^a]+"}}
    driver = host.driver(commands={"say": template})
    for text in ("b c", "$(id); `id` & 'x' \"y\" \\z * ~ #", "é!"):
        params = RUN.parse({"command": "say", "arguments": [f"text={text}"]})
        assert RUN.do(driver, params, RUN.before(driver, params), call()) == {"output": f"<{text}>"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["site=shop", "site=shop"],
        ["site=shop", "other=x"],
        ["site=SHOP"],
        ["site=-rf"],
        ["site=shop;id"],
        ["site=shop\n"],
        ["site="],
        ["Site=shop"],
        ["site"],
        ["site=" + "s" * 201],
    ],
)
def test_only_the_declared_arguments_are_taken(host, arguments):
    with pytest.raises(InvalidInput):
        run(host.driver(), "clear-for-good", *arguments)


def test_each_command_is_for_its_own_act(host):
    driver = host.driver()
    for act, command, reason in (
        (RUN, "clear-cache", "is for the act run-with-undo"),
        (RUN_WITH_UNDO, "clear-for-good", "is for the act run"),
        (RUN, "reboot", "an act of its own"),
        (RUN, "unheard-of", "allows no command"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            run(driver, command, "site=shop", act=act)


def test_a_failing_command_is_permanent_and_not_run_again(host):
    driver = host.driver()
    params = RUN.parse({"command": "fail", "arguments": ["site=shop"]})
    before = RUN.before(driver, params)
    for _ in range(2):
        with pytest.raises(PermanentError, match="status 7: no such site: shop"):
            RUN.do(driver, params, before, call())
    assert RUN.done(driver, params, before) is False


def test_a_command_that_was_changed_after_planning_is_not_run(host):
    params = RUN.parse({"command": "clear-for-good", "arguments": ["site=later"]})
    before = RUN.before(host.driver(), params)
    changed = {**commands(host.folder), "clear-for-good": {**commands("/other")["clear-for-good"]}}
    with pytest.raises(PermanentError, match="has changed since"):
        RUN.do(host.driver(commands=changed), params, before, call())


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def motd(host):
    path = host.folder / "conf" / "motd"
    text, mode = path.read_text(), path.stat().st_mode
    yield path
    for one in path.parent.iterdir():
        one.unlink()
    path.write_text(text)
    path.chmod(mode)


def replace(driver, path, content):
    params = REPLACE.parse({"path": str(path), "content": content})
    return params, REPLACE.before(driver, params)


def test_a_file_keeps_mode_and_owner_and_its_former_content_beside_it(host, motd):
    motd.chmod(0o440)
    if os.geteuid() == 0:
        os.chown(motd, 12345, 54321)
    owner = (motd.stat().st_uid, motd.stat().st_gid)
    driver = host.driver()
    params, before = replace(driver, motd, "é ' \" $(id)\n\ttabs\n")
    assert (before["mode"], before["bytes"]) == ("0440", 7)
    (motd.parent / f".motd.{before['run']}.0123.new").write_text("left by a caller that was killed")
    REPLACE.do(driver, params, before, call())
    assert motd.read_bytes().decode() == params.content
    assert (motd.stat().st_mode & 0o777, motd.stat().st_uid, motd.stat().st_gid) == (0o440, *owner)
    assert sorted(one.name for one in motd.parent.iterdir()) == [f".motd.{before['run']}.before", "motd"]
    REPLACE.undo(driver, params, before, call())
    assert (motd.read_text(), motd.stat().st_mode & 0o777, motd.stat().st_uid) == ("Hello.\n", 0o440, owner[0])
    assert [one.name for one in motd.parent.iterdir()] == ["motd"]


def test_somebody_elses_change_is_never_overwritten(host, motd):
    driver = host.driver()
    params, before = replace(driver, motd, "ours\n")
    motd.write_text("theirs, before\n")
    with pytest.raises(PermanentError, match="has changed since this was planned"):
        REPLACE.do(driver, params, before, call())
    assert [one.name for one in motd.parent.iterdir()] == ["motd"]
    motd.write_text("Hello.\n")
    REPLACE.do(driver, params, before, call())
    motd.write_text("theirs, afterwards\n")
    with pytest.raises(PermanentError, match="has changed since; its former content is in"):
        REPLACE.undo(driver, params, before, call())
    assert motd.read_text() == "theirs, afterwards\n"
    motd.write_text("ours\n")
    (motd.parent / f".motd.{before['run']}.before").unlink()
    with pytest.raises(PermanentError, match="former content is gone"):
        REPLACE.undo(driver, params, before, call())


def test_links_folders_and_unlisted_files_are_not_replaced(host, motd):
    (motd.parent / "link").symlink_to(motd)
    (motd.parent / "other").write_text("x")
    listed = [str(motd.parent / "link"), str(motd.parent), str(motd.parent / "none")]
    driver = host.driver(files=listed)
    for path in listed:
        params = REPLACE.parse({"path": path, "content": "x"})
        assert [one.holds for one in REPLACE.conditions(driver, params)] == [False]
        with pytest.raises(PermanentError, match="not a regular file"):
            REPLACE.before(driver, params)
    with pytest.raises(InvalidInput, match="does not allow"):
        replace(driver, motd.parent / "other", "x")


# -- services and boots ------------------------------------------------------------------------------------------------


def test_a_service_that_does_not_come_up_is_told(host, monkeypatch):
    monkeypatch.setattr(ssh_acts, "START_SECONDS", 0.1)
    quiet = {**commands(host.folder), "restart-service": {"argv": ["/bin/true", "{unit}"]}}
    driver = host.driver(commands=quiet)
    params = RESTART.parse({"unit": "web.service"})
    with pytest.raises(PermanentError, match="does not become active"):
        RESTART.do(driver, params, RESTART.before(driver, params), call())
    (host.folder / "broken").touch()
    try:
        with pytest.raises(PermanentError, match="restart-service ended with status 1"):
            RESTART.do(host.driver(), params, RESTART.before(host.driver(), params), call())
    finally:
        (host.folder / "broken").unlink()
    blind = {**commands(host.folder), "service-status": {"argv": ["/bin/echo", "up", "{unit}"]}}
    with pytest.raises(PermanentError, match="neither MainPID nor"):
        RESTART.before(host.driver(commands=blind), params)


def test_without_a_status_a_restart_is_known_by_its_run(host):
    known = {name: shape for name, shape in commands(host.folder).items() if name != "service-status"}
    driver, params = host.driver(commands=known), RESTART.parse({"unit": "web.service"})
    before = RESTART.before(driver, params)
    assert (before["status"], RESTART.done(driver, params, before)) == (None, False)
    RESTART.do(driver, params, before, call())
    pid = host.picture()[2]
    RESTART.do(driver, params, before, call(2))
    assert (RESTART.done(driver, params, before), host.picture()[2]) == (True, pid)


def test_a_host_that_has_rebooted_already_is_left_alone(host):
    driver, now = host.driver(), host.driver().boot_id()
    before = {"run": "0" * 32, "boot_id": "an earlier one"}
    assert REBOOT.do(driver, REBOOT.parse({}), before, call()) == {"boot_id": now}
    with driver.connected() as link:  # and also when it comes back just before the command arrives
        link.run(["sh", "-c", ssh_acts._REBOOT, "reboot", driver.boot_id_file, "an earlier one", *_reboot(host)])
    assert driver.boot_id() == now


def _reboot(host):
    return commands(host.folder)["reboot"]["argv"]


def test_a_host_that_does_not_go_down_is_transient(host):
    lazy = {**commands(host.folder), "reboot": {"argv": ["/bin/true"]}}
    driver, said = host.driver(commands=lazy, reboot_seconds=1), []
    before = REBOOT.before(driver, REBOOT.parse({}))
    listened = call()
    with pytest.raises(TransientError, match="has not come back within 1 s: it has not gone down yet"):
        REBOOT.do(driver, REBOOT.parse({}), before, type(listened)("t", progress=lambda *part: said.append(part)))
    assert said[0] == (0, 1)
    bare = host.driver(commands={})
    assert [one.holds for one in REBOOT.conditions(bare, REBOOT.parse({}))] == [False]


# -- servers that misbehave --------------------------------------------------------------------------------------------


@contextmanager
def answering(place, handler):
    """A driver of asyncssh's own server, whose every command `handler(process)` answers."""
    own, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    port = free_port()
    client.write_private_key(place / "key")
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve():
        allowed = asyncssh.import_authorized_keys(public(client))
        return await asyncssh.listen(
            *("127.0.0.1", port), server_host_keys=[own], authorized_client_keys=allowed, process_factory=handler
        )

    async def stop():
        server.close()
        await server.wait_closed()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    server = loop.run_until_complete(serve())
    thread = threading.Thread(target=lambda: (loop.call_soon(ready.set), loop.run_forever()))
    thread.start()
    ready.wait()
    facts = {"host": "127.0.0.1", "port": port, "user": "portal", "key": f"file:{place}/key"}
    try:
        yield SshHost({**facts, "known_hosts": [public(own)], "fence_dir": "/srv/fence"}, SecretStore())
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def says(text, status=0):
    def handler(process):
        process.stdout.write(text)
        process.exit(status)

    return handler


def test_half_and_odd_answers_are_told(place):
    with answering(place, says("one line\n")) as driver:
        seen = driver.observe()
        assert (seen.healthy, seen.facts["error"]) == (False, "127.0.0.1 gives half an answer")
    with answering(place, says("a\nb\nc\nd\ne\n")) as driver:
        assert driver.observe().facts["error"] == "127.0.0.1 gives half an answer"
    with answering(place, says("", 1)) as driver, pytest.raises(PermanentError, match="cat failed"):
        driver.boot_id()
    with answering(place, says("x" * 300_000)) as driver, pytest.raises(PermanentError, match="says more than"):
        driver.boot_id()


def test_a_guard_that_does_not_answer_like_one_is_permanent(place):
    facts = {"commands": commands("/srv")}
    for text in ("", "welcome\n", "portal ended\n", "portal ended x\n"):
        with answering(place, says(text)) as plain, pytest.raises(PermanentError, match="did not run"):
            run(SshHost({**plain.facts, **facts}, SecretStore()), "clear-for-good", "site=shop")


def test_a_connection_that_ends_too_early_is_transient(place):
    with answering(place, lambda process: process.channel.get_connection().abort()) as driver:
        assert driver.observe().healthy is False
        with pytest.raises(TransientError):
            driver.boot_id()


def test_a_command_that_hangs_has_its_limit(place):
    async def hang(process):
        await process.stdin.read()
        await asyncio.sleep(60)

    with (
        answering(place, hang) as driver,
        driver.connected() as link,
        pytest.raises(TransientError, match=r"did not end within 0\.2 seconds"),
    ):
        link.run(["cat", "--", "/proc/uptime"], seconds=0.2)


def test_a_port_that_says_nothing_is_down(host, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        seen = host.driver(port=silent.getsockname()[1]).observe()
    assert (seen.healthy, "does not answer" in seen.facts["error"]) == (False, True)


# -- facts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        {"user": "Root"},
        {"user": "-l"},
        {"host": "-oProxyCommand=x"},
        {"fence_dir": "relative"},
        {"files": "/etc/motd"},
        {"files": ["/a/../b"]},
        {"units": ["-x"]},
        {"units": ["a b"]},
        {"disks": ["x"]},
        {"reboot_seconds": 0},
        {"commands": []},
        {"commands": {"A": {"argv": ["/bin/x"]}}},
        {"commands": {"a": {"argv": []}}},
        {"commands": {"a": {"argv": "/bin/x"}}},
        {"commands": {"a": {"argv": ["x"]}}},
        {"commands": {"a": {"argv": ["{x}"], "patterns": {"x": ".*"}}}},
        {"commands": {"a": {"argv": ["/bin/x", "{x}"]}}},
        {"commands": {"a": {"argv": ["/bin/x", "--y={x}"], "patterns": {"x": ".*"}}}},
        {"commands": {"a": {"argv": ["/bin/x"], "patterns": {"x": ".*"}}}},
        {"commands": {"a": {"argv": ["/bin/x", "{x}"], "patterns": {"x": "("}}}},
        {"commands": {"a": {"argv": ["/bin/x\n"]}}},
        {"commands": {"a": {"argv": ["/bin/x"], "undo": "b"}}},
        {"commands": {"a": {"argv": ["/bin/x"], "shell": True}}},
        {"commands": {"a": {"argv": ["/bin/x"], "seconds": 1000}}},
    ],
    ids=str,
)
def test_odd_facts_are_refused(odd):
    key = public(asyncssh.generate_private_key("ssh-ed25519"))
    facts = {"host": "h", "port": 22, "user": "portal", "key": "env:K", "known_hosts": [key], "fence_dir": "/f"}
    assert SshHost(facts, SecretStore()).commands == {}
    with pytest.raises(InvalidInput):
        SshHost({**facts, **odd}, SecretStore())


def test_the_scripts_are_plain_shell():
    """They travel as one word of a command line: they must be short, and free of what only some shells know."""
    for path in Path(connection.__file__).parent.glob("*.sh"):
        text = path.read_text()
        assert len(text) < 4096
        assert text.isascii()
        assert not re.search(r"\[\[|\blocal\b|\bfunction\b|<<<|\$'", text), path.name
