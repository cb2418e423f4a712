"""``python -m bench [name …]``: run the named measurements, or all; each prints tables, ``--save`` keeps them.

Measurements never judge, except ``chaos``: it ends with 1 when something was done twice, half, or never.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from importlib import import_module

from bench import table

NAMES = ("start", "pages", "intake", "engine", "chaos", "inventory", "graph", "import", "catalog")
PEERS = ("netbox",)
"""Not measured but started, for another measurement to ask: never meant when none is named."""
# Not every name can be that of a module.
MODULES = {"import": "import_csv"}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(NAMES)}; all when none is named")
    parser.add_argument("--save", action="store_true", help="write the tables to bench/results/<name>.md")
    parser.add_argument("--note", default="", help="a sentence to keep with them")
    parser.add_argument("--seed", type=int, action="append", default=[], help="chaos: one run for each")
    parser.add_argument("--system", action="append", default=[], help="inventory: portal, netbox")
    parser.add_argument(
        "--size", type=int, action="append", default=[], help="inventory, import, catalog, netbox: components"
    )
    parser.add_argument("--folder", default="/tmp/netbox", help="netbox: where all of it lies")
    options = parser.parse_args(words)
    if unknown := sorted(set(options.names) - {*NAMES, *PEERS}):
        parser.error(f"There is no measurement {', '.join(unknown)}. There are: {', '.join(NAMES + PEERS)}.")
    if len(options.names) != 1:
        # Each in a process of its own: settings are read once, and nothing warms the next one's caches.
        kept = [word for word in words if word not in options.names]
        alone = [[sys.executable, "-m", "bench", name, *kept] for name in options.names or NAMES]
        return max(subprocess.call(command) for command in alone)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped
    (name,) = options.names
    verdict = import_module(f"bench.{MODULES.get(name, name)}").main(options)
    if options.save:
        print(f"\nKept in {table.save(name, options.note)}.")
    return verdict or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
