"""What people read about a value, a field or a class: words and tones in one place for screens and exports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from inventory.discovery.comparing import fits
from inventory.discovery.merging import Verdict
from inventory.kinds import Spec
from portal.lifecycle import Tone

TONES = {
    "missing": Tone.BAD,
    "environment": Tone.BAD,
    "conflict": Tone.WARN,
    "changed": Tone.WARN,
    "unmanaged": Tone.INFO,
    "stale": Tone.MUTED,
}
_COLUMNS = {"software": "Software", "version": "Version"}


def value(found: Any) -> str:
    """A value as people read it."""
    if found is None:
        return "—"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, list):
        return ", ".join(map(str, found)) or "none"
    return str(found)


@dataclass(frozen=True)
class Row:
    """One field of a component: what is declared, what is seen, by whom, how fresh, and who contradicts."""

    label: str
    declared: str
    seen: str
    source: str
    seen_at: datetime
    since: datetime
    stale: bool
    differs: bool
    against: tuple[tuple[str, str], ...]


def rows(spec: Spec, declared: Mapping[str, Any], verdicts: Mapping[str, Verdict]) -> Iterator[Row]:
    """Every field that is seen; those of the kind first, in its own order."""
    known = [*_COLUMNS, *spec.attributes]
    for name in sorted(verdicts, key=lambda name: (known.index(name) if name in known else len(known), name)):
        verdict, wanted = verdicts[name], declared.get(name)
        title = _COLUMNS.get(name) or spec.attributes.get(name, {}).get("title") or name.replace("_", " ").capitalize()
        said = verdict.said
        yield Row(
            title,
            value(wanted),
            value(said.value),
            said.source,
            said.seen_at,
            datetime.fromisoformat(said.changed_at),
            said.stale,
            wanted is not None and not fits(name, wanted, said.value),
            tuple((other.source, value(other.value)) for other in verdict.against),
        )
