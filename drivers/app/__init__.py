"""One service: PM2 processes in two port slots behind an edge."""

from drivers.app.driver import App, Health

__all__ = ["App", "Health"]
