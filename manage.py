#!/usr/bin/env python
"""Django's command line. Beside a running `make up` it talks to that run's servers."""

import os
import sys

from portal.embedded import state


def main() -> None:
    if sys.argv[1:2] == ["up"]:
        from portal.management.commands.up import Command

        # Settings belong to the servers that `up` starts; it must read none itself, and hands the name to its children.
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)
        Command().run_from_argv(sys.argv)
    else:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
        state.use_running()
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
