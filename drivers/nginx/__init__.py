"""nginx as an edge: two slots per service, switched by whole configuration generations."""

from drivers.nginx.access_log import Traffic
from drivers.nginx.driver import Nginx, Switched
from drivers.nginx.layout import lay_out

__all__ = ["Nginx", "Switched", "Traffic", "lay_out"]
