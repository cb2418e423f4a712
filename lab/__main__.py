"""`python -m lab …`: the lab without Django, for a machine where the portal's database is not up."""

import sys

from lab.cli import main

sys.exit(main(sys.argv[1:]))
