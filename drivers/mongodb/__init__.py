"""MongoDB: a member of a replica set, or a server that stands alone."""

from drivers.mongodb.server import MongoDB

__all__ = ["MongoDB"]
