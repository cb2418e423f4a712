"""What is sent, into the database: one row or many, for real or as a rehearsal."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.request import Request

from identity.idempotency import once
from inventory.actions.estate import rehearse, write_many
from inventory.api import reading
from inventory.writing import Batch, Mode, NotThere, plain_conflicts
from portal.errors import Invalid

MOST = 5000
"""Rows in one request. More of them hold the stream of events for too long; send several requests."""
OWN = {"dry_run", "format", *reading.SHAPE}
TAG = re.compile(r'(?:W/)?"([0-9a-f]{32})-(\d{1,9})"')


def many(noun: str, request: Request, mode: Mode) -> HttpResponse:
    """A list of rows, or with ``create`` also a single one."""
    data = request.data
    if mode == "create" and isinstance(data, dict):
        return _answered(noun, request, [data], mode, single=True)
    if not isinstance(data, list):
        raise ParseError("The body must be a list of rows.")
    if len(data) > MOST:
        raise Invalid(f"One request takes at most {MOST:,} rows.")
    return _answered(noun, request, data, mode)


def one(noun: str, request: Request, key: UUID, mode: Mode) -> HttpResponse:
    """The row of an address. ``If-Match`` refuses when it is no longer what was read."""
    data = {} if mode == "remove" else request.data
    if not isinstance(data, dict):
        raise ParseError("The body must be a row.")
    if str(data.get("id", key)).lower().replace("-", "") != key.hex:
        raise ValidationError({"id": ["This is not the row of this address."]})
    row = {**data, "id": key} | _expected(request, key)
    try:
        return _answered(noun, request, [row], mode, single=True)
    except NotThere:
        raise Http404 from None


def _expected(request: Request, key: UUID) -> dict[str, int]:
    """The revision that ``If-Match`` names; one that no row ever has for a tag of something else."""
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return {}
    tags = [match for match in TAG.findall(given) if match[0] == key.hex]
    return {"revision": int(tags[0][1]) if tags else 0}


def _answered(noun: str, request: Request, rows: list[Any], mode: Mode, *, single: bool = False) -> HttpResponse:
    if unknown := set(request.query_params) - OWN:
        raise ValidationError({name: ["There is no such parameter here."] for name in sorted(unknown)})
    shaped = reading.shape(noun, request.query_params)
    if _dry(request):
        return reading.as_json(difference(rehearse(noun, rows, by=request.user, mode=mode)))

    def act() -> HttpResponse:
        batch = write_many(noun, rows, by=request.user, mode=mode)
        return _answer(batch, request, shaped, single=single)

    with plain_conflicts():
        return once(request, act) if request.method == "POST" else act()


def _dry(request: Request) -> bool:
    word = request.query_params.get("dry_run", "false").lower()
    if word not in ("true", "false", "1", "0"):
        raise ValidationError({"dry_run": ["This must be true or false."]})
    return word in ("true", "1")


def _answer(batch: Batch, request: Request, shaped: reading.Shape, *, single: bool) -> HttpResponse:
    """The rows as they are now, in the order in which they were sent."""
    status = 201 if batch.mode == "create" else 200
    if batch.mode == "remove":
        return HttpResponse(status=204)
    stored = batch.declaration.model._base_manager.filter(pk__in=[row.id for row in batch.rows])
    found = stored.order_by().values_list(*shaped.paths, "id", "revision")
    by_key = {each[-2]: each for each in found}
    kept = [by_key[row.id] for row in batch.rows if row.id in by_key]
    rows = shaped.rows([each[:-2] for each in kept], request.user)
    if not single:
        counts = {name: len(batch.acting(act)) for name, act in ACTS.items()}
        return reading.as_json({**counts, "results": rows}, status=status)
    response = reading.as_json(rows[0], status=status, tag=reading.entity_tag(*kept[0][-2:]))
    if status == 201:
        response["Location"] = request.build_absolute_uri(f"{request.path}{kept[0][-2]}/")
    return response


ACTS = {"created": "create", "changed": "change", "removed": "remove", "unchanged": "same"}


def difference(batch: Batch) -> dict[str, Any]:
    """What would be changed, row by row and field by field."""
    changes = [
        {
            "act": each.act,
            "key": each.key,
            "fields": [{"name": name, "before": before, "after": after} for name, before, after in each.fields],
        }
        for each in batch.changes
    ]
    return {name: len(batch.acting(act)) for name, act in ACTS.items()} | {"changes": changes}
