"""An Alertmanager that exists only in memory: the driver's own code over httpx's mock transport."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from drivers.acts import Act
from drivers.alertmanager import Alertmanager
from tests.drivers.contract import World
from tests.drivers.simulated.prometheus import AnySecret, refused

KNOWN = "11111111-2222-3333-4444-555555555555"
SILENCE = {"matchers": ["alertname=Down", "site=~us-.*"], "minutes": 30, "comment": "planned", "creator": "ann"}


class AlertmanagerWorld(World):
    """`examples` of expiring name a silence that `prepare` places."""

    driver_class = Alertmanager
    examples = {"silence": SILENCE, "expire-silence": {"silence": KNOWN}}
    free_text = frozenset({"silence.comment"})

    def __init__(self) -> None:
        self.silences: dict[str, dict[str, Any]] = {}

    def driver(self) -> Alertmanager:
        return self._over(self.answer)

    def unreachable(self) -> Alertmanager:
        return self._over(refused)

    def picture(self) -> Any:
        return running(list(self.silences.values()))

    def prepare(self, act: Act[Any, Any]) -> None:
        if act.name == "expire-silence":
            ends = datetime.now(UTC) + timedelta(hours=1)
            matcher = {"name": "alertname", "value": "Slow", "isRegex": False, "isEqual": True}
            placed = {"matchers": [matcher], "createdBy": "bob", "comment": "night", "endsAt": ends.isoformat()}
            self.place({**placed, "startsAt": datetime.now(UTC).isoformat()}, KNOWN)

    def place(self, body: dict[str, Any], identifier: str) -> None:
        self.silences[identifier] = {**body, "id": identifier, "status": {"state": "active"}}

    @staticmethod
    def _over(answer: Any) -> Alertmanager:
        kind = type("Alertmanager", (Alertmanager,), {"transport": httpx.MockTransport(answer)})
        return kind({"url": "http://alertmanager.test:9093"}, AnySecret())

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, method = request.url.path, request.method
        if (method, path) == ("POST", "/api/v2/silences"):
            identifier = str(uuid.uuid4())
            self.place(json.loads(request.content), identifier)
            return httpx.Response(200, json={"silenceID": identifier})
        if method == "DELETE" and path.startswith("/api/v2/silence/"):
            self.silences[path.rpartition("/")[2]]["status"] = {"state": "expired"}
            return httpx.Response(200)
        fixed = {
            "/api/v2/status": {"cluster": {"status": "ready"}, "versionInfo": {"version": "0.25.0"}},
            "/api/v2/alerts": [],
            "/api/v2/silences": list(self.silences.values()),
        }
        return httpx.Response(200, json=fixed[path]) if path in fixed else httpx.Response(404)


def running(silences: list[dict[str, Any]]) -> list[Any]:
    """What the running silences hold back, without what another but equal one may have for itself."""
    return sorted(
        (json.dumps(one["matchers"], sort_keys=True), one["createdBy"], one["comment"].partition(" [")[0])
        for one in silences
        if one["status"]["state"] != "expired"
    )


SIMULATED = {"alertmanager": AlertmanagerWorld}
