"""What the management API tells, brought into facts and readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from drivers.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from drivers.rabbitmq.driver import RabbitMQ
    from drivers.rabbitmq.management import Management

SHOWN = 100
"""The queues with most messages; a reading costs the same on a broker with ten thousand of them."""
_COLUMNS = (
    *("name", "type", "state", "messages", "messages_ready", "messages_unacknowledged", "consumers"),
    *("message_stats.publish_details.rate", "message_stats.deliver_get_details.rate"),
    *("arguments", "effective_policy_definition", "policy"),
)


def nodes(told: Any) -> list[dict[str, Any]]:
    """Each node of the cluster: whether it runs, its alarms, the nodes it lost sight of, memory and disk."""
    if not isinstance(told, list) or not told:
        raise TransientError("the management API names no node")
    return [_node(one) for one in told]


def _node(one: Mapping[str, Any]) -> dict[str, Any]:
    alarms = [text for name, text in (("mem_alarm", "memory"), ("disk_free_alarm", "disk")) if one.get(name)]
    return {
        "name": one["name"],
        "running": bool(one.get("running")),
        "alarms": alarms,
        "partitions": list(one.get("partitions", [])),
        "memory_bytes": int(one.get("mem_used", 0)),
        "memory_limit_bytes": int(one.get("mem_limit", 0)),
        "disk_free_bytes": _whole(one.get("disk_free")),
    }


def queues(management: Management, vhost: str) -> dict[str, Any]:
    """The longest queues, which of them hold dead letters, and how many more there are."""
    order = {"page": "1", "page_size": str(SHOWN), "sort": "messages", "sort_reverse": "true"}
    page = management.get("queues", vhost, **order, columns=",".join(_COLUMNS))
    if page is None:
        raise PermanentError(f"there is no virtual host {vhost}")
    found = page["items"]
    dead = dead_letter_queues(management, vhost, found)
    shown = [{**_queue(one), "dead_letters": one["name"] in dead} for one in found]
    return {"shown": shown, "left_out": int(page["total_count"]) - len(shown), "count": int(page["total_count"])}


def _queue(one: Mapping[str, Any]) -> dict[str, Any]:
    stats = one.get("message_stats", {})
    return {
        "name": one["name"],
        "type": one.get("type", "classic"),
        "state": one.get("state", "unknown"),
        "messages": int(one.get("messages", 0)),
        "ready": int(one.get("messages_ready", 0)),
        "unacknowledged": int(one.get("messages_unacknowledged", 0)),
        "consumers": int(one.get("consumers", 0)),
        "published_per_second": float(stats.get("publish_details", {}).get("rate", 0)),
        "delivered_per_second": float(stats.get("deliver_get_details", {}).get("rate", 0)),
        "policy": one.get("policy"),
    }


def dead_letter_queues(management: Management, vhost: str, found: Iterable[Mapping[str, Any]]) -> set[str]:
    """The queues that a dead-letter exchange of one of `found` leads to."""
    ways = {way for one in found if (way := _dead_letter_way(one)) is not None}
    direct = {key for exchange, key in ways if not exchange and key}
    reached = set(direct)
    for exchange in sorted({exchange for exchange, _ in ways if exchange})[:20]:
        bound = management.get("exchanges", vhost, exchange, "bindings", "source") or []
        reached |= {one["destination"] for one in bound if one["destination_type"] == "queue"}
    return reached


def _dead_letter_way(one: Mapping[str, Any]) -> tuple[str, str | None] | None:
    arguments, policy = one.get("arguments") or {}, one.get("effective_policy_definition") or {}
    exchange = arguments.get("x-dead-letter-exchange", policy.get("dead-letter-exchange"))
    if exchange is None:
        return None
    return str(exchange), arguments.get("x-dead-letter-routing-key", policy.get("dead-letter-routing-key"))


def paused(driver: RabbitMQ) -> list[str] | None:
    """The queues whose consumers are refused now; None when the account may not see permissions."""
    try:
        return sorted({queue for guard in driver.guards().values() for queue in guard.queues})
    except PermanentError:
        return None


def totals(overview: Mapping[str, Any], nodes: list[dict[str, Any]], queues: Mapping[str, Any]) -> dict[str, float]:
    """Numbers for time series. Messages are those of the queues shown; connections those of the whole broker."""
    shown = queues["shown"]
    objects = overview.get("object_totals", {})
    return {
        "queues": float(queues["count"]),
        "messages": float(sum(one["messages"] for one in shown)),
        "messages_ready": float(sum(one["ready"] for one in shown)),
        "messages_unacknowledged": float(sum(one["unacknowledged"] for one in shown)),
        "dead_letters": float(sum(one["messages"] for one in shown if one["dead_letters"])),
        "consumers": float(sum(one["consumers"] for one in shown)),
        "publish_rate": sum(one["published_per_second"] for one in shown),
        "deliver_rate": sum(one["delivered_per_second"] for one in shown),
        "connections": float(objects.get("connections", 0)),
        "channels": float(objects.get("channels", 0)),
        "nodes": float(len(nodes)),
        "nodes_running": float(sum(node["running"] for node in nodes)),
        "memory_bytes": float(max(node["memory_bytes"] for node in nodes)),
        "disk_free_bytes": float(min(node["disk_free_bytes"] for node in nodes)),
    }


def _whole(value: Any) -> int:
    """Some versions tell a word while the disk is not measured yet."""
    return value if isinstance(value, int) else 0
