"""Make a source of signals, or give it a new key. The key is printed once and stored nowhere."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand

from incidents.actions import sources
from inventory.models import Environment
from portal import events


class Command(BaseCommand):
    help = "Print a new key for a source of Alertmanager signals."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--rotate", action="store_true", help="a new key; the present one stays valid beside it")
        parser.add_argument("--environment", default="production", help="what its signals are about, unless they say")

    def handle(self, *args: Any, slug: str, rotate: bool, environment: str, **options: Any) -> None:
        by = events.System("signal_source")
        if rotate:
            key = sources.rotate(slug, by=by)
        else:
            found = Environment.objects.filter(slug=environment).first()
            if found is None:
                raise CommandError(f"There is no environment {environment}. Load the catalog first.")
            key = sources.create(slug, environment=found, by=by)
        if key is None:
            hint = "There is no such source." if rotate else "It exists already; --rotate gives it a new key."
            raise CommandError(hint)
        self.stdout.write(key)
