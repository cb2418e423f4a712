"""The SSH driver on a real sshd with user and host certificates."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from drivers.ssh import SshHost
from tests.drivers.contract import Contract, World
from tests.drivers.daemons import free_port
from tests.drivers.simulated.ssh import SshWorld
from tests.drivers.sshd import examples, serving

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
