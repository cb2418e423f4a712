"""Settings of the worker that is killed: its mail goes to files, through a backend that can die on the way."""

from portal.settings import *  # noqa: F403
from portal.settings import STATE_DIR

MAILERS = {
    "default": {"BACKEND": "tests.incidents.deadly.EmailBackend", "OPTIONS": {"file_path": str(STATE_DIR / "mail")}}
}
