"""What the lab raises; the command line turns it into one sentence and exit status 2."""

from __future__ import annotations


class LabError(Exception):
    """Something the user asked for cannot be done; the message says what and, where known, what to do about it."""


class NotReady(LabError):
    """A daemon is not (yet) in the state that was asked about; the message says what is missing."""


class MissingProgram(LabError):
    """A program of the lab is not installed; the message names the package that brings it."""
