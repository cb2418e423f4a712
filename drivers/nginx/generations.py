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
LOCATION, FRAGMENT = ".location", ".fragment"
"""Endings of the files that a generation may hold besides `.conf`: a service's maintenance page, a fragment."""


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

    def extras(self, ending: str) -> dict[str, str]:
        """The text of each file of the live generation with this ending, by its name without it."""
        return {path.name.removesuffix(ending): path.read_text() for path in sorted(self.link.glob(f"*{ending}"))}

    def next_id(self, token: str) -> str:
        """`<number>-<token>`: unique on this host for ever, and sorting in the order of the switches."""
        return f"{self.ledger.next_number():08d}-{token}"

    def write(self, generation: str, services: Mapping[str, list[Member]]) -> str:
        """Write a whole generation from scratch, but for what operators have put in; returns its id."""
        target = self.folder / generation
        target.mkdir()
        for ending in (LOCATION, FRAGMENT):
            for name, text in self.extras(ending).items():
                if ending == FRAGMENT or name in services:
                    (target / f"{name}{ending}").write_text(text)
        for service, pair in services.items():
            (target / f"{service}.conf").write_text(render.fragment(service, pair))
        (target / render.GENERATION_FILE).write_text(render.generation_conf(generation))
        return generation

    def derive(
        self, generation: str, changed: Mapping[str, list[Member]], files: Mapping[str, str | None] | None = None
    ) -> str:
        """Copy the live generation byte for byte; returns the new id.

        Except for the upstream groups of `changed` and for `files`: the text of each file by its name, None without.
        """
        target = self.folder / generation
        shutil.copytree(self.link.resolve(strict=True), target)
        for service, pair in changed.items():
            (target / f"{service}.conf").write_text(render.fragment(service, pair))
        for name, text in (files or {}).items():
            if text is None:
                (target / name).unlink(missing_ok=True)
            else:
                (target / name).write_text(text)
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
