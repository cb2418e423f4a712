"""Stories act on a small real lab of their own: staging's daemons, started once for all of them."""

from tests.lab.conftest import new_lab, programs_are_there, staging, staging_lab

__all__ = ["new_lab", "programs_are_there", "staging", "staging_lab"]
