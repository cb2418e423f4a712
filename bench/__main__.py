"""``python -m bench [name …]``: run the named measurements, or all; each prints a table and never judges."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = ("start", "pages", "intake")


def main(wanted: list[str]) -> None:
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        sys.exit(f"There is no measurement {', '.join(unknown)}. There are: {', '.join(NAMES)}.")
    for name in wanted or NAMES:
        import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
