"""Operations together with what a screen or an answer shows of them."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import F, Prefetch, Q

from operations import lifecycle
from operations.models import Approval, Operation, OperationQuerySet, Schedule, Step, StepLog

# What a page shows of each step; the whole log is a page of its own.
RECENT_LINES = 20


def with_steps(rows: OperationQuerySet) -> OperationQuerySet:
    """``rows`` with their steps and who agreed."""
    steps = Prefetch("steps", Step.objects.order_by("position"))
    agreed = Prefetch("approvals", Approval.objects.select_related("person", "account"))
    return rows.select_related("scope", "requested_by").prefetch_related(steps, agreed)


def with_log(rows: OperationQuerySet) -> OperationQuerySet:
    """``with_steps``, and each step's ``recent`` lines, newest first."""
    recent = Prefetch("steps__lines", StepLog.objects.order_by("-seq")[:RECENT_LINES], to_attr="recent")
    return with_steps(rows).prefetch_related(recent)


def ahead(operation: Operation) -> Any:
    """Who comes before a queued operation at its target: what holds it, more urgent ones, those that wait longer."""
    sooner = Q(priority__lt=operation.priority) | Q(priority=operation.priority, number__lt=operation.number)
    waits = Q(state=lifecycle.QUEUED) & sooner
    rows = Operation.objects.filter(target=operation.target, mutating=True).exclude(pk=operation.pk)
    holder_first = F("started_at").asc(nulls_last=True)
    return rows.filter(Q(state__in=lifecycle.HOLDING) | waits).order_by(holder_first, "priority", "number")


def whole_log(operation: Operation) -> Any:
    """Every line of every step, in order of writing."""
    return StepLog.objects.filter(step__operation=operation).select_related("step").order_by("seq")


def subject_of(operation: Operation | Schedule, reader: Any) -> Any:
    """The thing operated on, when it still exists and ``reader`` may see it."""
    return _visible(operation.subject_type, operation.subject_id, reader)


def cause_of(operation: Operation, reader: Any) -> Any:
    """What it was asked for, such as an incident, when ``reader`` may see it."""
    return _visible(operation.cause_type, operation.cause_id, reader)


def named(name: str, reader: Any) -> Any:
    """The thing that ``name`` ("app.model:key") names, when it exists and ``reader`` may see it."""
    label, _, pk = name.partition(":")
    try:
        return _visible(label, pk, reader) if pk else None
    except (ValidationError, ValueError):
        return None


def _visible(label: str, pk: str, reader: Any) -> Any:
    try:
        rows = apps.get_model(label)._default_manager.all() if label else None
    except LookupError:
        return None
    if rows is None or not hasattr(rows, "visible_to"):
        return None
    return rows.visible_to(reader).filter(pk=pk).first()
