"""One value of a catalog file is changed; comments, order and style of everything else stay."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.catalog import edit
from inventory.catalog.dumping import dump

TEXT = """\
# the estate
catalog: small
components:
  # shared
  p/c/cache: {name: Cache, kind: cache, attributes: {role: primary}}  # kept
  p/c/db:
    name: Database   # theirs
    kind: database
    attributes:
      role: primary
      tags: [a, b]
  p/c/web: {name: "Web, server", kind: edge}
dependencies:
  p/c/web:
    p/c/cache: soft
    p/c/db: hard
"""


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        (("components", "p/c/cache", "attributes", "role"), "replica", "{role: primary}}", "{role: replica}}"),
        (("components", "p/c/cache", "version"), "9.1", "{role: primary}}", "{role: primary}, version: '9.1'}"),
        (("components", "p/c/web", "attributes", "workers"), 4, "kind: edge}", "kind: edge, attributes: {workers: 4}}"),
        (("components", "p/c/db", "attributes", "tags"), ["c"], "tags: [a, b]", "tags: [c]"),
        (("components", "p/c/db", "attributes", "mode"), "async", "[a, b]\n", "[a, b]\n      mode: async\n"),
        (("components", "p/c/db", "version"), "11", "[a, b]\n", "[a, b]\n    version: '11'\n"),
        (("dependencies", "p/c/web", "p/c/db"), "soft", "p/c/db: hard", "p/c/db: soft"),
    ],
)
def test_only_the_value_changes(path, value, old, new):
    assert edit.put(TEXT, path, value) == TEXT.replace(old, new, 1)


def test_a_new_row_comes_last_in_its_section():
    text = edit.put(TEXT, ("components", "p/c/new"), {"name": "New"})
    assert text == TEXT.replace("kind: edge}\n", "kind: edge}\n  p/c/new: {name: New}\n")


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (("components", "p/c/web"), '  p/c/web: {name: "Web, server", kind: edge}\n', ""),
        (("components", "p/c/cache", "attributes"), ", attributes: {role: primary}", ""),
        (("components", "p/c/web", "name"), 'name: "Web, server", ', ""),
        (("dependencies", "p/c/web", "p/c/cache"), "    p/c/cache: soft\n", ""),
        (("components", "p/c/none"), "", ""),
    ],
)
def test_an_entry_goes_with_its_lines(path, old, new):
    assert edit.without(TEXT, path) == TEXT.replace(old, new, 1)


def test_a_sign_that_yaml_reads_as_a_space_is_escaped():
    assert yaml.safe_load(edit.put(TEXT, ("catalog",), "a\x85é"))["catalog"] == "a\x85é"


def test_an_empty_file_gets_a_section():
    assert yaml.safe_load(edit.put("", ("components", "a/b/c"), {"name": "x"})) == {
        "components": {"a/b/c": {"name": "x"}}
    }


LEAVES = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6) | st.lists(st.text(max_size=3), max_size=2)
)
NAMES = st.text("abc-/", min_size=1, max_size=4)
ROWS = st.dictionaries(NAMES, st.dictionaries(NAMES, LEAVES, min_size=1, max_size=3), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.booleans(), st.booleans(), NAMES, NAMES, LEAVES)
def test_whatever_the_style_the_values_are_as_if_they_had_been_set(rows, block, lines, key, name, value):
    style = {"default_flow_style": False if block else None, "sort_keys": False}
    text = dump({"first": 1, "rows": rows, "last": [1]} if lines else {"rows": rows}, **style)
    wanted = {key: {**row} for key, row in rows.items()}
    wanted.setdefault(key, {})[name] = value
    assert yaml.safe_load(edit.put(text, ("rows", key, name), value))["rows"] == wanted
    gone = edit.without(text, ("rows", next(iter(rows))))
    left = dict(list(rows.items())[1:])
    assert (yaml.safe_load(gone) or {}).get("rows", {}) == left
