"""Every row of a list as a file, written while it is read."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, StreamingHttpResponse

TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json", "yaml": "application/yaml"}
# Quotes before it too, so that what was disarmed can be told from what was written so.
FORMULA = re.compile(r"'*[=+\-@\t\r]")


def disarmed(text: str) -> str:
    """Text that a spreadsheet would run as a formula gets a quote before it (OWASP: CSV injection)."""
    return f"'{text}" if FORMULA.match(text) else text


def rearmed(text: str) -> str:
    """What ``disarmed`` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def plain(value: Any) -> str | int | float:
    """A cell for a spreadsheet. Lists and objects are JSON."""
    if value is None or value == "":
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, (list, dict)):
        return disarmed(json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False))
    return disarmed(value.isoformat() if isinstance(value, datetime) else str(getattr(value, "label", value)))


class _Line:
    """What ``csv`` writes to: the line is handed on."""

    def write(self, line: str) -> str:
        return line


def csv_lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """One line for each row."""
    writer = csv.writer(_Line())
    return (writer.writerow(map(plain, row)) for row in rows)


def answer(request: HttpRequest, name: str, form: str, parts: Iterable[str]) -> StreamingHttpResponse:
    """The file ``name`` in ``form`` ("csv"), sent in ``parts`` as they are made."""
    content = _stepwise(iter(parts)) if isinstance(request, ASGIRequest) else parts
    disposition = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return StreamingHttpResponse(content, content_type=TYPES[form], headers=disposition)


async def _stepwise(parts: Iterator[str]) -> AsyncIterator[str]:
    """Some lines at a time, read in the request's own thread, where its database connection is."""
    step = sync_to_async(lambda: "".join(itertools.islice(parts, 1000)))
    while part := await step():
        yield part
