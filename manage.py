#!/usr/bin/env python
"""Django's command line. Beside a running `make up` it talks to that run's servers."""

import os
import sys

from portal.embedded import state


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if sys.argv[1:2] == ["up"]:
        from portal.management.commands.up import Command

        Command().run_from_argv(sys.argv)
    else:
        state.use_running()
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
