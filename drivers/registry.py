"""Driver kinds by the name that a connection uses in its `driver` fact."""

from __future__ import annotations

from drivers.app import App
from drivers.base import Driver
from drivers.http import HttpCheck
from drivers.mariadb import MariaDB
from drivers.nginx import Nginx
from drivers.pm2 import Pm2
from drivers.redis import Redis, Sentinel
from drivers.s3 import S3

registry: dict[str, type[Driver]] = {
    kind.kind: kind for kind in (Nginx, Pm2, App, Redis, Sentinel, S3, MariaDB, HttpCheck)
}
