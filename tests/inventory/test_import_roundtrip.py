"""What a list gives as a file comes back as it is, and every format carries the same rows."""

import csv
import io
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.actions.estate import write_many
from inventory.addresses import PLACES
from inventory.importing import Faults, read
from inventory.models import NOUNS
from portal.events import SYSTEM
from portal.ui.export import plain
from tests import world
from tests.inventory.files import PLACE, checked
from tests.inventory.screens import browser

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
FIRST = st.sampled_from(["", "=1+1", "'=x", "''", "-", "@a", "\ta", "+1", "a\r\nb", '"', "a;b", "null", "1e3", "yes"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "version": FIRST | TEXT,
            "description": TEXT,
            "tags": st.lists(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), max_size=3, unique=True),
            "custom": st.dictionaries(
                st.text("abc.", min_size=1, max_size=4),
                TEXT | st.integers(-(2**40), 2**40) | st.booleans() | st.lists(TEXT, max_size=2),
                max_size=3,
            ),
            "attributes": st.fixed_dictionaries({}, optional={"processes": st.integers(1, 10_000), "runtime": TEXT}),
        }
    ),
    min_size=1,
    max_size=4,
)


def as_csv(rows):
    out = io.StringIO()
    names = list(rows[0])
    csv.writer(out).writerows([names, *([plain(row[name]) for name in names] for row in rows)])
    return out.getvalue().encode()


WRITERS = {
    "csv": as_csv,
    "json": lambda rows: json.dumps(rows).encode(),
    "yaml": lambda rows: yaml.safe_dump(rows).encode(),
}


def given_by(data, form):
    with read(data, form, "component") as reading:
        return reading.faults.kept, [row.given for part in reading.parts() for row in part]


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_every_format_carries_the_same_rows(rows):
    rows = [{"slug": f"{PLACE}/c{place}", "kind": "app", "service": "api", **row} for place, row in enumerate(rows)]
    where = {"environment": "production", "data_center": "us-central"}
    for form, write in WRITERS.items():
        assert given_by(write(rows), form) == ([], [row | where for row in rows])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | TEXT.map(str.encode), st.sampled_from(sorted(WRITERS)))
def test_no_file_breaks_the_reading(data, form):
    faults, rows = given_by(data, form)
    assert faults or rows


def test_faults_are_counted_beyond_what_is_kept():
    found = Faults(most=2)
    for line in range(5):
        found.add(line, "", "Wrong.")
    assert (found.total, len(found.kept)) == (5, 2)


@pytest.fixture
def owner(db):
    world.component(f"{PLACE}/api")
    world.component(f"{PLACE}/cache", "cache", service="api")
    return world.account("owner", "operations_owner")


def prove_that_it_comes_back(owner, noun, address):
    for form in WRITERS:
        file = browser(owner).get(f"/{address}/?export={form}").getvalue()
        one = checked(file, owner, noun, format=form)
        assert list(one.fault_rows.values_list("line", "column", "sentence")) == [], (noun, form)
        assert (one.created, one.changed) == (0, 0), (noun, form, list(one.change_rows.values("key", "fields")))
        assert one.unchanged > 0


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_what_was_exported_is_imported_without_a_change(owner, rows):
    facts = {"kind": "app", "service": "api"}
    components = [{"slug": f"{PLACE}/c{place}", **facts, **row} for place, row in enumerate(rows)]
    write_many("component", components, by=SYSTEM)
    prove_that_it_comes_back(owner, "component", "components")


def test_so_is_every_other_noun(owner):
    for noun in set(NOUNS) - {"component"}:
        write_many(noun, [SAMPLES[noun]], by=SYSTEM)
    for noun in set(NOUNS) - {"component"}:
        prove_that_it_comes_back(owner, noun, PLACES[noun][0])


SAMPLES = {
    "data-center": {"slug": "us-west", "name": "=West", "role": "secondary"},
    "service": {"slug": "play", "name": "Play", "slo": "99.95", "tier": 1, "tags": ["a", "b"]},
    "environment": {"slug": "staging", "name": "Staging", "kind": "staging", "description": "a,\n\"b\""},
    "network-zone": {"slug": f"{PLACE}/z", "cidr": "10.0.0.0/8"},
    "server-group": {"slug": f"{PLACE}/g", "service": "api", "least": 1},
    "server": {"slug": "production/global/s", "service": "api", "address": "10.0.0.1", "memory_mb": 2**40},
    "endpoint": {"component": f"{PLACE}/api", "name": "h", "port": 1, "tls": True},
    "dependency": {"source": f"{PLACE}/api", "target": f"{PLACE}/cache", "kind": "redundant", "group": "g",
                   "needed": 1},
}  # fmt: skip
