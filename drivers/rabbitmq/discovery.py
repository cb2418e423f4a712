"""A broker's virtual host as a thing, and its queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivers.discovery import Listing, Relation, Thing, listing, tcp
from drivers.errors import PermanentError
from drivers.rabbitmq import reading

if TYPE_CHECKING:
    from drivers.rabbitmq.driver import RabbitMQ
    from drivers.rabbitmq.management import Management

PAGE = 500
MOST_PAGES = 100
_COLUMNS = "name,type,state,durable,auto_delete,exclusive,arguments,effective_policy_definition"


def discover(driver: RabbitMQ) -> list[Listing]:
    """Two scopes: the broker, and every queue of the virtual host but those that belong to one connection."""
    management = driver.management()
    overview = management.get("overview")
    nodes = reading.nodes(management.get("nodes"))
    queues, problems = _queues(management, driver.vhost)
    broker = Thing(
        "queue",
        str(overview.get("cluster_name", driver.vhost)),
        fields={
            "software": "RabbitMQ",
            "version": overview.get("rabbitmq_version"),
            "role": "broker",
            "virtual_host": driver.vhost,
            "nodes": sorted(node["name"] for node in nodes),
        },
        addresses=(tcp(driver.amqp_host, driver.amqp_port),),
    )
    dead = reading.dead_letter_queues(management, driver.vhost, queues)
    lasting = [one for one in queues if not one.get("exclusive") and not one.get("auto_delete")]
    unwell = [f"node {node['name']} does not run" for node in nodes if not node["running"]]
    below = [_queue(one, driver.vhost, one["name"] in dead) for one in lasting]
    return [listing("broker", [broker]), listing("queues", below, [*problems, *unwell])]


def _queue(one: dict[str, Any], vhost: str, dead: bool) -> Thing:
    fields = {
        "software": "RabbitMQ",
        "role": "dead-letter" if dead else "queue",
        "virtual_host": vhost,
        "durable": one.get("durable"),
        "type": one.get("type", "classic"),
    }
    return Thing("queue", one["name"], f"queue/{one['name']}", fields, relations=(Relation("runs_on", "#"),))


def _queues(management: Management, vhost: str) -> tuple[list[dict[str, Any]], list[str]]:
    """All queues, page by page."""
    found: list[dict[str, Any]] = []
    for number in range(1, MOST_PAGES + 1):
        asked = {"page": str(number), "page_size": str(PAGE), "sort": "name", "columns": _COLUMNS}
        page = management.get("queues", vhost, **asked)
        if page is None:
            raise PermanentError(f"there is no virtual host {vhost}")
        found += page["items"]
        if number >= int(page.get("page_count", 1)):
            return found, []
    return found, [f"there are more than {PAGE * MOST_PAGES} queues"]
