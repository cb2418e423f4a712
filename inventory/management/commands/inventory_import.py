"""Bring a file of rows into the estate."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inventory import lifecycle as states
from inventory.actions import imports as verbs
from inventory.importing import FORMATS
from inventory.models import NOUNS, Import
from inventory.reconcile import carry_imports
from portal import dispatch
from portal.errors import Refused
from portal.events import System

BY = System("import command")
SIGNS = {"create": "+", "change": "~"}
SHOWN = 1000
PAUSE_SECONDS = 0.5


class Command(BaseCommand):
    """``manage.py inventory_import <file> --noun component --mode upsert [--dry-run]``; ``-``: what is piped in."""

    help = "Check a file of rows (CSV, JSON or YAML) and write all of them, or none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file")
        parser.add_argument("--noun", choices=list(NOUNS), required=True)
        parser.add_argument("--mode", choices=Import.Mode.values, default=Import.Mode.UPSERT)
        parser.add_argument("--format", choices=list(FORMATS), default="")
        parser.add_argument("--reason", default="")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")

    def handle(self, *args: Any, file: str, dry_run: bool, reason: str, **options: Any) -> None:
        try:
            data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            facts = {name: options[name] for name in ("mode", "format")}
            name = "" if file == "-" else Path(file).name
            one = self._ended(verbs.upload(options["noun"], by=BY, data=data, name=name, **facts))
            if one.state == states.READY and dry_run:
                self._tell(one)
                verbs.discard(one, by=BY, reason="It was a dry run.")
                return
            if one.state == states.READY:
                one = self._ended(verbs.apply(one, by=BY, expected=one.digest, reason=reason))
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error.strerror}.") from None
        except Refused as refusal:
            raise CommandError("\n".join([*refusal.problems, refusal.detail])) from None
        if one.state != states.APPLIED:
            raise CommandError("\n".join([*self._problems(one), one.note or f"{one.summary}. Nothing was changed."]))
        self.stdout.write(f"Created {one.created}, changed {one.changed}, unchanged {one.unchanged}.")

    def _ended(self, one: Import) -> Import:
        """What became of it: done here, or by a worker that was faster."""
        while True:
            dispatch.run(verbs.RECONCILER, carry_imports)
            one = Import.objects.get(pk=one.pk)
            if not one.busy:
                return one
            time.sleep(PAUSE_SECONDS)

    def _tell(self, one: Import) -> None:
        for change in one.change_rows.order_by("pk")[:SHOWN]:
            self.stdout.write(f"{SIGNS[change.act]} {one.noun} {change.key}")
            for name, before, after in change.fields if change.act == "change" else ():
                self.stdout.write(f"    {name}: {before!r} → {after!r}")
        self.stdout.write(f"{one.summary}.")

    def _problems(self, one: Import) -> list[str]:
        rows = one.fault_rows.order_by("pk")
        return [f"{one.name}:{row.line}: {f'{row.column}: ' if row.column else ''}{row.sentence}" for row in rows]
