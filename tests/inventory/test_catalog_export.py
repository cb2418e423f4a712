"""What is exported is loaded again and differs in nothing, whatever was declared."""

import random

import pytest
from django.conf import settings as configured
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from inventory.actions.catalog import apply_catalog
from inventory.actions.estate import write_many
from inventory.catalog import compare, export, load, read
from inventory.models import Component
from portal.events import SYSTEM
from tests import world
from tests.inventory.folders import write
from tests.inventory.screens import browser
from tests.inventory.test_catalog_nouns import OTHER, WHOLE
from tests.inventory.test_catalog_properties import FAST, POOLED, TEXT, estates, scattered

pytestmark = pytest.mark.django_db
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
AWKWARD = st.sampled_from(["yes", "no", "null", "~", "1:30", "0o17", "1e3", "- a", "a: b", "#", "&x", "*x", "!t", " a",
                           "2027-01-01", "=", "<<", "'", '"', "|", "\\", "é", "\u2028", "🙂", ".inf"])  # fmt: skip


def again(catalog, **where):
    """The difference that loading the export would make."""
    text = "".join(export.whole(catalog, SYSTEM, **where))
    return compare(read([("all.yaml", text.encode())], catalog))


@st.composite
def rich(draw):
    """An estate with everything that components and their links may say."""
    drawn = draw(estates())
    for row in drawn["components"].values():
        row |= {"description": draw(TEXT | AWKWARD), "custom": draw(st.dictionaries(TEXT | AWKWARD, PLAIN, max_size=3))}
        row["software"] = draw(AWKWARD | TEXT)
        row["tags"] = draw(st.lists(st.sampled_from(["a", "b-c", "1"]), unique=True))
        if draw(st.booleans()):
            row["endpoints"] = {"http": {"port": draw(st.integers(1, 65535)), "tls": draw(st.booleans())}}
    for targets in drawn["dependencies"].values():
        for target in list(targets):
            if draw(st.booleans()):
                targets[target] = {"kind": "soft", "description": draw(AWKWARD | TEXT), "protocol": "http"}
    return drawn


@POOLED
@FAST
@given(drawn=rich(), seed=st.integers(0, 2**16))
def test_an_exported_estate_loads_without_a_difference(tmp_path, drawn, seed):
    apply_catalog(load(scattered(tmp_path / "drawn", drawn, random.Random(seed))), by=SYSTEM)
    difference = again("drawn")
    assert (difference.changes, difference.problems) == ((), ())


def test_the_whole_of_edye_comes_back():
    apply_catalog(load(configured.BASE_DIR / "catalog" / "edye"), by=SYSTEM)
    difference = again("edye")
    assert (difference.changes, difference.problems) == ((), ())


def test_every_noun_and_field_comes_back(tmp_path):
    apply_catalog(load(write(tmp_path / "whole", {"all.yaml": WHOLE})), by=SYSTEM)
    assert again("whole").changes == ()
    assert "production/us-central/cache-a: {kind: redundant, group: cache, needed: 1}" in "".join(
        export.whole("whole", SYSTEM)
    )


def test_a_catalog_that_relies_on_another_comes_back_alone(tmp_path):
    apply_catalog(load(write(tmp_path / "whole", {"all.yaml": WHOLE})), by=SYSTEM)
    apply_catalog(load(write(tmp_path / "other", {"all.yaml": OTHER})), by=SYSTEM)
    text = "".join(export.whole("other", SYSTEM, by="other"))
    assert text.startswith("catalog: other\nrelies_on:\n- whole\ncomponents:\n")
    assert "database: {" not in text
    for name in ("other", "whole"):
        difference = again(name, by=name)
        assert (difference.changes, difference.problems) == ((), ())


def test_a_part_holds_what_was_asked_for_only(tmp_path):
    apply_catalog(load(write(tmp_path / "whole", {"all.yaml": WHOLE})), by=SYSTEM)
    estate = read([("part.yaml", "".join(export.whole("part", SYSTEM, environment="staging")).encode())], "part")
    assert list(estate.components) == ["staging/us-central/database"]
    assert (estate.services, estate.dependencies, estate.relies_on) == ({}, {}, ["whole"])


def test_one_component_as_a_piece_of_a_file(tmp_path):
    apply_catalog(load(write(tmp_path / "whole", {"all.yaml": WHOLE})), by=SYSTEM)
    assert export.lines(Component.objects.get(slug="production/us-central/cache-b")) == (
        "components:\n"
        "  production/us-central/cache-b: {name: B, kind: cache, service: api}\n"
        "dependencies:\n"
        "  production/us-central/cache-b:\n"
        "    production/us-central/cache-a: {kind: soft, relation: replicates, mode: async}\n"
    )


def test_the_reader_exports_what_may_be_seen(tmp_path, as_account):
    apply_catalog(load(write(tmp_path / "whole", {"all.yaml": WHOLE})), by=SYSTEM)
    viewer = world.account("viewer", "viewer", ("staging", "*"))
    for client, path in ((browser(viewer), "/catalog/export/"), (as_account(viewer), "/api/v1/catalog/export/")):
        answer = client.get(path)
        text = b"".join(answer.streaming_content).decode()
        assert answer.status_code == 200
        assert "staging/us-central/database" in text
        assert "production/us-central" not in text


def test_the_command_exports(tmp_path, capsys):
    apply_catalog(load(write(tmp_path / "whole", {"all.yaml": WHOLE})), by=SYSTEM)
    call_command("catalog", "export", "--catalog", "whole")
    text = capsys.readouterr().out
    assert compare(read([("all.yaml", text.encode())], "whole")).changes == ()


def test_what_was_written_by_hand_comes_back(tmp_path):
    """One declaration on both paths: a file says whatever a form or the API may."""
    apply_catalog(load(write(tmp_path / "whole", {"all.yaml": WHOLE})), by=SYSTEM)
    rows = {
        "service": {"slug": "bare", "name": "Bare"},
        "component": {
            "slug": "production/us-central/x",
            "name": "x",
            "kind": "app",
            "service": "bare",
            "tags": ["Big_1"],
        },
        "endpoint": {"component": "production/us-central/x", "name": "Admin_1", "port": 1},
    }
    for noun, row in rows.items():
        write_many(noun, [row], by=SYSTEM)
    again_by_hand = again("mine", by="")
    assert again_by_hand.problems == ()
    assert {(change.act, change.fields) for change in again_by_hand.changes} == {
        ("change", (("declared_by", "", "mine"),))
    }
    assert again_by_hand.counts == {"created": 0, "changed": 3, "removed": 0}
