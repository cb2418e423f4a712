"""Show what a catalog would change, or make it so."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from portal.errors import Refused
from portal.events import System

_SIGNS = {"create": "+", "change": "~", "remove": "-"}


class Command(BaseCommand):
    """``manage.py catalog plan|apply [folder]``."""

    help = "Compare a folder of YAML with what is stored (plan), or make the database equal to it (apply)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=["plan", "apply"])
        parser.add_argument("folder", nargs="?", default=str(settings.CATALOG_DIR))

    def handle(self, *args: Any, act: str, folder: str, **options: Any) -> None:
        # The kernel names other apps by dotted string only.
        catalog = import_module("inventory.catalog")
        try:
            estate = catalog.load(folder)
            if act == "plan":
                difference = catalog.compare(estate)
            else:
                verb = import_module("inventory.actions.catalog").apply_catalog
                difference = verb(estate, by=System("catalog command"))
        except Refused as refusal:
            raise CommandError("\n".join([*refusal.problems, refusal.detail])) from None
        for line in _lines(difference):
            self.stdout.write(line)
        if difference.problems:
            raise CommandError("\n".join([*map(str, difference.problems), "The catalog cannot be applied."]))
        counts = difference.counts
        done = f"Created {counts['created']}, changed {counts['changed']}, removed {counts['removed']}."
        self.stdout.write(done if act == "apply" and difference else difference.summary)


def _lines(difference: Any) -> Iterator[str]:
    for change in difference.changes:
        yield f"{_SIGNS[change.act]} {change.noun} {change.key}"
        if change.act == "change":
            for name, before, after in change.fields:
                yield f"    {name}: {before!r} → {after!r}"
