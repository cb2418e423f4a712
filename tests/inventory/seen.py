"""An estate that can be looked at: simulated worlds behind connection keys, and a catalog that says what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drivers.app import App
from drivers.base import Driver, DriverError
from drivers.discovery import Listing, Thing, listing
from drivers.errors import PermanentError
from drivers.redis import Redis
from drivers.secret import SecretStore
from inventory import reconcile
from inventory.actions.catalog import apply_catalog
from inventory.catalog import load
from inventory.models import Drift
from inventory.reconcile import sources
from portal import clock
from portal.events import SYSTEM
from tests.drivers.simulated.app import PORTS, AppWorld
from tests.drivers.simulated.mariadb import SimulatedWorld as MariaDBWorld
from tests.drivers.simulated.memcached import MemcachedWorld
from tests.drivers.simulated.mongodb import SimulatedMongoDB
from tests.drivers.simulated.php_fpm import PhpFpmWorld
from tests.drivers.simulated.rabbitmq import RabbitWorld
from tests.drivers.simulated.redis import Known, RedisWorld, SentinelWorld, Server
from tests.drivers.simulated.s3 import SimulatedS3

CENTER, EAST = "production/us-central", "production/us-east"
Make = Callable[[], Driver]


class Scripted(Driver):
    """A source that lists what a test tells it, or fails."""

    kind = "scripted"

    def __init__(self, tells: Callable[[], list[Listing]]) -> None:
        super().__init__({}, SecretStore())
        self._tells = tells

    def discover(self) -> list[Listing]:
        return self._tells()


class Connections:
    """What ``drivers.connections.load`` gives, with drivers that stand in memory."""

    def __init__(self, makers: dict[str, Make]) -> None:
        self.makers = makers

    def __contains__(self, key: object) -> bool:
        return key in self.makers

    def keys(self) -> list[str]:
        return sorted(self.makers)

    def get(self, key: str) -> dict[str, Any]:
        if key not in self.makers:
            raise PermanentError(f"no connection is known as {key!r}")
        return {"driver": self.makers[key]().kind}

    def driver(self, key: str) -> Driver:
        return self.makers[key]()


@dataclass
class Place:
    """The connections of an estate; ``look`` reads all of them and compares, ``drifts`` tells what stands then."""

    makers: dict[str, Make] = field(default_factory=dict)

    def tell(self, key: str, *things: Thing, problems: Iterable[str] = (), scope: str = "all", **how: Any) -> None:
        """From now on the source ``key`` lists these things."""
        listed = list(things), list(problems)
        self.makers[key] = lambda: Scripted(lambda: [replace(listing(scope, *listed, **how), at=clock.now())])

    def break_(self, key: str, error: DriverError) -> None:
        def refuse() -> list[Listing]:
            raise error

        self.makers[key] = lambda: Scripted(refuse)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            for center in ("us-central", "us-east", None):
                reconcile.read_sources(center)
            reconcile.compare_estate()

    def drifts(self, **only: Any) -> set[tuple[str, str, str]]:
        rows = Drift.objects.standing().filter(**only).select_related("component", "sighting")
        return {(row.kind, row.about, row.field) for row in rows}


def place(monkeypatch: pytest.MonkeyPatch, makers: dict[str, Make] | None = None) -> Place:
    """A place whose connections the reconciler reads from now on."""
    made = Place(dict(makers or {}))
    monkeypatch.setattr(sources.connections, "load", lambda _: Connections(made.makers))
    monkeypatch.setattr(sources, "_readings", sources.defaultdict(sources.Readings))
    monkeypatch.setattr("inventory.reconcile.estate._began", datetime.now(UTC) - timedelta(days=1))
    return made


class Worlds:
    """One simulated world of each technology, and the connections to them."""

    def __init__(self) -> None:
        self.app, self.databases, self.cache, self.sentinel = AppWorld(), MariaDBWorld(), RedisWorld(), SentinelWorld()
        self.memcached, self.rabbit, self.s3 = MemcachedWorld(), RabbitWorld(), SimulatedS3()
        self.php, self.mongodb = PhpFpmWorld(), SimulatedMongoDB()

    def connections(self) -> dict[str, Make]:
        return {
            f"{CENTER}/nginx": self.app.edge.driver,
            f"{CENTER}/pm2": self.app.processes.driver,
            f"{CENTER}/api": self._api,
            f"{CENTER}/cache-b": self.replica,
            f"{EAST}/reports": lambda: self.databases.cluster.driver(3),
            f"{CENTER}/database": lambda: self.databases.cluster.driver(1),
            f"{EAST}/database": lambda: self.databases.cluster.driver(2),
            f"{CENTER}/cache": self.cache.driver,
            f"{CENTER}/sentinel": self.sentinel.driver,
            f"{CENTER}/memcached": self.memcached.driver,
            f"{CENTER}/queue": self.rabbit.driver,
            f"{CENTER}/objects": self.s3.driver,
            f"{CENTER}/php": self.php.driver,
            f"{CENTER}/documents": self.mongodb.driver,
        }

    @staticmethod
    def replica() -> Driver:
        """The server that follows the other one."""
        server = Server()
        server.follows = ("10.0.0.7", 6379)
        kind = type("Follower", (Redis,), {"client": lambda _, *, decode: server})
        made: Driver = kind({"driver": "redis", "host": "10.0.0.8", "port": 6379}, Known())
        return made

    def _api(self) -> App:
        slots = {slot: {"process": f"api-{slot}", "port": port} for slot, port in PORTS["api"].items()}
        facts = {"driver": "app", "service": "api", "slots": slots, "instances": 2, "releases": "/srv/releases"}
        facts |= {"pm2": f"{CENTER}/pm2", "nginx": f"{CENTER}/nginx"}
        return App(facts, SecretStore(), {"pm2": self.app.processes.driver(), "nginx": self.app.edge.driver()})


TRUE = f"""\
catalog: seen
teams:
  core: {{name: Core}}
data_centers:
  us-central: {{name: US Central, role: primary}}
  us-east: {{name: US East, role: secondary}}
environments:
  staging: {{name: Staging, kind: staging}}
  production: {{name: Production, kind: production}}
services:
  api: {{name: API, tier: 1, owner: core}}
  platform: {{name: Platform, tier: 1, owner: core}}
components:
  {CENTER}/nginx: {{name: Edge, kind: edge, service: platform, connection: {CENTER}/nginx, software: nginx, version: '1.31', attributes: {{workers: 2, cache: true}}}}
  {CENTER}/lb-api: {{name: edye_api, kind: load_balancer, service: api, part_of: {CENTER}/nginx, attributes: {{upstream: edye_api, algorithm: round robin, members: ['127.0.0.1:20001']}}}}
  {CENTER}/lb-play: {{name: edye_play, kind: load_balancer, service: api, part_of: {CENTER}/nginx, attributes: {{upstream: edye_play}}}}
  {CENTER}/pm2: {{name: PM2, kind: process_manager, service: platform, connection: {CENTER}/pm2}}
  {CENTER}/api: {{name: API, kind: app, service: api, connection: {CENTER}/api, attributes: {{processes: 2, manager: pm2}}}}
  {CENTER}/database: {{name: Database, kind: database, service: platform, connection: {CENTER}/database, software: MariaDB, attributes: {{role: primary, mode: async, read_only: false}}}}
  {EAST}/database: {{name: Replica, kind: database, service: platform, connection: {EAST}/database, version: '10.11', attributes: {{role: replica, read_only: true}}}}
  {EAST}/reports: {{name: Reports, kind: database, service: platform, external_id: 'mysql:uid-3'}}
  {CENTER}/cache: {{name: Cache, kind: cache, service: platform, connection: {CENTER}/cache, software: Valkey, attributes: {{role: primary, eviction: noeviction}}}}
  {CENTER}/cache-b: {{name: Cache B, kind: cache, service: platform, connection: {CENTER}/cache-b, attributes: {{role: replica}}}}
  {CENTER}/sentinel: {{name: Sentinel, kind: sentinel, service: platform, connection: {CENTER}/sentinel, attributes: {{master: edye, quorum: 2}}}}
  {CENTER}/memcached: {{name: Memcached, kind: memcached, service: platform, connection: {CENTER}/memcached, attributes: {{max_memory_mb: 64}}}}
  {CENTER}/queue: {{name: Broker, kind: queue, service: platform, connection: {CENTER}/queue, attributes: {{role: broker}}}}
  {CENTER}/orders: {{name: orders, kind: queue, service: api, part_of: {CENTER}/queue, attributes: {{role: queue}}}}
  {CENTER}/orders-dead: {{name: orders.dead, kind: queue, service: api, part_of: {CENTER}/queue}}
  {CENTER}/objects: {{name: Objects, kind: object_store, service: platform, connection: {CENTER}/objects, attributes: {{bucket: main, versioned: true}}}}
  {CENTER}/locked: {{name: Locked, kind: object_store, service: platform, part_of: {CENTER}/objects, attributes: {{bucket: locked}}}}
  {CENTER}/copies: {{name: Copies, kind: object_store, service: platform, external_id: 's3:127.0.0.1:8333/replica'}}
  {CENTER}/php: {{name: Pool, kind: fpm_pool, service: api, connection: {CENTER}/php, attributes: {{pool: www, max_children: 5}}}}
  {CENTER}/documents: {{name: Documents, kind: document_database, service: api, connection: {CENTER}/documents, attributes: {{role: primary, set: rs0}}}}
  {CENTER}/documents-b: {{name: Documents B, kind: document_database, service: api, external_id: 'mongodb:rs0/127.0.0.1:27018', attributes: {{role: replica}}}}
  {CENTER}/documents-c: {{name: Documents C, kind: document_database, service: api, external_id: 'mongodb:rs0/127.0.0.1:27019'}}
dependencies:
  {CENTER}/nginx:
    {CENTER}/api: {{kind: soft, relation: routes}}
    {CENTER}/lb-api: {{kind: soft, relation: routes}}
    {CENTER}/lb-play: {{kind: soft, relation: routes}}
  {CENTER}/lb-api:
    {CENTER}/api: {{kind: soft, relation: routes}}
  {CENTER}/api:
    {CENTER}/pm2: {{kind: hard, relation: runs_on}}
  {CENTER}/cache-b:
    {CENTER}/cache: {{kind: soft, relation: replicates}}
  {CENTER}/documents-b:
    {CENTER}/documents: {{kind: soft, relation: replicates}}
  {CENTER}/documents-c:
    {CENTER}/documents: {{kind: soft, relation: replicates}}
  {EAST}/database:
    {CENTER}/database: {{kind: soft, relation: replicates}}
  {EAST}/reports:
    {CENTER}/database: {{kind: soft, relation: replicates}}
"""  # noqa: E501


def declare(folder: Path, text: str) -> None:
    """Make a catalog of one file true."""
    folder.mkdir(exist_ok=True)
    (folder / "seen.yaml").write_text(text)
    apply_catalog(load(folder), by=SYSTEM)
