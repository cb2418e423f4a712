"""The verbs of imports: a file comes in, is looked at, and becomes true as a whole or not at all."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from django.db import connection, transaction

from inventory.importing import MOST_BYTES, Examination, Faults, guess, read
from inventory.importing.progress import Progress
from inventory.models import NOUNS, Import, ImportChange, ImportedFile, ImportFault
from inventory.writing import EDIT, authorize_anywhere, plain_conflicts, store
from portal import clock, events
from portal.dispatch import nudge
from portal.errors import Conflict, Invalid
from portal.lifecycle import Actor, authorize, move

IMPORT, CHECK = "inventory.import", "inventory.check"
RECONCILER = "inventory.imports"
_LOCK = zlib.crc32(b"inventory.imports.apply")
_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("done", "total", "created", "changed", "unchanged", "faults", "attempts"), 0),
    **dict.fromkeys(("phase", "digest", "note"), ""),
}
_NOBODY: dict[str, Any] = {"applied_by": None, "applied_label": "", "reason": "", "context": {}}


@transaction.atomic
def upload(noun: str, *, by: Actor, data: bytes, mode: str = "upsert", format: str = "", name: str = "") -> Import:
    """Take a file of rows of ``noun``; it is checked in the background. ``format``: empty to guess it.

    ``by`` must hold ``inventory.import``, and ``inventory.edit`` somewhere; on what, is asked row by row.
    """
    authorize(by, IMPORT)
    authorize_anywhere(by, EDIT)
    form = format or guess(name, data)
    problems = {
        "noun": noun not in NOUNS and f"One of {', '.join(NOUNS)}.",
        "mode": mode not in Import.Mode.values and f"One of {', '.join(Import.Mode.values)}.",
        "format": form not in Import.Format.values and f"One of {', '.join(Import.Format.values)}.",
        "file": (not data.strip() and "The file is empty.")
        or (len(data) > MOST_BYTES and f"A file may have at most {MOST_BYTES // 2**20} MB. Split it."),
    }
    if wrong := {field: [sentence] for field, sentence in problems.items() if sentence}:
        raise Invalid("The file cannot be taken.", [f"{field}: {said[0]}" for field, said in wrong.items()], wrong)
    facts: dict[str, Any] = {"noun": noun, "mode": mode, "format": form, "size": len(data)}
    facts |= {"name": _named(name) or f"{noun}.{form}", "sha256": hashlib.sha256(data).hexdigest()}
    facts |= {"uploaded_by_id": by.pk, "uploaded_label": str(by)[:200]}
    one = Import.objects.create(**facts)
    ImportedFile.objects.create(of=one, body=zlib.compress(data, 3))
    after = {"noun": noun, "mode": mode, "size": len(data), "sha256": one.sha256}
    events.record("inventory.upload", one, by=by, after=after)
    nudge(RECONCILER)
    return one


def _named(name: str) -> str:
    return "".join(letter for letter in name.replace("\\", "/").rpartition("/")[2] if letter.isprintable())[:200]


@transaction.atomic
def check(one: Import, *, by: Actor) -> Import:
    """Begin to check, or begin anew where somebody was interrupted: what he had found is forgotten."""
    move(one, "check", by=by, **_NOTHING | {"attempts": one.attempts + 1, "note": one.note})
    _forget(one)
    events.publish(f"inventory.import:{one.pk}")
    return one


@transaction.atomic
def refuse(one: Import, *, by: Actor, faults: Faults, total: int) -> Import:
    """The file cannot be applied; everything that is wrong with it is kept."""
    _forget(one)
    rows = [ImportFault(of=one, **fault._asdict()) for fault in sorted(faults.kept)]
    ImportFault.objects.bulk_create(rows, batch_size=500)
    move(one, "refuse", by=by, **_NOTHING | {"faults": faults.total, "total": total})
    events.record("inventory.refuse", one, by=by, after={"problems": faults.total})
    return one


@transaction.atomic
def prepare(one: Import, *, by: Actor, found: Examination) -> Import:
    """The file can be applied; what that would change has been written down row by row."""
    counts = _counts(found)
    move(one, "prepare", by=by, **_NOTHING | counts | {"digest": found.digest, "total": sum(counts.values()),
                                                        "note": one.note})  # fmt: skip
    events.record("inventory.prepare", one, by=by, after=counts)
    return one


def _counts(found: Examination) -> dict[str, int]:
    names = {"created": "create", "changed": "change", "unchanged": "unchanged"}
    return {name: found.counts[act] for name, act in names.items()}


@transaction.atomic
def apply(one: Import, *, by: Actor, expected: str = "", reason: str = "") -> Import:
    """Tell that what was read is to be made true. ``expected``: the digest of the difference that was read."""
    authorize_anywhere(by, EDIT)
    if expected and expected != one.digest:
        raise Conflict("The difference is no longer the one you looked at. Look again, then apply.")
    who: dict[str, Any] = {"applied_by_id": by.pk, "applied_label": str(by)[:200], "reason": reason}
    now = events.context()
    who["context"] = {"request_id": now.request_id, "address": now.address, "token": now.token, "methods": now.methods}
    move(one, "apply", by=by, **who, done=0, phase="", attempts=0, note="")
    events.record("inventory.apply", one, by=by, reason=reason)
    nudge(RECONCILER)
    return one


def complete(one: Import, *, by: Actor, progress: Progress) -> Import:
    """Write every row, in one transaction with the state: after a crash it is either done or not.

    The rights of whoever told it to be applied are asked again, row by row. Raises ``Refused`` when anything is no
    longer as it was when the difference was worked out; then nothing was written.
    """
    person: Actor = one.applied_by or by
    how = one.context | {"methods": tuple(one.context.get("methods", ()))}
    with plain_conflicts(), transaction.atomic(), events.acting(**how):
        authorize(person, IMPORT)
        _one_at_a_time()
        counts = _write(one, person, progress)
        ImportedFile.objects.filter(of=one).delete()
        move(one, "complete", by=by, applied_at=clock.now(), phase="", done=sum(counts.values()), attempts=0)
        after = {"noun": one.noun, **counts}
        events.record("inventory.complete", one, by=person, reason=one.reason, after=after)
    return one


def _one_at_a_time() -> None:
    """Two files side by side would lock rows in different orders."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _write(one: Import, person: Actor, progress: Progress) -> dict[str, int]:
    progress.total = one.total
    with read(content(one), one.format, one.noun) as reading:
        found = Examination(reading, mode=one.mode, by=person, lock=True)  # type: ignore[arg-type]
        written = 0
        for batch, _ in found.parts():
            if reading.faults:
                said = [f"line {each.line}: {each.sentence}" for each in reading.faults.kept[:20]]
                raise Conflict("Something is in the way now.", said)
            store(batch)
            written += len(batch.rows)
            progress.tell("writing", written)
        if found.digest != one.digest:
            raise Conflict("The estate has changed since, so that the difference is another one now.")
        return _counts(found)


def content(one: Import) -> bytes:
    """The bytes of the file."""
    return zlib.decompress(ImportedFile.objects.values_list("body", flat=True).get(of=one))


@transaction.atomic
def outdate(one: Import, *, by: Actor, why: str) -> Import:
    """What was read is no longer what would be done: nothing was written, and it is checked again."""
    note = f"{why} Nothing was written; it was checked again."
    move(one, "outdate", by=by, **_NOTHING | _NOBODY | {"note": note[:2000]})
    events.record("inventory.outdate", one, by=by, reason=why[:1000])
    return one


@transaction.atomic
def fail(one: Import, *, by: Actor, why: str) -> Import:
    """The portal cannot go on with it. Nothing was written; the file is kept, so that it can be tried again."""
    _forget(one)
    move(one, "fail", by=by, **_NOTHING | _NOBODY | {"note": why[:2000] or "It failed."})
    events.record("inventory.fail", one, by=by, reason=why[:1000])
    return one


@transaction.atomic
def recheck(one: Import, *, by: Actor) -> Import:
    """Compare the file once more, because what there is has changed."""
    move(one, "recheck", by=by, **_NOTHING)
    _forget(one)
    events.record("inventory.recheck", one, by=by)
    nudge(RECONCILER)
    return one


@transaction.atomic
def discard(one: Import, *, by: Actor, reason: str = "") -> Import:
    """Throw the file away. A check that is going on ends soon after."""
    move(one, "discard", by=by, **_NOTHING | {"discarded_at": clock.now()})
    _forget(one)
    ImportedFile.objects.filter(of=one).delete()
    events.record("inventory.discard", one, by=by, reason=reason)
    return one


def _forget(one: Import) -> None:
    """Remove what was found out about the file."""
    for model in (ImportFault, ImportChange):
        rows: Any = model.objects.filter(of=one)
        rows._raw_delete(rows.db)
