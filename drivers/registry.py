"""Driver kinds by the name that a connection uses in its `driver` fact."""

from __future__ import annotations

from drivers.app import App
from drivers.base import Driver
from drivers.nginx import Nginx
from drivers.pm2 import Pm2

registry: dict[str, type[Driver]] = {kind.kind: kind for kind in (Nginx, Pm2, App)}
