"""What differs between the systems whose inventory is measured: addresses, bodies, and what has to be started.

A ``System`` is filled with ``estate.record(1…)``. A case that a system does not have is left out of its tables.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bench import estate
from bench.netbox_inside import STATES


@dataclass
class Running:
    """A started system: where it answers, who asks, and what is counted. Headers sign somebody in."""

    base: str
    all: dict[str, str]
    half: dict[str, str]
    person: dict[str, str]
    half_person: dict[str, str]
    database: str
    processes: dict[str, psutil.Process]
    size: int
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    deep: str = ""
    middle: str = ""


class System:
    """Addresses are templates of a record's facts, ``id``, ``slug`` and ``link``; ``deep``, ``middle``: the middle."""

    name = ""
    reads: dict[str, str] = {}
    pages: dict[str, str] = {}
    halves: tuple[str, ...] = ()
    """Pages that somebody who sees half can open whatever the record."""
    palette: dict[str, str] = {}
    written = ""
    """The table whose growth is what a created object leaves in the history."""
    filled = False
    """Whether ``running`` fills it with as much as asked; one that was started elsewhere holds what it holds."""
    batches = (1, 4)
    """How many batches are written: before counting, and counted."""
    fragment: dict[str, str] = {}
    """Headers by which a search asks for less than a whole page."""
    waiting = ""
    """A query for the number of jobs that wait or run."""
    same: dict[str, str] = {}
    """Cases that are compared with another system's case of another name."""

    def create(self, facts: dict[str, Any]) -> tuple[str, str, Any]:
        raise NotImplementedError

    def create_many(self, many: list[dict[str, Any]]) -> tuple[str, str, Any]:
        raise NotImplementedError

    def upsert_many(self, many: list[dict[str, Any]]) -> tuple[str, str, Any] | None:
        return None

    def change(self, id: str, text: str) -> tuple[str, str, Any]:
        raise NotImplementedError


class Portal(System):
    """This portal. ``make up`` starts one web process; here are two, as behind a load balancer."""

    name = "portal"
    filled = True
    fragment = {"HX-Request": "true", "HX-Target": "palette-results"}
    reads = {
        "REST list of 50": "/api/v1/components/?limit=50",
        "REST list of 1000": "/api/v1/components/?limit=1000",
        "REST page in the middle": "{deep}",
        "REST three filters": "/api/v1/components/?limit=50&data_center={data_center}&kind={kind}&tag={tag}",
        "REST q, exact name": "/api/v1/components/?limit=50&q={name}",
        "REST q, matches an eighth": "/api/v1/components/?limit=50&q=web",
        "REST q, two words": "/api/v1/components/?limit=50&q=web {data_center}",
        "REST name contains": "/api/v1/components/?limit=50&name__contains={name}",
        "REST attribute": "/api/v1/components/?limit=50&attributes.encrypted=true",
        "REST sorted by service": "/api/v1/components/?limit=50&sort=-service",
        "REST dependencies": "/api/v1/dependencies/?limit=50&environment={environment}&kind=soft",
        "REST detail": "/api/v1/components/{id}/",
        "REST search": "/api/v1/search/?q={name}",
    }
    pages = {
        "HTML list": "/components/",
        "HTML three filters": "/components/?data_center={data_center}&kind={kind}&tag={tag}",
        "HTML detail": "/components/{slug}/",
        "HTML service": "/services/{service}/",
        "HTML environment": "/environments/{environment}/",
        "HTML data center": "/data-centers/{data_center}/",
        "HTML dependency": "/dependencies/{link}/",
        "HTML dependencies": "/dependencies/",
        "HTML dependencies, q": "/dependencies/?q={name}",
    }
    halves = ("HTML list", "HTML three filters", "HTML environment", "HTML data center")
    palette = {
        "search, exact name": "/search/?q={name}",
        "search, beginning": "/search/?q={start}",
        "search, words": "/search/?q={data_center} {number:06}",
        "search, one slip": "/search/?q={slip}",
        "search, matches an eighth": "/search/?q=web",
        "search, matches all": "/search/?q=inventory",
        "search, nothing": "/search/?q=zebra-quagga",
    }
    written = "inventory_revision"

    def create(self, facts: dict[str, Any]) -> tuple[str, str, Any]:
        return "POST", "/api/v1/components/", self._row(facts)

    def create_many(self, many: list[dict[str, Any]]) -> tuple[str, str, Any]:
        return "POST", "/api/v1/components/", [self._row(each) for each in many]

    def upsert_many(self, many: list[dict[str, Any]]) -> tuple[str, str, Any] | None:
        return "PUT", "/api/v1/components/", [self._row(each) for each in many]

    def change(self, id: str, text: str) -> tuple[str, str, Any]:
        return "PATCH", f"/api/v1/components/{id}/", {"description": text}

    def _row(self, facts: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in facts.items() if name not in ("role", "team", "number")}

    @contextmanager
    def running(self, folder: Path, size: int) -> Iterator[Running]:
        from bench.stage import stage

        with stage(preload=True) as it:
            estate.fill(size)
            yield from self._served(it, size)

    def _served(self, it: Any, size: int) -> Iterator[Running]:
        from django.conf import settings

        from portal.embedded import ports
        from tests import world
        from tests.inventory.screens import browser

        who = {"all": self._people("all", estate.TEAMS), "half": self._people("half", estate.TEAMS[:5])}
        tokens = {name: {"Authorization": f"Bearer {world.token(account)}"} for name, account in who.items()}
        cookie = settings.SESSION_COOKIE_NAME
        people = {name: {"Cookie": f"{cookie}={browser(account).session.session_key}"} for name, account in who.items()}
        with psycopg.connect(it.database.url, autocommit=True) as link:
            link.execute("VACUUM ANALYZE")
        port = ports.first_free(24480)
        command = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port)]
        command += ["--http", "portal.web:Connection", "--workers", "2"]
        env = os.environ | {"PORT": str(port), "DJANGO_SETTINGS_MODULE": "portal.settings"}
        log = (it.folder / "web.log").open("ab")
        web = subprocess.Popen([*command, "--no-access-log", "--lifespan", "off"], env=env, stdout=log, stderr=log)
        try:
            found = Running(
                f"http://127.0.0.1:{port}", tokens["all"], tokens["half"], people["all"], people["half"],
                it.superuser, {"app": psutil.Process(web.pid), "db": psutil.Process(it.database.child.pid)}, size,
            )  # fmt: skip
            found.ids = [str(pk) for pk in self._ids(size)]
            found.links = self._links(len(found.ids))
            yield found
        finally:
            web.terminate()
            web.wait()

    def _people(self, name: str, teams: list[str]) -> Any:
        """Somebody who may do everything where the services of ``teams`` are."""
        from django.db import transaction

        from identity import rights
        from tests import world

        account = world.account(name, kind="human")
        with transaction.atomic():
            for role in ("operations_owner", "administrator"):
                if len(teams) == len(estate.TEAMS):
                    rights.bind(role, rights.scope_for(), account=account)
                    continue
                for service in (f"{team}-{number}" for team in teams for number in range(10)):
                    rights.bind(role, rights.scope_for("*", service), account=account)
        return account

    def _ids(self, size: int) -> list[Any]:
        from inventory.models import Component

        rows = Component.objects.order_by("external_id").values_list("pk", flat=True)
        return list(rows[: min(size, 900)])

    def _links(self, count: int) -> list[str]:
        from inventory.models import Dependency

        return [str(pk) for pk in Dependency.objects.order_by("pk").values_list("pk", flat=True)[:count]]


class NetBox(System):
    """NetBox 4.x, devices being its objects. It is not started here (``bench.netbox`` does).

    ``BENCH_NETBOX`` names a file of JSON that says where it answers (base, database), how to sign in (token, cookie,
    half_token, half_cookie), its process numbers (app, db, and jobs if any) and how many devices it has (size).
    """

    name = "netbox"
    reads = {
        "REST list of 50": "/api/dcim/devices/?limit=50",
        "REST list of 1000": "/api/dcim/devices/?limit=1000",
        "REST page in the middle": "{deep}",
        "REST page in the middle, by key": "/api/dcim/devices/?limit=50&start={middle}",
        "REST three filters": "/api/dcim/devices/?limit=50&site={data_center}&role={role}&tag={tag}",
        "REST q, exact name": "/api/dcim/devices/?limit=50&q={name}",
        "REST q, matches an eighth": "/api/dcim/devices/?limit=50&q=web",
        "REST detail": "/api/dcim/devices/{id}/",
    }
    pages = {
        "HTML list": "/dcim/devices/?per_page=50",
        "HTML three filters": "/dcim/devices/?per_page=50&site={data_center}&role={role}&tag={tag}",
        "HTML detail": "/dcim/devices/{id}/",
    }
    halves = ("HTML list", "HTML three filters")
    palette = {
        "search, exact name": "/search/?q={name}",
        "search, beginning": "/search/?q={start}",
        "search, matches an eighth": "/search/?q=web",
        "search, matches all": "/search/?q=inventory",
        "search, nothing": "/search/?q=zebra-quagga",
    }
    batches = (0, 1)
    waiting = "SELECT count(*) FROM core_job WHERE status IN ('pending', 'running')"
    same = {"REST page in the middle, by key": "REST page in the middle"}
    written = "core_objectchange"
    types = "model-01"

    def create(self, facts: dict[str, Any]) -> tuple[str, str, Any]:
        return "POST", "/api/dcim/devices/", self._row(facts)

    def create_many(self, many: list[dict[str, Any]]) -> tuple[str, str, Any]:
        return "POST", "/api/dcim/devices/", [self._row(each) for each in many]

    def change(self, id: str, text: str) -> tuple[str, str, Any]:
        return "PATCH", f"/api/dcim/devices/{id}/", {"description": text}

    def _row(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Others are named by what is unique of them, which NetBox takes as well as their keys."""
        return {
            "name": facts["name"], "site": {"slug": facts["data_center"]}, "role": {"slug": facts["role"]},
            "device_type": {"slug": self.types}, "tenant": {"slug": facts["team"]}, "serial": facts["external_id"],
            "tags": [{"slug": tag} for tag in facts["tags"]], "description": facts["description"],
            "status": STATES[facts["status"]], "custom_fields": facts["custom"],
        }  # fmt: skip

    @contextmanager
    def running(self, folder: Path, size: int) -> Iterator[Running]:
        import httpx

        said = json.loads(Path(os.environ["BENCH_NETBOX"]).read_text())
        tokens = [{"Authorization": f"Bearer {said[name]}"} for name in ("token", "half_token")]
        cookies = [{"Cookie": said[name]} for name in ("cookie", "half_cookie")]
        processes = {name: psutil.Process(said[name]) for name in ("app", "db", "jobs") if name in said}
        found = Running(said["base"], *tokens, *cookies, said["database"], processes, said["size"])
        path = f"{found.base}/api/dcim/devices/?brief=true&ordering=id"
        with httpx.Client(headers=found.all, timeout=300) as client:
            found.ids = [str(row["id"]) for row in client.get(f"{path}&limit=900").json()["results"]]
            (row,) = client.get(f"{path}&limit=1&offset={found.size // 2}").json()["results"]
        found.middle = str(row["id"])
        found.deep = f"/api/dcim/devices/?limit=50&offset={found.size // 2}"
        yield found


SYSTEMS: dict[str, type[System]] = {system.name: system for system in (Portal, NetBox)}


def fresh(number: int) -> dict[str, Any]:
    """A record that no estate has yet."""
    facts = estate.record(number)
    mark = secrets.token_hex(4)
    facts["name"] += f"-{mark}"
    facts["slug"] += f"-{mark}"
    facts["external_id"] += f"-{mark}"
    return facts
