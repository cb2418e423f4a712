"""Bring the database to the code, the catalog and the demo accounts."""

import os
import time
from argparse import ArgumentParser
from io import StringIO
from typing import Any

from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand

from portal.embedded import state


class Command(BaseCommand):
    """`manage.py prepare`: what `manage.py up` runs before it starts the web server.

    How to sign in is left in `<state>/secrets/sign-in`, private, because it holds a link that signs somebody in.
    One process does all three, because every start of Django costs a second or more.
    """

    help = "Migrate, load the catalog and make the demo accounts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--began", type=float, default=time.monotonic(), help="clock reading that times count from")

    def handle(self, *args: Any, began: float, **options: Any) -> None:
        self.began = began
        folder = state.folder()
        state.prepare(folder)
        self._say("Migrating the database")
        with (folder / "log" / "migrate.log").open("w") as log:
            call_command("migrate", interactive=False, stdout=log)
        self._optional("Loading the catalog", "catalog", "apply", "catalog/edye")
        told = self._optional("Making the demo accounts", "demo")
        path = folder / "secrets" / "sign-in"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(told)

    def _say(self, text: str) -> None:
        self.stdout.write(f"{time.monotonic() - self.began:6.1f} s  {text}")
        self.stdout.flush()

    def _optional(self, title: str, *command: str) -> str:
        """Run a command whose failure the portal can live with; returns what it printed."""
        if command[0] not in get_commands():
            self._say(f"{title}: skipped, there is no command {command[0]}")
            return ""
        self._say(title)
        printed = StringIO()
        try:
            call_command(*command, stdout=printed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown, and the portal starts without
            self._say(f"{title} failed, going on without: {error}")
        return printed.getvalue()
