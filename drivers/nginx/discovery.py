"""What an edge serves: itself, its upstream groups with their members, and where those lead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from drivers.discovery import Listing, Relation, Thing, listing, tcp
from drivers.errors import DriverError
from drivers.nginx.configuration import Directive, Parsed, parse

if TYPE_CHECKING:
    from drivers.nginx.reading import Reader

ALGORITHMS = {"ip_hash": "ip hash", "least_conn": "least connections", "least_time": "least time", "random": "random"}


def discover(driver: Reader) -> list[Listing]:
    """One listing. What lies on disk is not believed while something else answers."""
    parsed = parse(driver.prefix / "nginx.conf")
    problems = list(parsed.problems)
    if not driver.in_force():
        problems.append("what lies on disk is not what answers")
    try:
        workers = sum(process["role"] == "worker" for process in driver.host.processes())
    except DriverError as error:
        workers = 0
        problems.append(str(error))
    groups = {group.args[0]: group for group in parsed.root.all("upstream") if group.args}
    balancers = [_balancer(name, group, parsed) for name, group in sorted(groups.items())]
    reached = sorted({each.to for balancer in balancers for each in balancer.relations} | set(_direct(parsed, groups)))
    edge = Thing(
        "edge",
        "nginx",
        fields=_edge(parsed, driver.version(), workers),
        addresses=_listens(parsed),
        relations=tuple(Relation("routes", to) for to in [*reached, *(f"#{each.key}" for each in balancers)]),
    )
    return [listing("configuration", [edge, *balancers], problems, tells=["routes"])]


def _edge(parsed: Parsed, version: str, running: int) -> dict[str, Any]:
    servers = list(parsed.root.all("server"))
    names = {name for server in servers for each in server.block if each.name == "server_name" for name in each.args}
    listens = [each.args for server in servers for each in server.block if each.name == "listen"]
    workers = parsed.root.own("worker_processes")
    return {
        "software": "nginx",
        "version": version,
        "server_names": sorted(names - {"_", ""}),
        "workers": int(workers[0]) if workers and workers[0].isdigit() else running or None,
        "tls": any("ssl" in args for args in listens),
        "cache": any(True for _ in parsed.root.all("proxy_cache_path")),
        "listens": sorted({args[0] for args in listens if args}),
    }


def _balancer(name: str, group: Directive, parsed: Parsed) -> Thing:
    servers = [each.args for each in group.block if each.name == "server" and each.args]
    chosen = next((ALGORITHMS[each.name] for each in group.block if each.name in ALGORITHMS), "round robin")
    hashed = group.own("hash")
    serving = {args[0] for args in servers if "down" not in args[1:]}
    fields = {
        "software": "nginx",
        "upstream": name,
        "algorithm": f"hash {hashed[0]}" if hashed else chosen,
        "members": sorted(serving),
        "cache_rules": _cached(name, parsed) or None,
        "drained": sorted(args[0] for args in servers if "down" in args[1:]),
    }
    reached = dict.fromkeys(_address(args[0]) for args in servers)
    relations = tuple(Relation("routes", to) for to in reached if to)
    return Thing("load_balancer", name, f"upstream/{name}", fields, relations=relations)


def _address(server: str) -> str:
    """Empty for what is no host with a port: a socket of the same host, or a variable."""
    host, _, port = server.rpartition(":")
    if server.startswith("unix:") or "$" in server:
        return ""
    return tcp(host, port) if host and port.isdigit() else tcp(server, 80)


def _passes(within: Directive) -> Iterator[tuple[Directive, str]]:
    """Each block with the place that it passes its requests to."""
    for block in [within, *within.all("location")]:
        for passing in (*block.own("proxy_pass")[:1], *block.own("fastcgi_pass")[:1]):
            yield block, passing.partition("://")[2].partition("/")[0] or passing


def _direct(parsed: Parsed, groups: dict[str, Directive]) -> Iterator[str]:
    """Where requests go without a group of its own."""
    for server in parsed.root.all("server"):
        for _, place in _passes(server):
            if place not in groups and (to := _address(place)) and ":" in place:
                yield to


def _cached(name: str, parsed: Parsed) -> list[str]:
    """The paths of this group whose answers are kept, with the cache's name."""
    found = set()
    for server in parsed.root.all("server"):
        for block, place in _passes(server):
            zone = block.own("proxy_cache")
            if place == name and zone and zone[0] != "off":
                found.add(f"{' '.join(block.args) or '/'} in {zone[0]}")
    return sorted(found)


def _listens(parsed: Parsed) -> tuple[str, ...]:
    listens = (each.args[0] for each in parsed.root.all("listen") if each.args)
    places = (place if ":" in place else f"0.0.0.0:{place}" for place in listens if not place.startswith("unix:"))
    return tuple(sorted({tcp(host, port) for host, _, port in (place.rpartition(":") for place in places)}))
