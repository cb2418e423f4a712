"""MariaDB: a primary or a replica with GTID, and the planned switchover between them."""

from drivers.mariadb.server import MariaDB

__all__ = ["MariaDB"]
