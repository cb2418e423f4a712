"""PM2: the process manager of the Node.js services."""

from drivers.pm2.driver import Pm2
from drivers.pm2.processes import Process

__all__ = ["Pm2", "Process"]
