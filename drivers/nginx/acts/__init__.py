"""What can be done to an edge. Each change is a new generation of the configuration, proved by the one that answers."""

from __future__ import annotations

from typing import Any

from drivers.acts import Act
from drivers.nginx.acts.content import MaintenanceOff, MaintenanceOn, PurgeCache, SetFragment
from drivers.nginx.acts.edge import Reload
from drivers.nginx.acts.members import DrainMember, SetWeight, UndrainMember

ACTS: tuple[Act[Any, Any], ...] = (
    *(Reload(), SetWeight(), DrainMember(), UndrainMember()),
    *(MaintenanceOn(), MaintenanceOff(), SetFragment(), PurgeCache()),
)
