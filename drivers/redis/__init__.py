"""Redis and Valkey: servers with replication, and the Sentinels that watch over them."""

from drivers.redis.sentinel import Sentinel
from drivers.redis.server import Redis

__all__ = ["Redis", "Sentinel"]
