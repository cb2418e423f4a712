"""DATABASE_URL is read as libpq reads it."""

from __future__ import annotations

import psycopg
import pytest

from portal.settings import _database


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://ops:p%40ss@db.example:6432/portal", ("portal", "ops", "p@ss", "db.example", "6432")),
        ("postgres://ops@db.example/portal", ("portal", "ops", "", "db.example", "")),
        ("postgresql://ops@/portal?host=/run/postgresql", ("portal", "ops", "", "/run/postgresql", "")),
        ("host=db.example dbname=portal user=ops", ("portal", "ops", "", "db.example", "")),
        ("postgresql://ops@[::1]:5433/portal", ("portal", "ops", "", "::1", "5433")),
    ],
)
def test_place_and_person_are_told_apart(url, expected):
    found = _database(url)
    assert tuple(found[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")) == expected


def test_what_else_it_says_reaches_the_driver():
    asked = _database("postgresql://ops@db.example/portal?sslmode=verify-full&connect_timeout=3")["OPTIONS"]
    assert (asked["sslmode"], asked["connect_timeout"]) == ("verify-full", "3")
    assert asked["prepare_threshold"] == 0


def test_what_cannot_be_read_is_refused_at_once():
    with pytest.raises(psycopg.ProgrammingError, match="sllmode"):
        _database("postgresql://ops@db.example/portal?sllmode=require")
