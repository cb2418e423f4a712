"""Show what a catalog would change, make it so, or write the estate as a catalog."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand, CommandError

from portal.errors import Refused
from portal.events import System

_SIGNS = {"create": "+", "change": "~", "remove": "-"}
_PLACING = ("catalog", "environment", "service", "data_center")


class Command(BaseCommand):
    """``manage.py catalog plan|apply [folder | --source NAME [--ref REF] | --file PATH]`` and ``catalog export``."""

    help = "Compare a catalog with what is stored (plan), make the database equal to it (apply), or write one (export)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=["plan", "apply", "export"])
        parser.add_argument("folder", nargs="?", default=str(settings.CATALOG_DIR))
        parser.add_argument("--source", default="", help="a repository of PORTAL_CATALOG_SOURCES, by its name")
        parser.add_argument("--ref", default="", help="a branch, tag or commit of it instead of the pinned one")
        parser.add_argument("--file", type=Path, help="a YAML file, a tar or zip of some, or a state of Terraform")
        parser.add_argument("--expected", default="", help="the digest of the plan that was read")
        parser.add_argument("--catalog", default="", help="of a state: the catalog's name; of an export: only its rows")
        for name in _PLACING[1:]:
            parser.add_argument(f"--{name.replace('_', '-')}", default="")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        try:
            if act == "export":
                self._export(options)
                return
            reading = _read(options)
            difference = self._compared(act, reading, options["expected"])
        except Refused as refusal:
            fields = [f"{name}: {problem}" for name, problems in refusal.fields.items() for problem in problems]
            raise CommandError("\n".join([*refusal.problems, *fields, refusal.detail])) from None
        for line in _lines(difference):
            self.stdout.write(line)
        if difference.problems:
            raise CommandError("\n".join([*map(str, difference.problems), "The catalog cannot be applied."]))
        counts = difference.counts
        done = f"Created {counts['created']}, changed {counts['changed']}, removed {counts['removed']}."
        self.stdout.write(done if act == "apply" and difference else difference.summary)
        if reading.said or reading.commit:
            self.stderr.write(" ".join(filter(None, [reading.said, reading.commit and f"Commit {reading.commit}."])))

    def _compared(self, act: str, reading: Any, expected: str) -> Any:
        # The kernel names other apps by dotted string only.
        if act == "plan":
            return import_module("inventory.catalog").compare(reading.estate())
        verb = import_module("inventory.actions.catalog").apply_catalog
        return verb(reading.estate(), by=System("catalog command"), expected=expected, **reading.facts)

    def _export(self, options: dict[str, Any]) -> None:
        given = {name: options[name] for name in _PLACING} | {"declared_by": options["catalog"]}
        asked = import_module("inventory.forms.catalog").ExportForm(given).asked()
        for piece in import_module("inventory.catalog.export").whole(actor=System("catalog command"), **asked):
            self.stdout.write(piece, ending="")


def _read(options: dict[str, Any]) -> Any:
    catalogs = import_module("inventory.reconcile.catalogs")
    if options["file"] is not None:
        try:
            file = ContentFile(options["file"].read_bytes(), options["file"].name)
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}.") from None
        return catalogs.read_catalog(file=file, placing={name: options[name] for name in _PLACING})
    if options["source"]:
        return catalogs.read_catalog(source=options["source"], ref=options["ref"])
    return catalogs.folder(Path(options["folder"]))


def _lines(difference: Any) -> Iterator[str]:
    for change in difference.changes:
        yield f"{_SIGNS[change.act]} {change.noun} {change.key}"
        if change.act == "change":
            for name, before, after in change.fields:
                yield f"    {name}: {before!r} → {after!r}"
