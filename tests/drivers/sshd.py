"""A host for the SSH tests: a real sshd with a certificate authority, and small programs in the place of a system's."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh

from drivers.secret import SecretStore
from drivers.ssh import SshHost
from tests.drivers import daemons
from tests.drivers.daemons import free_port, until
from tests.need import need

# Debian's bash reads ~/.bashrc for a command over SSH, unless it believes to be within another shell (SHLVL)
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
HostCertificate {folder}/host-cert.pub
PidFile {folder}/sshd.pid
TrustedUserCAKeys {folder}/user-ca.pub
AuthorizedKeysFile {folder}/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
LogLevel ERROR
SetEnv SHLVL=2
"""
SYSTEMCTL = """#!/bin/sh
case $1 in
restart) mkdir -p {folder}/units; echo $$ >{folder}/units/$3; [ ! -e {folder}/broken ] ;;
show)
    echo "MainPID=$(cat {folder}/units/$4)"
    if [ -e {folder}/broken ]; then echo ActiveState=failed; else echo ActiveState=active; fi ;;
esac
"""
CACHE = """#!/bin/sh
case $1 in
clear) [ "$2" != slow ] || sleep 1; date +%N >"{folder}/effects/$2"; echo "cleared $2" ;;
warm) rm -f "{folder}/effects/$2"; echo "warmed $2" ;;
fail) echo "no such site: $2" >&2; exit 7 ;;
esac
"""
REBOOT = """#!/bin/sh
cat /proc/sys/kernel/random/uuid >{folder}/boot_id
master=$(cat {folder}/sshd.pid)
children=$(ps -o pid= --ppid $master)
kill -9 $master $children
"""
SITE = "[a-z][a-z -]{0,20}"


class Host:
    """Facts for drivers, and a look past them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.user = folder, free_port(), getpass.getuser()
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_ca, self.host_ca, self.host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))
        for name in ("bin", "effects", "units", "conf"):
            (folder / name).mkdir(parents=True)
        for name, text in {"systemctl": SYSTEMCTL, "cache": CACHE, "reboot": REBOOT}.items():
            (folder / "bin" / name).write_text(text.format(folder=folder))
            (folder / "bin" / name).chmod(0o755)
        (folder / "units" / "web.service").write_text("1\n")
        (folder / "boot_id").write_text("first\n")
        (folder / "conf" / "motd").write_text("Hello.\n")
        (folder / "conf" / "motd").chmod(0o640)
        self._keys()

    def _keys(self) -> None:
        folder = self.folder
        self.host_key.write_private_key(folder / "host")
        (folder / "host").chmod(0o600)  # sshd refuses a key that others may read
        self.host_key.write_public_key(folder / "host.pub")
        certificate = self.host_ca.generate_host_certificate(self.host_key, "host", principals=["web-1.edye.test"])
        certificate.write_certificate(folder / "host-cert.pub")
        self.user_ca.write_public_key(folder / "user-ca.pub")
        self.key.write_private_key(folder / "key")
        self.certify(folder / "key-cert.pub", self.user)
        (folder / "sshd_config").write_text(CONFIG.format(port=self.port, folder=folder))

    def certify(self, path: Path, principal: str, **more: Any) -> None:
        """Write a user certificate for the key of the tests."""
        self.user_ca.generate_user_certificate(self.key, "portal", principals=[principal], **more).write_certificate(
            path
        )

    def facts(self, **more: Any) -> dict[str, Any]:
        folder = self.folder
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "key": f"file:{folder}/key",
            "certificate": f"file:{folder}/key-cert.pub",
            "host_ca": [public(self.host_ca)],
            "host_name": "web-1.edye.test",
            "fence_dir": f"{folder}/fence",
            "files": [f"{folder}/conf/motd"],
            "units": ["web.service"],
            "boot_id_file": f"{folder}/boot_id",
            "reboot_seconds": 30,
            "commands": commands(folder),
            **more,
        }

    def driver(self, **more: Any) -> SshHost:
        return SshHost(self.facts(**more), SecretStore())

    def picture(self) -> Any:
        """What the acts may touch, without what the portal keeps for itself."""
        effects = {path.name: path.read_text() for path in (self.folder / "effects").iterdir()}
        motd = self.folder / "conf" / "motd"
        file = (motd.read_text(), motd.stat().st_mode, motd.stat().st_uid)
        service = (self.folder / "units" / "web.service").read_text()
        return effects, file, service, (self.folder / "boot_id").read_text()


def commands(folder: Any) -> dict[str, Any]:
    cache, systemctl = f"{folder}/bin/cache", f"{folder}/bin/systemctl"
    site = {"site": SITE}
    return {
        "clear-for-good": {"argv": [cache, "clear", "{site}"], "patterns": site},
        "clear-cache": {"argv": [cache, "clear", "{site}"], "patterns": site, "undo": "warm-cache"},
        "warm-cache": {"argv": [cache, "warm", "{site}"], "patterns": site, "repeatable": True},
        "fail": {"argv": [cache, "fail", "{site}"], "patterns": site},
        "restart-service": {"argv": [systemctl, "restart", "--", "{unit}"]},
        "service-status": {"argv": [systemctl, "show", "--property=MainPID,ActiveState", "--", "{unit}"]},
        "package-check": {"argv": ["/bin/echo", "3"]},
        "reboot": {"argv": [f"{folder}/bin/reboot"]},
    }


def examples(folder: Any) -> dict[str, dict[str, Any]]:
    return {
        "run": {"command": "clear-for-good", "arguments": ["site=shop"]},
        "run-with-undo": {"command": "clear-cache", "arguments": ["site=news"]},
        "replace-file": {"path": f"{folder}/conf/motd", "content": "Good evening.\nSecond 'line' $(id)\n"},
        "restart-service": {"unit": "web.service"},
        "reboot": {},
    }


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


@contextmanager
def serving(folder: Path) -> Iterator[Host]:
    """A host whose sshd is started again whenever it ends, as a machine's is after a boot."""
    need(daemons.SSHD, package="openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd separates its privileges in there
    host, stop, child = Host(folder), threading.Event(), []

    def keep() -> None:
        with (folder / "sshd.log").open("ab") as log:
            while not stop.is_set():
                argv = [daemons.SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
                child[:] = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)]
                child[0].wait()
                time.sleep(0.1)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        until(lambda: socket.create_connection(("127.0.0.1", host.port), 1).close() is None)
        yield host
    finally:
        stop.set()
        child[0].send_signal(signal.SIGTERM)
        keeper.join()
