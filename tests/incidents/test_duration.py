"""How long something took, in words a tired person reads at a glance."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents.templatetags.incidents import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")],
)
def test_duration(seconds, words):
    assert duration(timedelta(seconds=seconds)) == words
