"""Alertmanager: what fires, what is silenced, and placing and ending silences.

Source: the API's own description, alertmanager `api/v2/openapi.yaml`. Alertmanager does not recognise a repeated
request: a silence is placed twice when it is asked for twice. So each one carries a mark in its comment, made when the
act is planned, and is looked for before it is placed.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

import httpx
from msgspec import Meta

from drivers.acts import Act, Call, Condition, Parameters, Report, Risk
from drivers.base import Driver, Observation
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.prometheus_api import Endpoint

SHOWN = 50
_MATCHER = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)(=~|!~|!=|=)(.{0,200})")
Matcher = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*(=~|!~|!=|=).{1,200}$")]


class SilenceParameters(Parameters):
    matchers: Annotated[
        list[Matcher],
        Meta(
            title="Matchers",
            description="Alerts that fit all of them: name=value, name!=value, name=~regular expression, name!~…",
            min_length=1,
            max_length=20,
        ),
    ]
    minutes: Annotated[int, Meta(title="Minutes", ge=1, le=10_080, description="At most one week.")]
    comment: Annotated[str, Meta(title="Why", min_length=1, max_length=500)]
    creator: Annotated[str, Meta(title="On behalf of", pattern=r"^[A-Za-z0-9][A-Za-z0-9@._ -]{0,99}$", max_length=100)]


class Silence(Act["Alertmanager", SilenceParameters]):
    """`POST /api/v2/silences`."""

    name = "silence"
    title = "Silence alerts for {minutes} minutes"
    summary = (
        "For the given time nobody is told of alerts that fit all matchers, also of ones that have not begun yet. "
        "The alerts themselves go on and stay visible."
    )
    risk = Risk.MEDIUM
    Parameters = SilenceParameters
    undo_title = "Expire this silence"

    def check(self, params: SilenceParameters) -> None:
        for text in params.matchers:
            parsed(text)

    def before(self, driver: Alertmanager, params: SilenceParameters) -> Report:
        alerts = driver.alerts([parsed(text) for text in params.matchers])
        affected = sorted({alert["labels"].get("alertname", "") for alert in alerts})
        return {"mark": f"portal-{uuid.uuid4().hex}", "fits_now": len(alerts), "alerts": affected[:SHOWN]}

    def sends(self, driver: Alertmanager, params: SilenceParameters, before: Mapping[str, Any]) -> list[str]:
        body = {**_body(params, before["mark"]), "endsAt": f"in {params.minutes} minutes"}
        return [f"POST /api/v2/silences {json.dumps(body)}"]

    def done(self, driver: Alertmanager, params: SilenceParameters, before: Mapping[str, Any]) -> bool:
        return bool(driver.marked(before["mark"]))

    def do(self, driver: Alertmanager, params: SilenceParameters, before: Mapping[str, Any], call: Call) -> Report:
        placed = driver.marked(before["mark"])
        if not placed:
            call.check()
            now = datetime.now(UTC)
            times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(minutes=params.minutes)).isoformat()}
            driver.api.json("POST", "/api/v2/silences", json={**_body(params, before["mark"]), **times})
            placed = driver.marked(before["mark"])
            if not placed:
                raise TransientError("Alertmanager accepted the silence and does not show it")
            call.log(f"Silence {placed[0]['id']} until {placed[0]['endsAt']}")
        return {"silence": placed[0]["id"], "ends_at": placed[0]["endsAt"]}

    def undo(self, driver: Alertmanager, params: SilenceParameters, before: Mapping[str, Any], call: Call) -> Report:
        running = [one["id"] for one in driver.marked(before["mark"]) if _runs(one)]
        for silence in running:
            call.check()
            driver.expire(silence)
        return {"expired": running}


class ExpireParameters(Parameters):
    silence: Annotated[
        str, Meta(title="Silence", description="Its id.", pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    ]


class ExpireSilence(Act["Alertmanager", ExpireParameters]):
    """`DELETE /api/v2/silence/{id}`; an expired silence cannot be revived, so undoing places an equal one."""

    name = "expire-silence"
    title = "Expire silence {silence}"
    summary = "The silence ends now: people are told again of every alert that it held back and that still fires."
    risk = Risk.MEDIUM
    Parameters = ExpireParameters
    undo_title = "Place an equal silence until the same time"

    def conditions(self, driver: Alertmanager, params: ExpireParameters) -> list[Condition]:
        state = driver.silence(params.silence)["status"]["state"]
        return [Condition("The silence is running or will begin", state != "expired", f"it is {state}")]

    def before(self, driver: Alertmanager, params: ExpireParameters) -> Report:
        silence = driver.silence(params.silence)
        kept = {name: silence[name] for name in ("matchers", "startsAt", "endsAt", "createdBy", "comment")}
        return {"silence": kept, "state": silence["status"]["state"], "mark": f"portal-{uuid.uuid4().hex}"}

    def sends(self, driver: Alertmanager, params: ExpireParameters, before: Mapping[str, Any]) -> list[str]:
        return [f"DELETE /api/v2/silence/{params.silence}"]

    def done(self, driver: Alertmanager, params: ExpireParameters, before: Mapping[str, Any]) -> bool:
        return not _runs(driver.silence(params.silence))

    def do(self, driver: Alertmanager, params: ExpireParameters, before: Mapping[str, Any], call: Call) -> Report:
        if not self.done(driver, params, before):
            call.check()
            driver.expire(params.silence)
        return {"expired": params.silence}

    def undo(self, driver: Alertmanager, params: ExpireParameters, before: Mapping[str, Any], call: Call) -> Report:
        over = datetime.fromisoformat(before["silence"]["endsAt"]) <= datetime.now(UTC)
        if over or before["state"] == "expired" or _runs(driver.silence(params.silence)):
            return {"placed": None}
        placed = driver.marked(before["mark"])
        if not placed:
            call.check()
            begins = max(before["silence"]["startsAt"], datetime.now(UTC).isoformat())
            comment = f"{before['silence']['comment']} [{before['mark']}]"
            body = {**before["silence"], "startsAt": begins, "comment": comment}
            driver.api.json("POST", "/api/v2/silences", json=body)
            placed = driver.marked(before["mark"])
        return {"placed": placed[0]["id"] if placed else None}


class Alertmanager(Driver):
    """Facts: `url`; optionally `username` with `password`, or `token` (references), and `ca`."""

    kind: ClassVar[str] = "alertmanager"
    required: ClassVar[tuple[str, ...]] = ("url",)
    acts: ClassVar[tuple[Any, ...]] = (Silence(), ExpireSilence())
    transport: httpx.BaseTransport | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.api = Endpoint(self.facts, self.secrets, self.transport)

    def observe(self) -> Observation:
        """Version, cluster, alerts and silences.

        Healthy means: it answers, and its cluster has settled (or there is none).
        """
        try:
            status = self.api.json("GET", "/api/v2/status")
            alerts, silences = self.alerts(), self.silences()
        except TransientError as error:
            return self.down(error)
        cluster = status["cluster"]
        running = [one for one in silences if _runs(one)]
        states = Counter(alert["status"]["state"] for alert in alerts)
        facts = {
            "url": self.api.url,
            "cluster": cluster["status"],
            "peers": [peer["address"] for peer in cluster.get("peers") or []],
            "alerts": [_alert(alert) for alert in alerts[:SHOWN]],
            "silences": [_silence(silence) for silence in running[:SHOWN]],
        }
        readings = {
            "alerts": float(len(alerts)),
            "alerts_suppressed": float(states["suppressed"]),
            "silences": float(len(running)),
            "peers": float(len(facts["peers"])),
        }
        version = str(status["versionInfo"]["version"])
        return self.seen(cluster["status"] in ("ready", "disabled"), facts, readings, version)

    def alerts(self, matchers: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        """The alerts that it knows of, as the API gives them; with `matchers`, those that fit all of them."""
        filters = [_filter(matcher) for matcher in matchers or []]
        return list(self.api.json("GET", "/api/v2/alerts", params={"filter": filters}))

    def silences(self) -> list[dict[str, Any]]:
        """All silences, the expired ones that it still remembers (five days, by default) included."""
        return list(self.api.json("GET", "/api/v2/silences"))

    def silence(self, identifier: str) -> dict[str, Any]:
        """One silence; `InvalidInput` when it is not known."""
        for silence in self.silences():
            if silence["id"] == identifier:
                return silence
        raise InvalidInput(f"Alertmanager knows no silence {identifier}")

    def marked(self, mark: str) -> list[dict[str, Any]]:
        """The silences with this mark in their comment, in whatever state."""
        return [silence for silence in self.silences() if silence["comment"].endswith(f"[{mark}]")]

    def expire(self, identifier: str) -> None:
        """End one silence and see that it has ended."""
        reply = self.api.ask("DELETE", f"/api/v2/silence/{identifier}")
        if _runs(self.silence(identifier)):
            failure = PermanentError if reply.status in (400, 403, 404, 405) else TransientError
            raise failure(f"the silence {identifier} did not end: {reply.says}")


def parsed(text: str) -> dict[str, Any]:
    """A matcher as the API takes it, from `name=value`, `name!=value`, `name=~regex` or `name!~regex`."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise InvalidInput("a matcher looks like name=value, name!=value, name=~regex or name!~regex")
    name, sign, value = found.groups()
    if len(value) > 1 and value[0] == value[-1] == '"':  # the way amtool and Prometheus write it
        value = value[1:-1]
    if not value:
        raise InvalidInput(f"the matcher of {name} needs a value")
    return {"name": name, "value": value, "isRegex": "~" in sign, "isEqual": "!" not in sign}


def _sign(matcher: Mapping[str, Any]) -> str:
    equal = matcher.get("isEqual", True)
    return {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}[
        equal, matcher["isRegex"]
    ]


def _filter(matcher: Mapping[str, Any]) -> str:
    return f"{matcher['name']}{_sign(matcher)}{json.dumps(matcher['value'], ensure_ascii=False)}"


def _runs(silence: Mapping[str, Any]) -> bool:
    return bool(silence["status"]["state"] != "expired")


def _body(params: SilenceParameters, mark: str) -> dict[str, Any]:
    return {
        "matchers": [parsed(text) for text in params.matchers],
        "createdBy": params.creator,
        "comment": f"{params.comment} [{mark}]",
    }


def _alert(alert: Mapping[str, Any]) -> dict[str, Any]:
    status = alert["status"]
    shown = {"labels": alert["labels"], "since": alert["startsAt"], "state": status["state"]}
    return shown | {"silenced_by": status["silencedBy"], "inhibited_by": status["inhibitedBy"]}


def _silence(silence: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: silence[name] for name in ("id", "startsAt", "endsAt", "createdBy", "comment")}
    fits = [_filter(matcher) for matcher in silence["matchers"]]
    return {**shown, "matchers": fits, "state": silence["status"]["state"]}
