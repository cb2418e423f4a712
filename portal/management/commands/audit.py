"""``manage.py audit verify``: walk the audit trail's hash chains and say every break."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal import events
from portal.models import Event, StreamHead


class Command(BaseCommand):
    help = "Check that no event was changed, removed, inserted or cut off."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["verify"])
        parser.add_argument("--stream", action="append", help="only this stream (repeatable)")

    def handle(self, *args: Any, what: str, stream: list[str] | None = None, **options: Any) -> None:
        known = {*StreamHead.objects.values_list("stream", flat=True), *Event.objects.values_list("stream", flat=True)}
        problems: list[str] = []
        for name in stream or sorted(known):
            found = events.verify(name)
            problems += found
            count = Event.objects.filter(stream=name).count()
            self.stdout.write(f"{name:<16} {count:>8} events  {'BROKEN' if found else 'unbroken'}")
        if problems:
            raise CommandError("\n".join(problems))
