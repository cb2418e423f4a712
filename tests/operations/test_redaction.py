"""Secrets are taken out of whatever drivers hand back, before it is stored or shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from drivers.secret import Secret
from operations import redaction

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----"


@dataclass
class Row:
    name: str
    password: str


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("redis://:hunter2@127.0.0.1:6379/0", "redis://:[hidden]@127.0.0.1:6379/0"),
        ("postgresql://portal:hunter2@db/portal", "postgresql://portal:[hidden]@db/portal"),
        ("Authorization: Bearer abcdefghijkl.mnop", "Authorization: Bearer [hidden]"),
        ("mysql --password=hunter2 --user=x", "mysql --password=[hidden] --user=x"),
        ('{"api_key": "hunter2"}', '{"api_key": "[hidden]"}'),
        ("key AKIAABCDEFGHIJKLMNOP used", "key [hidden] used"),
        ("edye_abcdefghijklmnopqrstuvwxyz", "[hidden]"),
        (f"before {KEY} after", "before [hidden] after"),
        ("process 4711 is ready on port 3000", "process 4711 is ready on port 3000"),
        ("zero\x00byte", "zerobyte"),
    ],
)
def test_text(given, kept):
    assert redaction.text(given) == kept


def test_data():
    given = {
        "password": "hunter2",
        "DB_PASSWORD": 7,
        "token": "abc",
        "has_secret": True,
        "secret": None,
        "tokens": 3,
        "row": Row("one", "hunter2"),
        "held": Secret("hunter2"),
        "many": ("a", {1: 2.5}),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "lag": float("inf"),
    }
    assert redaction.plain(given) == {
        "password": "[hidden]",
        "DB_PASSWORD": "[hidden]",
        "token": "[hidden]",
        "has_secret": True,
        "secret": None,
        "tokens": 3,
        "row": {"name": "one", "password": "[hidden]"},
        "held": "Secret(hidden)",
        "many": ["a", {"1": 2.5}],
        "at": "2026-01-02T00:00:00+00:00",
        "lag": "inf",
    }
    assert "hunter2" not in json.dumps(redaction.plain(given))


def test_sizes_are_bounded():
    deep: dict = {}
    for _ in range(40):
        deep = {"in": deep}
    assert len(json.dumps(redaction.plain(deep))) < 200
    assert len(redaction.plain(list(range(5000)))) == redaction.MAX_ITEMS
    assert redaction.text("x" * 9000) == "x" * 3999 + "…"
