"""A Prometheus that exists only in memory: the driver's own code over httpx's mock transport."""

from __future__ import annotations

import time
from typing import Any

import httpx

from drivers.acts import Act
from drivers.prometheus import Prometheus
from drivers.secret import Secret, SecretStore
from tests.drivers.contract import World


class AnySecret(SecretStore):
    """Every reference leads to a secret."""

    def resolve(self, reference: object) -> Secret:
        return Secret("secret")


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


class PrometheusWorld(World):
    driver_class = Prometheus
    examples = {"reload-configuration": {}}

    def __init__(self) -> None:
        self.reloaded_at = time.time() - 60
        self.paths = {
            "/api/v1/status/buildinfo": {"version": "2.42.0"},
            "/api/v1/status/flags": {"web.enable-lifecycle": "true"},
            "/api/v1/targets": {"activeTargets": []},
            "/api/v1/rules": {"groups": []},
            "/api/v1/alerts": {"alerts": []},
        }

    def driver(self) -> Prometheus:
        return self._over(self.answer)

    def unreachable(self) -> Prometheus:
        return self._over(refused)

    def picture(self) -> Any:
        return self.reloaded_at

    def prepare(self, act: Act[Any, Any]) -> None:
        """There is always something to read again."""

    @staticmethod
    def _over(answer: Any) -> Prometheus:
        kind = type("Prometheus", (Prometheus,), {"transport": httpx.MockTransport(answer)})
        return kind({"url": "http://prometheus.test:9090"}, AnySecret())

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if (request.method, path) == ("POST", "/-/reload"):
            self.reloaded_at = time.time()
            return httpx.Response(200)
        if path == "/metrics":
            names = (
                "prometheus_config_last_reload_successful",
                "prometheus_config_last_reload_success_timestamp_seconds",
            )
            return httpx.Response(200, text=f"{names[0]} 1\n{names[1]} {self.reloaded_at}\n")
        if path in self.paths:
            return httpx.Response(200, json={"status": "success", "data": self.paths[path]})
        return httpx.Response(404, text="not found")


SIMULATED = {"prometheus": PrometheusWorld}
