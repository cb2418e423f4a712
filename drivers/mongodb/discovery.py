"""One MongoDB server as a thing, and the members of its replica set as it sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivers.discovery import Listing, Relation, Thing, listing, tcp
from drivers.mongodb import replica_set

if TYPE_CHECKING:
    from drivers.mongodb.server import MongoDB

_ROLES = {"PRIMARY": "primary", "SECONDARY": "replica", "ARBITER": "arbiter"}


def discover(driver: MongoDB) -> list[Listing]:
    """Two scopes: the server; and its set with the members, which needs the right to ask for the set's status."""
    with driver.connected() as client:
        hello = client.admin.command("hello")
        build = driver._optional(client, "buildInfo")
        name = str(hello.get("setName") or "")
        status = driver._optional(client, "replSetGetStatus") if name else {}
    found = replica_set.members(status, None) if status else []
    own = replica_set.itself(found)
    fields: dict[str, Any] = {"software": "MongoDB", "version": build.get("version"), "set": name or None}
    fields["role"] = (_ROLES.get(own["state"]) if own else None) or _role(hello, name)
    primary = replica_set.primary(found) or hello.get("primary")
    server = Thing(
        "document_database",
        driver.where,
        fields=fields,
        external_id=f"mongodb:{name}/{own['name']}" if own else "",
        addresses=(tcp(driver.host, driver.port),),
        relations=_follows(driver, primary) if fields["role"] == "replica" else (),
    )
    listed = [listing("server", [server], tells=["replicates"])]
    if name:
        problems = [] if found else ["the account may not ask for the status of the replica set"]
        listed.append(listing("members", [*_members(driver, name, found, primary)], problems))
    return listed


def _role(hello: Any, name: str) -> str | None:
    """None for a member that is at neither, such as one that recovers."""
    if hello.get("isWritablePrimary"):
        return "primary" if name else "standalone"
    return "replica" if hello.get("secondary") else "arbiter" if hello.get("arbiterOnly") else None


def _follows(driver: MongoDB, primary: Any) -> tuple[Relation, ...]:
    host, _, port = str(primary or "").rpartition(":")
    return (Relation("replicates", tcp(host, port, driver.host)),) if host else ()


def _members(driver: MongoDB, name: str, found: list[dict[str, Any]], primary: Any) -> list[Thing]:
    things = [Thing("replica_set", name, f"set/{name}", {"set": name, "software": "MongoDB"}, detail=True)]
    for each in found:
        host, _, port = each["name"].rpartition(":")
        role = _ROLES.get(each["state"])
        things.append(
            Thing(
                "document_database",
                each["name"],
                f"member/{each['name']}",
                {"set": name, "role": role, "state": each["state"]},
                external_id=f"mongodb:{name}/{each['name']}",
                addresses=(tcp(host, port, driver.host),),
                relations=_follows(driver, primary) if role == "replica" else (),
            )
        )
    return things
