"""`manage.py lab`: hands its arguments to the lab's own command line, which knows nothing of Django."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "EDYE in miniature: up, status, break, heal, down, publish"
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Pass everything after `lab` on and end with its exit status."""
        from lab.cli import main

        sys.exit(main(argv[2:]))

    def handle(self, *args: Any, **options: Any) -> None:
        """For `call_command("lab", "status")`: a non-zero exit status becomes SystemExit."""
        from lab.cli import main

        status = main(args)
        if status:
            raise SystemExit(status)

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("args", nargs="*")
