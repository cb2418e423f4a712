"""Nothing is part of itself, directly or through others: by hand, by a catalog, and whoever writes."""

from itertools import product

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from inventory.actions.catalog import apply_catalog
from inventory.actions.estate import rehearse, write_many
from inventory.catalog import compare, load
from inventory.models import Component
from inventory.parts import circles
from portal.errors import Conflict, Invalid
from portal.events import SYSTEM
from tests import world
from tests.inventory.folders import complaints, write

pytestmark = pytest.mark.django_db
PLACE = "production/us-central"


def test_those_are_found_that_are_part_of_themselves_and_no_others():
    names = range(4)
    for drawn in product((None, *names), repeat=4):
        whole = dict(zip(names, drawn, strict=True))

        def reaches(start, whole=whole):
            at = whole[start]
            for _ in names:
                if at == start or at is None:
                    break
                at = whole[at]
            return at == start

        assert circles(whole) == {name for name in names if reaches(name)}, whole


@pytest.fixture
def line():
    """One is part of two, which is part of three; four is alone."""
    four, three = (world.component(f"{PLACE}/{name}", service="api") for name in ("four", "three"))
    two = world.component(f"{PLACE}/two", service="api", part_of=three)
    return world.component(f"{PLACE}/one", service="api", part_of=two), two, three, four


def part(name: str, of: str | None, **facts):
    return {"slug": f"{PLACE}/{name}", "part_of": of and f"{PLACE}/{of}", **facts}


def wrong(rows, by=SYSTEM, kind=Conflict):
    with pytest.raises(kind) as refusal:
        rehearse("component", rows, by=by)
    return [(each["index"], each["field"], each["detail"]) for each in refusal.value.errors]


def sentence(whole: str, of: str) -> str:
    return f"“{PLACE}/{whole}” is itself, directly or through others, part of “{PLACE}/{of}”."


def test_a_circle_is_refused_however_long_it_is(line):
    assert wrong([part("two", "one")]) == [(0, "part_of", sentence("one", "two"))]
    assert wrong([part("three", "one")]) == [(0, "part_of", sentence("one", "three"))]
    assert wrong([part("three", "four"), part("four", "one")]) == [
        (0, "part_of", sentence("four", "three")),
        (1, "part_of", sentence("one", "four")),
    ]
    assert wrong([part("one", "one")], kind=Invalid) == [(0, "part_of", "A component is not part of itself.")]


def test_new_rows_may_not_be_parts_of_each_other(line):
    new = {"kind": "app", "service": "api"}
    rows = [part("new", "newer", **new), part("newer", "new", **new), part("newest", "three", **new)]
    assert wrong(rows) == [(0, "part_of", sentence("newer", "new")), (1, "part_of", sentence("new", "newer"))]


def test_a_line_may_be_turned_round_at_once(line):
    write_many("component", [part("one", None), part("two", "one"), part("three", "two")], by=SYSTEM)
    assert dict(Component.objects.values_list("name", "part_of__name")) == {
        "one": None, "two": "one", "three": "two", "four": None,
    }  # fmt: skip


def test_what_may_not_be_seen_is_not_named_by_the_refusal(line):
    hidden = world.service("hidden")
    Component.objects.filter(name="two").update(service=hidden, scope=world.scope("production", "hidden"))
    owner = world.account("owner", "operations_owner", scope=("*", "api"))
    assert wrong([part("three", "one")], by=owner) == [(0, "part_of", sentence("one", "three"))]


def test_asking_costs_one_statement_however_many_rows(line):
    def cost(rows):
        rehearse("component", rows, by=SYSTEM)
        with CaptureQueriesContext(connection) as captured:
            rehearse("component", rows, by=SYSTEM)
        return len(captured)

    def new(count: int, whole: str | None):
        return [part(f"new-{number}", whole, kind="app", service="api") for number in range(count)]

    plain = cost(new(1, None))
    assert [cost(new(1, "two")), cost([part("four", "one"), *new(9, "two")])] == [plain + 1, plain + 1]


def test_the_database_refuses_it_whoever_writes(line):
    one, two, three, four = line
    for change in (
        lambda: Component.objects.filter(pk=three.pk).update(part_of=one),
        lambda: Component.objects.filter(pk__in=[two.pk, four.pk]).update(part_of=one),
        lambda: Component.objects.bulk_create([loose("a", of=two), *each_other()]),
    ):
        with pytest.raises(IntegrityError) as refusal, transaction.atomic():
            change()
        assert refusal.value.__cause__.diag.constraint_name in (
            "component_in_no_circle",
            "component_not_part_of_itself",
        )
    Component.objects.filter(pk=three.pk).update(part_of=four)
    Component.objects.bulk_create([loose("a", of=two), loose("b", of=four)])


def loose(name: str, of: Component) -> Component:
    return Component(
        slug=f"{PLACE}/{name}", name=name, kind="app", environment=of.environment, service=of.service, scope=of.scope,
        part_of=of,
    )  # fmt: skip


def each_other() -> list[Component]:
    one, other = (loose(name, of=Component.objects.get(name="one")) for name in ("c", "d"))
    one.part_of, other.part_of = other, one
    return [one, other]


HEAD = """\
teams: {core: {name: Core}}
data_centers: {us-central: {name: US Central, role: primary}}
environments: {production: {name: Production, kind: production}}
services: {api: {name: API, tier: 1, owner: core}}
"""
ROW = "  production/us-central/%s: {name: A, kind: app, service: api%s}\n"


def test_one_catalog_names_its_own_circle(tmp_path):
    rows = ROW % ("a", f", part_of: {PLACE}/b") + ROW % ("b", f", part_of: {PLACE}/a")
    assert complaints(write(tmp_path, {"all.yaml": HEAD + "components:\n" + rows})) == [
        f"all.yaml:6: These are parts of each other: {PLACE}/a → {PLACE}/b → {PLACE}/a."
    ]


def test_a_circle_through_another_catalog_is_named_with_its_line(tmp_path):
    first = write(tmp_path / "one", {"all.yaml": "catalog: one\n" + HEAD + "components:\n" + ROW % ("a", "")})
    apply_catalog(load(first), by=SYSTEM)
    second = "catalog: two\nrelies_on: [one]\ncomponents:\n" + ROW % ("b", f", part_of: {PLACE}/a")
    apply_catalog(load(write(tmp_path / "two", {"all.yaml": second})), by=SYSTEM)
    turned = "catalog: one\nrelies_on: [two]\n" + HEAD + "components:\n" + ROW % ("a", f", part_of: {PLACE}/b")
    difference = compare(load(write(tmp_path / "one", {"all.yaml": turned})))
    assert [str(problem) for problem in difference.problems] == [f"all.yaml:8: {sentence('b', 'a')}"]
