"""What `lab break` has broken on purpose: remembered, so that nothing repairs it before `lab heal` does."""

from __future__ import annotations

from typing import Any

from lab import files
from lab.layout import Lab


def entries(lab: Lab) -> list[dict[str, Any]]:
    """What is broken now, oldest first; each has at least `kind` and `target`."""
    found = files.read_json(lab.broken, [])
    return found if isinstance(found, list) else []


def daemons(lab: Lab) -> set[str]:
    """The names of the daemons that must stay down."""
    return {entry["daemon"] for entry in entries(lab) if "daemon" in entry}


def remember(lab: Lab, kind: str, target: str, **facts: Any) -> None:
    """Note a fault; the same fault noted again replaces the older one."""
    with files.locked(lab.root / ".broken.lock"):
        kept = [entry for entry in entries(lab) if (entry["kind"], entry["target"]) != (kind, target)]
        files.write_json(lab.broken, [*kept, {"kind": kind, "target": target, **facts}])


def forget(lab: Lab, kind: str, target: str) -> None:
    """Strike a fault that is undone."""
    with files.locked(lab.root / ".broken.lock"):
        kept = [entry for entry in entries(lab) if (entry["kind"], entry["target"]) != (kind, target)]
        files.write_json(lab.broken, kept)
