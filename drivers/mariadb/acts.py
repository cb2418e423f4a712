"""What a MariaDB server can be asked to do, in the order in which people are offered it."""

from __future__ import annotations

from drivers.mariadb.queries import KillQuery
from drivers.mariadb.rebuild import RebuildReplica
from drivers.mariadb.settings import SetReadOnly, SetSemiSync, StartReplication, StopReplication
from drivers.mariadb.topology import FollowPrimary, PromoteReplica

ACTS = (
    KillQuery(),
    StartReplication(),
    StopReplication(),
    SetReadOnly(),
    SetSemiSync(),
    FollowPrimary(),
    PromoteReplica(),
    RebuildReplica(),
)
