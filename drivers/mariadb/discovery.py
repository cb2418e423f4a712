"""One database server as a thing, and the replicas that it says it has.

Sources: system variables and SHOW SLAVE HOSTS (mariadb.com/kb); MySQL calls its identity `server_uuid`, MariaDB
`server_uid` (since 10.5.26, 10.6.19, 10.11.9, 11.4.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from drivers.discovery import Listing, Relation, Thing, listing, tcp
from drivers.errors import PermanentError
from drivers.mariadb import state as states
from drivers.mariadb.client import Session
from drivers.mariadb.state import State

if TYPE_CHECKING:
    from drivers.mariadb.node import Node

IDENTITY = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uid', 'server_uuid', 'innodb_encrypt_tables', \
'version_comment')"
REPLICAS = "SHOW SLAVE HOSTS"
DATABASES = "SHOW DATABASES"
_OWN = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
_NUMBER = re.compile(r"\d+(\.\d+)+")


def discover(driver: Node) -> list[Listing]:
    """The server, and below it its databases; in a scope of their own the replicas, which need a right to be seen."""
    problems: list[object] = []
    with driver.session() as session:
        state = states.read(session)
        identity = {str(row["Variable_name"]): str(row["Value"]) for row in session.rows(IDENTITY)}
        databases = sorted(str(next(iter(row.values()))) for row in session.rows(DATABASES))
        replicas = _replicas(driver, session, problems)
    if state.channels is None:
        # Without them a replica would look like a primary.
        return [listing("server", [], ["the account may not see replication"])]
    server = _server(driver, state, identity, bool(replicas))
    below = [Thing("database", name, f"database/{name}", detail=True) for name in databases if name not in _OWN]
    return [listing("server", [server, *below], tells=["replicates"]), listing("replicas", replicas, problems)]


def _server(driver: Node, state: State, identity: dict[str, str], followed: bool) -> Thing:
    channels = state.channels or ()
    mysql = "mysql" in identity.get("version_comment", "").lower()
    fields: dict[str, Any] = {
        "software": "MySQL" if mysql else "MariaDB",
        "version": _version(state.variables["version"]),
        "engine": "MySQL" if mysql else "MariaDB",
        "role": "replica" if channels else "primary" if driver.peers or followed else "standalone",
        "mode": _mode(state),
        "read_only": state.read_only,
        "server_uuid": identity.get("server_uuid") or identity.get("server_uid"),
        "encrypted": identity.get("innodb_encrypt_tables", "OFF").upper() in ("ON", "FORCE"),
        "server_id": state.server_id,
    }
    unique = fields["server_uuid"]
    return Thing(
        "database",
        driver.where,
        fields=fields,
        external_id=f"mysql:{unique}" if unique else "",
        addresses=(tcp(driver.host, driver.port),),
        relations=tuple(
            Relation("replicates", tcp(host, port, driver.host))
            for host, _, port in (channel.primary.rpartition(":") for channel in channels)
        ),
    )


def _mode(state: State) -> str:
    asked = "rpl_semi_sync_slave_enabled" if state.channels else "rpl_semi_sync_master_enabled"
    return "semi-sync" if state.on(asked) else "async"


def _version(text: str) -> str:
    found = _NUMBER.match(text)
    return found[0] if found else text[:64]


def _replicas(driver: Node, session: Session, problems: list[object]) -> list[Thing]:
    """Replicas that say where they are (`report_host`); the others cannot be told apart from outside."""
    try:
        rows = session.rows(REPLICAS)
    except PermanentError:
        problems.append(f"{driver.user} may not list the replicas (REPLICATION MASTER ADMIN)")
        return []
    own = tcp(driver.host, driver.port)
    places = [tcp(row["Host"], row["Port"], driver.host) for row in rows if row.get("Host")]
    return [
        Thing(
            "database",
            place.removeprefix("tcp:"),
            f"replica/{place.removeprefix('tcp:')}",
            {"role": "replica"},
            addresses=(place,),
            relations=(Relation("replicates", own),),
        )
        for place in sorted(set(places))
    ]
