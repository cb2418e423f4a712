"""The MariaDB driver on three real servers with GTID, and on a simulated cluster."""

from __future__ import annotations

from contextlib import contextmanager

from drivers.mariadb import MariaDB
from tests.drivers.contract import Contract
from tests.drivers.mariadb_cluster import RealWorld


@contextmanager
def real(request):
    world = RealWorld(request.getfixturevalue("mariadb_servers"))
    world.servers.fresh()
    yield world
    world.close()


class TestContract(Contract):
    declared = MariaDB
    worlds = {"real": real}
