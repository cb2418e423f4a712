"""Importing files: everything that is wrong at once, the difference first, and then all of it or nothing."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from identity import rights
from identity.models import RoleBinding
from inventory.actions import imports as verbs
from inventory.models import Component, Import, ImportChange, ImportedFile, Revision
from inventory.reconcile import carry_imports, prune_imports
from inventory.reconcile import imports as work
from portal import clock, events
from portal.errors import Conflict, Denied, IllegalTransition, Invalid
from portal.models import Event
from tests import world
from tests.inventory.files import PLACE, applied, changes, checked, faults, lines, table

pytestmark = pytest.mark.django_db
API = f"{PLACE}/api"


def test_a_file_is_looked_at_first_and_then_written_as_a_whole(owner):
    data = lines(f"{PLACE}/one,app,api,2.0,", f"{API},app,api,2.0,", f"{PLACE}/two,job,api,,a b|c",
                 header="slug,kind,service,version,tags")  # fmt: skip
    one = checked(data, owner, name="rows.csv")
    assert (one.state, one.summary, one.total) == ("ready", "2 to create, 1 to change, 0 unchanged", 3)
    assert [(line, act, key) for line, act, key, _ in changes(one)] == [
        (2, "create", f"{PLACE}/one"), (3, "change", API), (4, "create", f"{PLACE}/two"),
    ]  # fmt: skip
    assert changes(one)[1][3] == [["version", "", "2.0"]]
    assert ["tags", None, ["a", "b", "c"]] in changes(one)[2][3]
    assert Component.objects.count() == 1
    with events.acting(request_id="r-1", address="192.0.2.1", token="t", methods=("otp",)):
        verbs.apply(one, by=owner, expected=one.digest, reason="New region.")
    carry_imports()
    one.refresh_from_db()
    assert (one.state, one.applied_by, one.done, one.busy) == ("applied", owner, 3, False)
    assert Component.objects.get(name="two").tags == ["a", "b", "c"]
    event = Event.objects.get(verb="inventory.complete")
    assert (event.actor, event.reason, event.request_id, event.auth["address"]) == (
        owner, "New region.", "r-1", "192.0.2.1",
    )  # fmt: skip
    assert event.after == {"noun": "component", "created": 2, "changed": 1, "unchanged": 0}
    assert Revision.objects.filter(transaction=event.transaction, noun="component").count() == 4
    assert not ImportedFile.objects.exists()


def test_everything_that_is_wrong_is_told_with_its_line_and_column(owner):
    world.component(f"{PLACE}/cache", "cache", service="api")
    data = table(
        ["slug", "kind", "service", "part_of", "attributes.processes", "description", "attributes", "colour"],
        [API, "app", "apy", "", "four", "", "", "red"],
        [f"{PLACE}/x", "engine", "api", "", "", "x" * 2001, "", ""],
        [f"{PLACE}/y", "app", "api", f"{PLACE}/cashe", "5", "two\nlines", "", ""],
        [f"{PLACE}/y", "app", "api", "", "5", "", "{", ""],
        ["", "", "", "", "", "", "", ""],
        ["Upper/x/y", "app", "", "", "", "a\x00b", "", ""],
    )
    one = checked(data + b"too,few\n", owner)
    kinds = f"{', '.join(Component.Kind.values[:10])}, … (and {len(Component.Kind) - 10} more)"
    assert faults(one) == [
        (1, "colour", "There is no column “colour” of a component."),
        (2, "attributes.processes", "This must be a whole number."),
        (2, "service", "There is no service “apy”. Did you mean “api”?"),
        (3, "description", "This must be at most 2000 characters long."),
        (3, "kind", f"This is “engine”, which is none of: {kinds}."),
        (4, "part_of", f"There is no component “{PLACE}/cashe”. Did you mean “{PLACE}/cache”?"),
        (6, "attributes", "This is not JSON."),
        (6, "slug", f"“{PLACE}/y” is in this file twice; first in line 4."),
        (8, "description", "Text must not hold the character NUL."),
        (8, "service", "This must be the slug of what it points at."),
        (8, "slug", "“Upper/x/y” must be environment/data-center/name, in lower-case letters, digits and hyphens."),
        (9, "", "This row has 2 cells, the header has 8."),
        (9, "kind", f"This is “few”, which is none of: {kinds}."),
        (9, "slug", "“too” must be environment/data-center/name, in lower-case letters, digits and hyphens."),
    ]
    assert (one.state, one.faults) == ("refused", len(faults(one)))
    assert Component.objects.count() == 2
    assert not ImportChange.objects.exists()


def test_only_the_first_thousand_problems_are_kept(owner):
    one = checked(lines(*(f"{PLACE}/c{n},app,none" for n in range(1200))), owner)
    assert (one.state, one.faults, len(faults(one))) == ("refused", 1200, 1000)


UNREADABLE = [
    (b"slug;kind\xff\n\xfe", [(1, "", "Byte 9 of the file (0xff) is not UTF-8 text."),
                              (2, "", "Byte 11 of the file (0xfe) is not UTF-8 text.")]),
    ("slug,kind".encode("utf-16"), [(1, "", "The file is UTF-16. Save it as UTF-8.")]),
    (b"slug,name\n", [(0, "", "There is no row in this file.")]),
    (b"slug,slugg,slug\na,b,c\n", [(1, "slug", "The column “slug” is there twice."),
                                   (1, "slugg", "There is no column “slugg” of a service. Did you mean “slug”?")]),
    (b'slug,name\n"a,b\n', [(2, "", "A quote is opened in this row and never closed.")]),
    (b'slug,name\n"a"b,c\n', [(2, "", "After a closing quote the cell goes on; a quote inside a cell is written "
                                      "twice.")]),
    (b"[{\"slug\": \"a\"},\n 7]", [(2, "", "A row must be a mapping of names to values.")]),
    (b"[{\"slug\": \"a\",}]", [(1, "", "This is not JSON: Illegal trailing comma before end of object (line 1, "
                                       "character 14). What follows was not read.")]),
    (b"{\"slug\": NaN}\n{\"slug\": \"a\", \"slug\": \"b\"}\n", [(1, "", "NaN is no number that JSON has."),
                                              (2, "", "“slug” is in one object twice.")]),
    (b"- slug: a\n  name: &x b\n", [(2, "", "Anchors and aliases (& and *) are not allowed; write the value out. "
                                            "What follows was not read.")]),
    (b"- slug: !!python/object a\n", [(1, "", "Tags (!) are not allowed. What follows was not read.")]),
    (b"---\nslug: a\n", [(2, "", "The file must be a list of rows. What follows was not read.")]),
    (b"- slug: a\n  slug: b\n", [(2, "slug", "“slug” is in one row twice.")]),
]  # fmt: skip


def test_files_that_cannot_be_read_say_where(owner):
    for data, told in UNREADABLE:
        one = checked(data, owner, "service")
        assert [fault for fault in faults(one) if fault[2] != "This is needed."] == told, data
        assert one.state == "refused"


THE_SAME = [
    b"\xef\xbb\xbfslug;name;tier\r\nplay;\"Play;er\r\n2\";1\r\n",
    b"sep=;\nslug;name;tier\nplay;\"Play;er\r\n2\";1\n",
    b"slug\tname\ttier\tid\nplay\t\"Play;er\r\n2\"\t1\t7\n",
    b'[\n{"slug": "play", "name": "Play;er\\r\\n2", "tier": 1}\n]',
    b'{"slug": "play", "name": "Play;er\\r\\n2", "tier": 1, "revision": 3}',
    b'- {slug: play, name: "Play;er\\r\\n2", tier: 1}\n',
    b'- slug: play\n  name: "Play;er\\r\\n2"\n  tier: 1\n  slo: null\n',
]  # fmt: skip


def test_every_format_gives_the_same_row(owner):
    fields = [["name", None, "Play;er\r\n2"], ["tier", None, 1]]
    for data in THE_SAME:
        one = checked(data, owner, "service")
        assert faults(one) == [], data
        assert changes(one)[0][2:] == ("play", fields), data


def test_what_is_left_out_stays_and_what_is_empty_is_emptied(owner):
    Component.objects.update(version="1", description="Old.", tags=["a"], attributes={"processes": 2, "runtime": "n"})
    Component.objects.update(custom={"a": "1", "b": 2}, status="retiring")
    data = table(["slug", "version", "tags", "status", "attributes.processes", "attributes.runtime", "custom.a"],
                 [API, "", "", "", 3, "", ""])  # fmt: skip
    one = applied(checked(data, owner, mode="update"), owner)
    api = Component.objects.get()
    assert (one.state, api.description, api.version, api.tags, api.status) == ("applied", "Old.", "", [], "active")
    assert (api.attributes, api.custom) == ({"processes": 3}, {"b": 2})


def test_formulas_that_were_disarmed_come_back_as_they_were(owner):
    data = table(["slug", "description", "version"], [API, "'=1+1", "''-x"])
    applied(checked(data, owner), owner)
    assert Component.objects.values_list("description", "version").get() == ("=1+1", "'-x")


def test_modes_say_what_may_happen(owner):
    both = lines(f"{API},job,api", f"{PLACE}/new,job,api")
    assert faults(checked(both, owner, mode="create")) == [(2, "slug", f"There is a component “{API}” already.")]
    assert faults(checked(both, owner, mode="update")) == [(3, "slug", f"There is no component “{PLACE}/new”.")]
    assert checked(both, owner).summary == "1 to create, 1 to change, 0 unchanged"


def test_rows_may_point_at_rows_that_come_much_later(owner, monkeypatch):
    monkeypatch.setattr("inventory.importing.reading.PART", 2)
    rows = [f"{PLACE}/c{n},app,api,{f'{PLACE}/c{n + 3}' if n < 4 else ''}" for n in range(7)]
    one = checked(lines(*rows, header="slug,kind,service,part_of"), owner)
    assert (faults(one), one.created) == ([], 7)
    assert applied(one, owner).state == "applied"
    assert dict(Component.objects.exclude(slug=API).values_list("name", "part_of__name")) == {
        f"c{n}": f"c{n + 3}" if n < 4 else None for n in range(7)
    }
    assert checked(lines(*rows, header="slug,kind,service,part_of"), owner).unchanged == 7


def test_rights_are_asked_for_every_scope_when_it_is_checked_and_when_it_is_applied(owner):
    world.component("staging/us-central/api")
    narrow = world.account("narrow", "operations_owner", ("production", "api"))
    world.account("narrow", "viewer", ("staging", "api"))
    one = checked(lines(f"{API},job,api", "staging/us-central/api,job,api"), narrow)
    assert faults(one) == [(0, "", "“inventory.edit” is needed on staging × api.")]
    late = world.account("late", "operations_owner")
    one = checked(lines(f"{API},job,api"), late)
    verbs.apply(one, by=late)
    rights.unbind(RoleBinding.objects.get(account=late))
    carry_imports()
    one.refresh_from_db()
    assert one.state != "applied"
    assert Component.objects.get(slug=API).kind == "app"


def test_a_difference_that_became_another_one_is_not_applied(owner):
    one = checked(lines(f"{API},job,api"), owner)
    with pytest.raises(Conflict):
        verbs.apply(one, by=owner, expected="0" * 64)
    verbs.apply(one, by=owner, expected=one.digest)
    Component.objects.update(kind="cache")
    carry_imports()
    one.refresh_from_db()
    assert (one.state, changes(one)) == ("ready", [(2, "change", API, [["kind", "cache", "job"]])])
    assert one.note.startswith("The estate has changed since")
    assert applied(one, owner).state == "applied"


def test_somebody_who_was_faster_is_noticed(owner):
    one = checked(lines(f"{PLACE}/new,job,api"), owner)
    world.component(f"{PLACE}/new", "job", service="api")
    verbs.apply(one, by=owner)
    carry_imports()
    one.refresh_from_db()
    assert one.state == "ready"
    assert one.created == 0


def test_a_file_is_thrown_away_while_it_is_checked(owner, monkeypatch):
    monkeypatch.setattr("inventory.importing.progress.EVERY_SECONDS", 0)
    one = verbs.upload("component", by=owner, data=lines(*(f"{PLACE}/c{n},app,api" for n in range(5))))
    real = work._keep

    def interrupted(same, found):
        real(same, found)
        verbs.discard(Import.objects.get(pk=same.pk), by=owner)

    monkeypatch.setattr(work, "_keep", interrupted)
    carry_imports()
    one.refresh_from_db()
    assert (one.state, ImportChange.objects.count(), ImportedFile.objects.count()) == ("discarded", 0, 0)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("place", ["check", "_keep", "prepare"])
def test_a_check_that_was_killed_begins_anew(owner, monkeypatch, place):
    monkeypatch.setattr("inventory.importing.reading.PART", 2)
    one = verbs.upload("component", by=owner, data=lines(*(f"{PLACE}/c{n},app,api" for n in range(5))))
    where = work if place == "_keep" else verbs
    real, seen = getattr(where, place), []

    def dying(*args, **facts):
        found = real(*args, **facts)
        seen.append(1)
        if len(seen) == (2 if place == "_keep" else 1):
            raise Killed
        return found

    monkeypatch.setattr(where, place, dying)
    with pytest.raises(Killed):
        carry_imports()
    monkeypatch.setattr(where, place, real)
    carry_imports()
    one.refresh_from_db()
    assert (one.state, one.created, len(changes(one)), one.attempts) == ("ready", 5, 5, 0)


@pytest.mark.parametrize("place", ["store", "_counts"])
def test_an_apply_that_was_killed_has_done_nothing_and_is_done_once(owner, monkeypatch, place):
    monkeypatch.setattr("inventory.importing.reading.PART", 2)
    one = checked(lines(*(f"{PLACE}/c{n},app,api" for n in range(5))), owner)
    verbs.apply(one, by=owner)
    real, seen = getattr(verbs, place), []

    def dying(*args):
        real(*args)
        seen.append(1)
        if len(seen) == (2 if place == "store" else 1):
            raise Killed

    monkeypatch.setattr(verbs, place, dying)
    with pytest.raises(Killed):
        carry_imports()
    monkeypatch.setattr(verbs, place, real)
    assert (Component.objects.count(), Revision.objects.filter(noun="component").count()) == (1, 1)
    carry_imports()
    carry_imports()
    one.refresh_from_db()
    assert (one.state, Component.objects.count()) == ("applied", 6)
    assert Revision.objects.filter(noun="component").count() == 6
    assert Event.objects.filter(verb="inventory.complete").count() == 1


def test_what_kills_its_worker_each_time_is_given_up(owner, monkeypatch):
    one = verbs.upload("component", by=owner, data=lines(f"{PLACE}/new,app,api"))
    monkeypatch.setattr(work, "_keep", lambda *_: (_ for _ in ()).throw(Killed))
    for _ in range(3):
        with pytest.raises(Killed):
            carry_imports()
    assert carry_imports() == 1
    one.refresh_from_db()
    assert (one.state, one.note) == ("failed", "Whoever was at it ended 3 times before it was done.")
    monkeypatch.undo()
    verbs.recheck(one, by=owner)
    carry_imports()
    one.refresh_from_db()
    assert one.state == "ready"


def test_a_fault_of_ours_fails_the_import_and_keeps_the_file(owner, monkeypatch):
    one = verbs.upload("component", by=owner, data=lines(f"{PLACE}/new,app,api"))
    monkeypatch.setattr(work, "_keep", lambda *_: 1 / 0)
    carry_imports()
    one.refresh_from_db()
    assert (one.state, one.note) == ("failed", "The portal could not go on: ZeroDivisionError.")
    assert ImportedFile.objects.filter(of=one).exists()


def test_moves_that_make_no_sense_are_refused(owner):
    one = checked(lines(f"{PLACE}/new,app,none"), owner)
    with pytest.raises(IllegalTransition):
        verbs.apply(one, by=owner)
    verbs.discard(one, by=owner)
    for verb in (verbs.recheck, verbs.discard):
        with pytest.raises(IllegalTransition):
            verb(one, by=owner)
    with pytest.raises(Denied):
        verbs.upload("component", by=world.account("viewer", "viewer"), data=b"slug\n")
    with pytest.raises(Invalid) as refusal:
        verbs.upload("thing", by=owner, data=b" \n", mode="remove")
    assert sorted(refusal.value.fields) == ["file", "mode", "noun"]


IMPOSSIBLE = [
    {"digest": ""}, {"digest": "x", "state": "uploaded"}, {"state": "refused"}, {"faults": 1}, {"state": "applied"},
    {"state": "applying"}, {"applied_label": "x"}, {"applied_at": clock.now()}, {"discarded_at": clock.now()},
    {"state": "failed", "digest": ""}, {"state": "nonsense"},
]  # fmt: skip


def test_facts_of_a_state_are_there_with_it_and_only_with_it(owner):
    one = checked(lines(f"{PLACE}/new,app,api"), owner)
    taken = []
    for facts in IMPOSSIBLE:
        with suppress(IntegrityError), transaction.atomic():
            Import.objects.filter(pk=one.pk).update(**facts)
            taken.append(facts)
    assert taken == []


def test_who_sees_an_import(owner):
    narrow = world.account("narrow", "operations_owner", ("production", "api"))
    one, other = checked(lines(f"{API},job,api"), narrow), checked(lines(f"{API},job,api"), owner)
    assert set(Import.objects.visible_to(owner)) == {one, other}
    assert set(Import.objects.visible_to(narrow)) == {one}
    assert not Import.objects.visible_to(world.account("auditor", "auditor")).exists()


def test_old_files_are_thrown_away(owner, monkeypatch):
    waiting, done = checked(lines(f"{API},job,api"), owner), checked(lines(f"{PLACE}/new,job,api"), owner)
    applied(done, owner)
    assert prune_imports() == 0
    later = clock.now() + timedelta(days=8)
    monkeypatch.setattr(clock, "now", lambda: later)
    prune_imports()
    waiting.refresh_from_db()
    assert (waiting.state, ImportChange.objects.count(), ImportedFile.objects.count()) == ("discarded", 0, 0)
