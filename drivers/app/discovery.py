"""One service in two slots as a thing: what serves, in which version, out of which processes and upstream group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers import names
from drivers.discovery import Listing, Relation, Thing, listing, tcp
from drivers.nginx.render import UPSTREAM_PREFIX

if TYPE_CHECKING:
    from drivers.app.driver import App


def discover(driver: App) -> list[Listing]:
    """The application. Its processes and its upstream group are things of PM2 and of the edge; it claims them."""
    driver.pm2.needs_daemon()  # without it nobody knows what runs
    serving = driver.serving()
    health = driver.health(serving)
    workers = driver.workers(serving)
    manager, edge = str(driver.facts["pm2"]), str(driver.facts["nginx"])
    fields = {
        "version": health.version,
        "processes": sum(worker.online for worker in workers),
        "manager": "pm2",
        "slot": serving,
    }
    parts = (f"{manager}#process/{driver.process_names[slot]}" for slot in names.SLOTS)
    thing = Thing(
        "app",
        driver.service,
        fields=fields,
        addresses=tuple(tcp("127.0.0.1", driver.ports[slot]) for slot in names.SLOTS),
        relations=(Relation("runs_on", manager),),
        claims=(*parts, f"{edge}#upstream/{UPSTREAM_PREFIX}{driver.service}"),
    )
    return [listing("service", [thing])]
