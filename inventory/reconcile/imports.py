"""Check and apply the files that people have uploaded, one after the other, and throw old ones away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog
from django.db import connection
from django.db.models import Q

from inventory import lifecycle as states
from inventory.actions import imports as verbs
from inventory.importing import Examination, read
from inventory.importing.examining import Changed
from inventory.importing.progress import Progress, Superseded
from inventory.models import Import, ImportChange, ImportedFile
from inventory.models.imports import KEPT
from portal import clock
from portal.errors import Refused
from portal.events import System

log = structlog.get_logger(__name__)
BY = System("imports")
MOST_ATTEMPTS = 3


def carry_imports() -> int:
    """Do everything that waits. A worker that is killed leaves an import as it was; the next one begins anew."""
    done = 0
    passed: set[Any] = set()
    while one := Import.objects.waiting().exclude(pk__in=passed).select_related("uploaded_by", "applied_by").first():
        done += 1
        try:
            _carry(one)
        except Superseded:
            passed.add(one.pk)
    return done


def _carry(one: Import) -> None:
    if one.attempts >= MOST_ATTEMPTS:
        verbs.fail(one, by=BY, why=f"Whoever was at it ended {one.attempts} times before it was done.")
        return
    try:
        if one.state == states.APPLYING:
            _apply(one)
        else:
            _check(one)
    except Superseded:
        raise
    except Refused as refusal:
        raise Superseded from refusal  # somebody else has moved it meanwhile
    except Exception as error:
        log.exception("import_failed", import_id=str(one.pk))
        one = Import.objects.get(pk=one.pk)
        if one.busy:
            verbs.fail(one, by=BY, why=f"The portal could not go on: {type(error).__name__}.")


def _check(one: Import) -> None:
    """Read the file, compare each row, and write down what comes of it: problems, or a difference."""
    verbs.check(one, by=BY)
    progress = Progress(one)
    data = verbs.content(one)
    with read(data, one.format, one.noun, lambda done: progress.tell("reading", done)) as reading:
        del data
        progress.total = reading.total
        found = Examination(reading, mode=one.mode, by=one.uploaded_by or BY)  # type: ignore[arg-type]
        checked = 0
        for batch, changes in found.parts():
            if not reading.faults:
                _keep(one, changes)
            checked += len(batch.rows)
            progress.tell("checking", checked)
        if reading.faults:
            verbs.refuse(one, by=BY, faults=reading.faults, total=reading.total)
        else:
            verbs.prepare(one, by=BY, found=found)


def _keep(one: Import, changes: Iterable[Changed]) -> None:
    """Write part of the difference down. COPY takes a tenth of the time of INSERT."""
    table = ImportChange._meta.db_table
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} (of_id, line, act, key, fields) FROM STDIN") as copy:
        for change in changes:
            copy.write_row((one.pk, change.line, change.act, change.key, change.fields.decode()))


def _apply(one: Import) -> None:
    Import.objects.filter(pk=one.pk).update(attempts=one.attempts + 1)
    try:
        with Progress(one, apart=True) as progress:
            verbs.complete(one, by=BY, progress=progress)
    except Refused as refusal:
        one = Import.objects.get(pk=one.pk)
        if one.state == states.APPLYING:
            verbs.outdate(one, by=BY, why=" ".join([refusal.detail, *refusal.problems[:5]]))


def prune_imports() -> int:
    """Discard files that nobody has decided about for a week, and forget what old imports changed, row by row."""
    limit = clock.now() - KEPT
    old = Import.objects.filter(uploaded_at__lt=limit).exclude(state__in=(*states.WAITING, *states.file.terminal))
    count = 0
    for one in old[:100]:
        verbs.discard(one, by=BY, reason="Nobody has decided about it within a week.")
        count += 1
    ended = Import.objects.filter(Q(applied_at__lt=limit) | Q(discarded_at__lt=limit))
    rows = ImportChange.objects.filter(of__in=ended)
    count += rows._raw_delete(rows.db)  # type: ignore[attr-defined]
    return count + ImportedFile.objects.filter(of__in=ended).delete()[0]
