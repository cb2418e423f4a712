"""Prometheus: targets, rules, firing alerts, queries within limits, and reloading the configuration.

Source: prometheus.io/docs/prometheus/latest/querying/api and …/management-api. A reload is proved by the server's own
metric `prometheus_config_last_reload_success_timestamp_seconds`: the request's answer would not survive a lost
connection.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import httpx

from drivers.acts import Act, Call, Condition, Nothing, Report, Risk
from drivers.base import Driver, Observation
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.prometheus_api import READ_SECONDS, Endpoint

MAX_SERIES = 1_000
MAX_POINTS = 11_000
"""Points of one series that Prometheus itself would give at most."""
MAX_EXPRESSION = 8_000
SHOWN = 50
_RELOADED_AT = "prometheus_config_last_reload_success_timestamp_seconds"
_RELOADED = "prometheus_config_last_reload_successful"
_QUERY_PART = re.compile(r"\?[^\s\"]*")


@dataclass(frozen=True, slots=True)
class Series:
    """Labels, and (seconds since 1970, value) in order of time; a value may be NaN or infinite."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


class ReloadConfiguration(Act["Prometheus", Nothing]):
    """`POST /-/reload`."""

    name = "reload-configuration"
    title = "Reload the configuration"
    summary = (
        "Prometheus reads its configuration and rule files again, without a restart. Collecting and alerting go on. "
        "When a file has a mistake, it refuses and keeps running with what it has; this is then reported."
    )
    risk = Risk.LOW
    why_no_undo = "Prometheus keeps no former configuration; put the former file back and reload again."

    def conditions(self, driver: Prometheus, params: Nothing) -> list[Condition]:
        enabled = driver.flags().get("web.enable-lifecycle", "unknown")
        text = "Prometheus was started with --web.enable-lifecycle"
        return [Condition(text, enabled == "true", f"web.enable-lifecycle is {enabled}")]

    def before(self, driver: Prometheus, params: Nothing) -> Report:
        at, good = driver.last_reload()
        return {"reloaded_at": at, "last_reload_succeeded": good}

    def sends(self, driver: Prometheus, params: Nothing, before: Mapping[str, Any]) -> list[str]:
        return ["POST /-/reload"]

    def done(self, driver: Prometheus, params: Nothing, before: Mapping[str, Any]) -> bool:
        at, good = driver.last_reload()
        return good and at > before["reloaded_at"]

    def do(self, driver: Prometheus, params: Nothing, before: Mapping[str, Any], call: Call) -> Report:
        if not self.done(driver, params, before):
            call.check()
            reply = driver.api.ask("POST", "/-/reload")
            if reply.status != 200:
                failure = TransientError if reply.status in (502, 503, 504) else PermanentError
                raise failure(f"Prometheus did not reload: {reply.says}")
            call.log("Prometheus has read its configuration again")
        return {"reloaded_at": driver.last_reload()[0]}


class Prometheus(Driver):
    """Facts: `url`; optionally `username` with `password`, or `token` (references), and `ca`."""

    kind: ClassVar[str] = "prometheus"
    required: ClassVar[tuple[str, ...]] = ("url",)
    acts: ClassVar[tuple[Any, ...]] = (ReloadConfiguration(),)
    transport: httpx.BaseTransport | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.api = Endpoint(self.facts, self.secrets, self.transport)

    def observe(self) -> Observation:
        """Version, targets that are up and down, rules that fail, alerts that fire.

        Healthy means: the last reload of the configuration succeeded, and every rule could be evaluated. A target
        that is down is told, but is not the fault of Prometheus.
        """
        try:
            version = str(self._data("GET", "/api/v1/status/buildinfo")["version"])
            facts, readings = self._targets()
            failing = [rule for group in self.rules() for rule in group["rules"] if rule["last_error"]]
            firing = [one for one in self._data("GET", "/api/v1/alerts")["alerts"] if one["state"] == "firing"]
            reloaded_at, good = self.last_reload()
        except TransientError as error:
            return self.down(error)
        facts |= {
            "failing_rules": failing[:SHOWN],
            "firing": [{"labels": one["labels"], "since": one["activeAt"]} for one in firing[:SHOWN]],
            "configuration_is_good": good,
        }
        readings |= {
            "rules_failing": float(len(failing)),
            "alerts_firing": float(len(firing)),
            "configuration_reloaded_seconds": reloaded_at,
        }
        if not good:
            facts["error"] = "the last reload of the configuration failed; it runs with the former one"
        return self.seen(good and not failing, facts, readings, version)

    def query(self, expression: str, at: datetime | None = None) -> list[Series]:
        """The value of `expression` at one instant (now, when none is given), one point in each series.

        `PermanentError` with what Prometheus says of a wrong expression, or when there are more than `MAX_SERIES`.
        """
        form = {"query": _expression(expression), "timeout": f"{READ_SECONDS - 1:g}s"}
        if at is not None:
            form["time"] = str(_seconds(at))
        return self._series(self._data("POST", "/api/v1/query", data=form))

    def query_range(self, expression: str, start: datetime, end: datetime, step: float) -> list[Series]:
        """The values from `start` to `end` every `step` seconds; at most `MAX_POINTS` points in a series."""
        first, last = _seconds(start), _seconds(end)
        if step <= 0 or last < first or (last - first) / step >= MAX_POINTS:
            raise InvalidInput(f"a range goes forward in time and has at most {MAX_POINTS} points")
        form = {"query": _expression(expression), "start": first, "end": last, "step": step}
        form["timeout"] = f"{READ_SECONDS - 1:g}s"
        return self._series(self._data("POST", "/api/v1/query_range", data=form))

    def rules(self) -> list[dict[str, Any]]:
        """The rule groups: `name`, `file`, `interval_seconds`, and `rules` with `name`, `type` (alerting, recording),
        `expression`, `health`, `last_error` and, for alerting rules, `state`."""
        return [
            {
                "name": group["name"],
                "file": group["file"],
                "interval_seconds": float(group["interval"]),
                "rules": [_rule(rule) for rule in group["rules"]],
            }
            for group in self._data("GET", "/api/v1/rules")["groups"]
        ]

    def flags(self) -> dict[str, str]:
        """The command line flags that it was started with."""
        return dict(self._data("GET", "/api/v1/status/flags"))

    def last_reload(self) -> tuple[float, bool]:
        """When the configuration was last read with success (seconds since 1970), and whether the last try was one."""
        reply = self.api.ask("GET", "/metrics")
        metrics = dict(line.rsplit(" ", 1) for line in reply.text.splitlines() if line.startswith(_RELOADED[:30]))
        try:
            return float(metrics[_RELOADED_AT]), float(metrics[_RELOADED]) == 1
        except (KeyError, ValueError):
            raise TransientError(f"{self.api.url}/metrics does not tell of the last reload") from None

    def _data(self, method: str, path: str, **sent: Any) -> Any:
        answer = self.api.json(method, path, **sent)
        if not isinstance(answer, dict) or answer.get("status") != "success" or "data" not in answer:
            raise TransientError(f"{self.api.url}{path} does not answer like Prometheus")
        return answer["data"]

    def _targets(self) -> tuple[dict[str, Any], dict[str, float]]:
        targets = self._data("GET", "/api/v1/targets", params={"state": "active"})["activeTargets"]
        health = Counter(target["health"] for target in targets)
        down = [
            {
                "job": target["labels"].get("job", ""),
                "instance": target["labels"].get("instance", ""),
                # the address that was asked may carry a key in its query
                "error": _QUERY_PART.sub("?…", target["lastError"])[:200],
            }
            for target in targets
            if target["health"] == "down"
        ]
        counts = {f"targets_{name}": float(health[name]) for name in ("up", "down", "unknown")}
        return {"url": self.api.url, "targets_down": down[:SHOWN]}, counts

    def _series(self, data: Mapping[str, Any]) -> list[Series]:
        if data["resultType"] == "scalar":
            return [Series({}, (_point(data["result"]),))]
        if data["resultType"] not in ("vector", "matrix"):
            raise InvalidInput(f"an expression that gives a {data['resultType']} is not a time series")
        if len(data["result"]) > MAX_SERIES:
            raise PermanentError(f"the expression gives more than {MAX_SERIES} series; aggregate them")
        return [
            Series(one["metric"], tuple(_point(pair) for pair in one.get("values") or [one["value"]]))
            for one in data["result"]
            if "values" in one or "value" in one  # native histograms have neither
        ]


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"name": rule["name"], "type": rule["type"], "expression": rule["query"], "health": rule["health"]}
    shown["last_error"] = str(rule.get("lastError", ""))[:300]
    return shown | ({"state": rule["state"]} if "state" in rule else {})


def _point(pair: Any) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def _expression(expression: object) -> str:
    if not isinstance(expression, str) or not 0 < len(expression) <= MAX_EXPRESSION:
        raise InvalidInput(f"an expression has 1 to {MAX_EXPRESSION} characters")
    return expression


def _seconds(at: datetime) -> float:
    if at.tzinfo is None:
        raise InvalidInput("an instant needs its time zone")
    return at.timestamp()
