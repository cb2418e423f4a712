"""Tests against real programs: what is not installed is skipped by name, and in CI that is a failure."""

from __future__ import annotations

import os

import pytest


def need(program: object, *, package: str) -> None:
    """Skip unless `program` is there (a path, or anything true), naming the package that brings it.

    With `CI=true` it fails instead, so that a missing package never passes for a green run.
    """
    if program:
        return
    message = f"needs a program of the package {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
