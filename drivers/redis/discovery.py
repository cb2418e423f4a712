"""One Redis or Valkey server as a thing, its replicas, and what a group of Sentinels says of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drivers.discovery import Listing, Relation, Thing, listing, tcp
from drivers.errors import TransientError

if TYPE_CHECKING:
    from drivers.redis.sentinel import Sentinel, View
    from drivers.redis.server import Redis

_MEGABYTE = 1024 * 1024


def server(driver: Redis) -> list[Listing]:
    """Two scopes: the server, and the replicas that follow it."""
    info = driver.info()
    host = str(driver.facts["host"])
    replica = info["role"] == "slave"
    valkey = info.get("server_name") == "valkey" or "valkey_version" in info
    limit = int(info.get("maxmemory", 0))
    thing = Thing(
        "cache",
        driver.address,
        fields={
            "software": "Valkey" if valkey else "Redis",
            "version": str(info.get("valkey_version") or info.get("redis_version") or "") or None,
            "role": "replica" if replica else "primary",
            "max_memory_mb": limit // _MEGABYTE,
            "eviction": str(info.get("maxmemory_policy", "noeviction")),
            "persistent": bool(info.get("aof_enabled", 0)),
            "mode": "async",
        },
        addresses=(tcp(host, driver.facts["port"]),),
        relations=(Relation("replicates", tcp(info["master_host"], info["master_port"], host)),) if replica else (),
    )
    return [listing("server", [thing], tells=["replicates"]), listing("replicas", _replicas(info, host, driver))]


def _replicas(info: Mapping[str, Any], host: str, driver: Redis) -> list[Thing]:
    own = tcp(host, driver.facts["port"])
    count = int(info.get("connected_slaves", 0)) if info["role"] != "slave" else 0
    places = {tcp(one["ip"], one["port"], host) for one in (info[f"slave{number}"] for number in range(count))}
    return [_server(place, "replica", own, "replica") for place in sorted(places)]


def _server(place: str, role: str, primary: str, word: str) -> Thing:
    name = place.removeprefix("tcp:")
    follows = (Relation("replicates", primary),) if role == "replica" else ()
    return Thing("cache", name, f"{word}/{name}", {"role": role}, addresses=(place,), relations=follows)


def sentinels(driver: Sentinel) -> list[Listing]:
    """The group, and the servers it watches. They count as a whole only while all Sentinels agree about them."""
    views = driver.views()
    answered = [view for view in views if view.error is None]
    if not answered:
        raise TransientError(f"no Sentinel answers: {views[0].error}")
    problems: list[object] = [f"{view.sentinel}: {view.error}" for view in views if view.error]
    if len({(view.primary, frozenset(one.address for one in view.replicas)) for view in answered}) > 1:
        problems.append("the Sentinels do not agree about the servers they watch")
    group = Thing(
        "sentinel",
        driver.master,
        fields={"software": _software(driver), "master": driver.master, "quorum": answered[0].quorum},
        addresses=tuple(tcp(host, port) for host, port in driver.sentinels),
    )
    return [listing("group", [group]), listing("servers", _watched(driver, answered), problems)]


def _software(driver: Sentinel) -> str | None:
    try:
        return "Valkey Sentinel" if any(driver.versions()) else "Redis Sentinel"
    except TransientError:
        return None


def _watched(driver: Sentinel, answered: list[View]) -> list[Thing]:
    view = answered[0]
    try:
        primary = _place(driver.agreed(answered), view)
    except TransientError:
        return []
    # One that is gone stays in a Sentinel's memory for good (valkey.io/topics/sentinel, SENTINEL RESET).
    replicas = {_place(one.address, view) for one in view.replicas if not one.down} - {primary}
    return [
        _server(primary, "primary", primary, "server"),
        *(_server(place, "replica", primary, "server") for place in sorted(replicas)),
    ]


def _place(address: str | None, view: View) -> str:
    host, _, port = str(address).rpartition(":")
    return tcp(host, port, view.sentinel.rpartition(":")[0])
