"""The generations of one prefix on disk: writing, pointing, reading back, pruning.

All methods that change anything are called under the prefix's lock.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from drivers.errors import PermanentError
from drivers.locks import Ledger
from drivers.nginx import render
from drivers.nginx.render import Member

KEEP = 10


class Store:
    """`<prefix>/generations/*` and the `<prefix>/live` link."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.folder = prefix / "generations"
        self.link = prefix / "live"
        self.ledger = Ledger(prefix / "edge.json")

    def live(self) -> str | None:
        """The id of the generation the link points at; None on a prefix without one."""
        try:
            return render.parse_generation((self.link / render.GENERATION_FILE).read_text())
        except FileNotFoundError:
            return None

    def members(self) -> dict[str, list[Member]]:
        """Both slots of every service, as the live generation has them."""
        found = {}
        for path in sorted(self.link.glob("*.conf")):
            if path.name != render.GENERATION_FILE:
                found[path.stem] = render.parse_fragment(path.read_text())
        return found

    def next_id(self, token: str) -> str:
        """`<number>-<token>`: unique on this host for ever, and sorting in the order of the switches."""
        return f"{self.ledger.next_number():08d}-{token}"

    def write(self, generation: str, services: Mapping[str, list[Member]]) -> str:
        """Write a whole generation from scratch; returns its id."""
        target = self.folder / generation
        target.mkdir()
        for service, pair in services.items():
            (target / f"{service}.conf").write_text(render.fragment(service, pair))
        (target / render.GENERATION_FILE).write_text(render.generation_conf(generation))
        return generation

    def derive(self, generation: str, changed: Mapping[str, list[Member]]) -> str:
        """Copy the live generation byte for byte, except for the fragments of `changed`; returns the new id."""
        target = self.folder / generation
        shutil.copytree(self.link.resolve(strict=True), target)
        for service, pair in changed.items():
            (target / f"{service}.conf").write_text(render.fragment(service, pair))
        (target / render.GENERATION_FILE).write_text(render.generation_conf(generation))
        return generation

    def point(self, generation: str) -> None:
        """Make `live` point at `generation` by one rename, so that no reader ever finds it missing."""
        if not (self.folder / generation).is_dir():
            raise PermanentError(f"generation {generation} is not on disk")
        fresh = self.prefix / ".live.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path("generations") / generation)
        os.replace(fresh, self.link)

    def discard(self, generation: str) -> None:
        """Remove a generation that never served."""
        shutil.rmtree(self.folder / generation, ignore_errors=True)

    def prune(self) -> None:
        """Remove the oldest generations beyond `KEEP`; the live one always stays."""
        live = self.link.resolve().name
        for path in sorted(self.folder.iterdir(), reverse=True)[KEEP:]:
            if path.name != live:
                self.discard(path.name)
