"""Alertmanager's webhook body, version 4, read with suspicion.

Facts: docs/configuration.md and template/template.go of Prometheus Alertmanager. The sender repeats what is answered
5xx and drops what is answered 4xx; ``endsAt`` is the year 0001 while an alert fires; ``fingerprint`` with ``startsAt``
names one firing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rest_framework import serializers

MAX_BODY = 1024 * 1024
MAX_ALERTS = 1000
MAX_LABELS = 100


class AlertInput(serializers.Serializer[Any]):
    """One alert of the body."""

    status = serializers.ChoiceField(choices=["firing", "resolved"])
    labels = serializers.DictField(child=serializers.CharField(allow_blank=True, max_length=4096))
    annotations = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=16384), required=False, default=dict
    )
    startsAt = serializers.DateTimeField()
    endsAt = serializers.CharField(required=False, allow_blank=True, max_length=64)
    generatorURL = serializers.CharField(required=False, allow_blank=True, max_length=4096)
    fingerprint = serializers.CharField(max_length=200)

    def validate_labels(self, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MAX_LABELS:
            raise serializers.ValidationError(f"An alert has at most {MAX_LABELS} labels.")
        return value


class AlertmanagerInput(serializers.Serializer[Any]):
    """What Alertmanager posts (version 4). Other fields are kept in the raw body and otherwise ignored."""

    version = serializers.CharField(max_length=8)
    groupKey = serializers.CharField(required=False, allow_blank=True, max_length=8192)
    status = serializers.ChoiceField(choices=["firing", "resolved"], required=False)
    receiver = serializers.CharField(required=False, allow_blank=True, max_length=1024)
    truncatedAlerts = serializers.IntegerField(required=False, min_value=0)
    alerts = serializers.ListField(child=serializers.JSONField(), allow_empty=False, max_length=MAX_ALERTS)

    def validate_version(self, value: str) -> str:
        if value != "4":
            raise serializers.ValidationError("Only version 4 of the webhook body is understood.")
        return value


@dataclass(frozen=True)
class Alert:
    """One usable alert."""

    firing: bool
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    fingerprint: str

    @property
    def name(self) -> str:
        return (self.annotations.get("summary") or self.labels.get("alertname") or "Unnamed alert")[:200]


@dataclass
class Parsed:
    """The usable alerts, and a sentence for each thing that is wrong. ``status`` is what to answer."""

    alerts: list[Alert] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    status: int = 200


def parse(body: bytes) -> Parsed:
    """Read a body. Never raises: what cannot be used is named in ``problems``."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return Parsed(problems=["The body is not JSON."], status=400)
    try:
        data = storable(data)
    except RecursionError:
        return Parsed(problems=["The body is nested too deeply."], status=400)
    outer = AlertmanagerInput(data=data)
    if not outer.is_valid():
        return Parsed(problems=_sentences("", outer.errors), status=422)
    parsed = Parsed()
    for place, item in enumerate(outer.validated_data["alerts"], 1):
        inner = AlertInput(data=item)
        if inner.is_valid():
            parsed.alerts.append(_alert(inner.validated_data))
        else:
            parsed.problems += _sentences(f"alert {place}: ", inner.errors)
    parsed.status = 200 if parsed.alerts else 422
    return parsed


def _alert(facts: dict[str, Any]) -> Alert:
    return Alert(
        facts["status"] == "firing",
        facts["labels"],
        facts.get("annotations", {}),
        facts["startsAt"],
        facts["fingerprint"],
    )


def _sentences(prefix: str, errors: Any, path: str = "") -> list[str]:
    if isinstance(errors, dict):
        return [
            text
            for name, inner in errors.items()
            for text in _sentences(prefix, inner, f"{path}.{name}" if path else str(name))
        ]
    label = "" if path == "non_field_errors" else f"{path}: "
    return [f"{prefix}{label}{error}"[:500] for error in errors]


def storable(value: Any) -> Any:
    """The same value with what PostgreSQL cannot hold as text (NUL, lone surrogates) replaced by U+FFFD."""
    if isinstance(value, str):
        return (
            value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
            if not value.isascii() or "\0" in value
            else value
        )
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): storable(inner) for name, inner in value.items()}
    return value
