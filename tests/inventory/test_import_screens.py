"""Importing in the browser, over REST and from the shell: the same verbs, and nothing of others to be seen."""

import json
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError

from inventory import lists
from inventory.actions import imports as verbs
from inventory.importing.guide import EXAMPLES
from inventory.models import NOUNS, Component, Import
from inventory.reconcile import carry_imports
from tests import world
from tests.inventory.files import PLACE, applied, checked, lines
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db
API = f"{PLACE}/api"


def test_a_file_goes_from_the_form_to_the_estate(owner):
    client = browser(owner)
    file = SimpleUploadedFile("rows.csv", lines(f"{PLACE}/new,app,api"), "text/csv")
    sent = client.post("/imports/upload/", {"noun": "component", "mode": "upsert", "format": "", "file": file})
    one = Import.objects.get()
    assert (sent.status_code, sent["Location"], one.name) == (303, one.get_absolute_url(), "rows.csv")
    waiting = client.get(one.get_absolute_url()).text
    assert "waiting for a worker" in waiting
    carry_imports()
    page = client.get(one.get_absolute_url()).text
    assert ["every 5s" in text for text in (waiting, page)] == [True, False]  # goes on by itself, then rests
    assert f"{PLACE}/new" in page
    form = client.get(f"{one.get_absolute_url()}apply/")
    assert f'value="{Import.objects.get().digest}"' in form.text
    done = client.post(f"{one.get_absolute_url()}apply/", {"expected": Import.objects.get().digest, "reason": "New."})
    assert done.status_code == 303
    carry_imports()
    assert "Applied" in client.get(one.get_absolute_url()).text
    assert Component.objects.filter(slug=f"{PLACE}/new").exists()


def test_rows_may_be_pasted_and_what_is_wrong_is_shown(owner):
    client = browser(owner)
    facts = {"noun": "component", "mode": "create", "format": "yaml", "text": f"- slug: {PLACE}/x\n  kind: engine\n"}
    one = client.post("/imports/upload/", facts, follow=False)
    carry_imports()
    page = client.get(one["Location"]).text
    assert "2 problems" in page
    assert "This is “engine”, which is none of: " in page
    for wrong in ({**facts, "text": ""}, {**facts, "noun": "thing"}, {**facts, "text": " \n"}):
        assert client.post("/imports/upload/", wrong).status_code == 422
    assert Import.objects.count() == 1


def test_the_difference_is_searched_narrowed_and_taken_along(owner):
    one = checked(lines(*(f"{PLACE}/c{n},app,api" for n in range(60)), f"{API},job,api"), owner)
    client, path = browser(owner), f"/imports/{one.pk}/"
    assert client.get(path).text.count("<tr>") == 51
    assert client.get(f"{path}?difference-q=c7").text.count(f"<code>{PLACE}/c7</code>") == 1
    changed = client.get(f"{path}?difference-act=change").text
    assert "<del>app</del>" in changed
    file = client.get(f"{path}?difference-export=csv").getvalue().decode().splitlines()
    assert (len(file), file[-1]) == (62, f"62,Change,{API},kind: app → job")
    assert len(json.loads(client.get(f"{path}?difference-export=json").getvalue())) == 61


def test_pages_cost_the_same_for_one_and_for_three(owner):
    first = checked(lines(f"{PLACE}/one,app,api"), owner)
    client = browser(owner)
    costs = [queries(client, path)[0] for path in ("/imports/", f"/imports/{first.pk}/")]
    three = checked(lines(*(f"{PLACE}/c{n},app,api" for n in range(3))), owner)
    checked(lines(f"{API},app,api"), owner)
    assert [queries(client, path)[0] for path in ("/imports/", f"/imports/{three.pk}/")] == costs
    assert costs == [7, 8]


def test_nobody_sees_the_imports_of_others(owner, as_account):
    one = checked(lines(f"{API},job,api"), owner)
    other = world.account("other", "operations_owner", ("production", "api"))
    client, api = browser(other), as_account(other)
    assert str(one.pk) not in client.get("/imports/").text
    for tail in ("", "apply/", "discard/", "recheck/"):
        assert client.get(f"/imports/{one.pk}/{tail}").status_code == 404
    for tail in ("", "errors/", "difference/"):
        assert api.get(f"/api/v1/imports/{one.pk}/{tail}").status_code == 404
    assert api.post(f"/api/v1/imports/{one.pk}/apply/").status_code == 404
    assert api.get("/api/v1/imports/").json()["results"] == []


def test_machines_send_files_too(owner, as_account):
    api = as_account(owner)
    body = f"slug;kind;service\n{PLACE}/x;app;none\n"
    sent = api.post("/api/v1/imports/?noun=component&mode=create", body, content_type="text/csv")
    assert (sent.status_code, sent.json()["state"], sent.json()["mode"]) == (201, "uploaded", "create")
    carry_imports()
    assert api.get(f"{sent['Location']}errors/").json()["results"] == [
        {"line": 2, "column": "service", "detail": "There is no service “none”."}
    ]
    rows = SimpleUploadedFile("rows.json", b'[{"slug": "%s", "kind": "job"}]' % API.encode(), "application/json")
    sent = api.post("/api/v1/imports/", {"noun": "component", "file": rows}, format="multipart")
    carry_imports()
    one = api.get(sent["Location"]).json()
    assert (one["state"], one["changed"], one["problems"]) == ("ready", 1, 0)
    assert api.get(f"{sent['Location']}difference/").json()["results"] == [
        {"line": 1, "act": "change", "key": API, "changed": [{"name": "kind", "before": "app", "after": "job"}]}
    ]
    assert api.post(f"{sent['Location']}apply/", {"expected": "0"}, format="json").status_code == 409
    told = api.post(f"{sent['Location']}apply/", {"expected": one["digest"], "reason": "x"}, format="json")
    assert (told.status_code, told.json()["state"]) == (200, "applying")
    carry_imports()
    assert Component.objects.get().kind == "job"


@pytest.mark.parametrize("form", [False, True])
def test_a_file_that_is_sent_again_after_a_lost_answer_is_taken_once(owner, as_account, form):
    api = as_account(owner)

    def send(body, key="k-1"):
        if not form:
            return api.post("/api/v1/imports/?noun=component", body, content_type="text/csv", HTTP_IDEMPOTENCY_KEY=key)
        facts = {"noun": "component", "file": SimpleUploadedFile("rows.csv", body, "text/csv")}
        return api.post("/api/v1/imports/", facts, format="multipart", HTTP_IDEMPOTENCY_KEY=key)

    body = lines(f"{API},job,api")
    first, again = send(body), send(body)
    assert (first.status_code, again.status_code, first.json(), Import.objects.count()) == (201, 201, again.json(), 1)
    assert (again["Location"], again["Idempotent-Replay"]) == (first["Location"], "true")
    assert (send(body + b"\n").status_code, send(body, "k-2").status_code) == (422, 201)
    assert Import.objects.count() == 2


@pytest.mark.parametrize(("query", "body", "kind", "status"), [
    ("", b"slug\na\n", "text/csv", 400), ("?noun=thing", b"slug\na\n", "text/csv", 422),
    ("?noun=service", b"", "text/csv", 400), ("?noun=service&colour=red", b"slug\na\n", "text/csv", 400),
    ("?noun=service", b"--x", "multipart/form-data; boundary=x", 400),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(owner, as_account, query, body, kind, status):
    answer = as_account(owner).post(f"/api/v1/imports/{query}", body, content_type=kind)
    assert (answer.status_code, Import.objects.count()) == (status, 0)


@pytest.mark.parametrize("noun", NOUNS)
def test_the_file_to_begin_with_can_be_imported(owner, noun):
    world.team("platform", owner)
    world.component(f"{PLACE}/cache", "cache", service="api")
    client = browser(owner)
    guide = client.get(f"/imports/columns/{noun}/").text
    assert all(f"<code>{name}</code>" in guide for name in EXAMPLES[noun] if not name.startswith("custom."))
    one = checked(client.get(f"/imports/columns/{noun}/?export=csv").getvalue(), owner, noun)
    assert list(one.fault_rows.values_list("sentence", flat=True)) == []
    assert one.state == "ready"


def test_every_list_offers_to_import(owner):
    client = browser(owner)
    for noun in NOUNS:
        address = {"data-center": "data-centers", "dependency": "dependencies"}.get(noun, f"{noun}s")
        assert f"/imports/upload/?noun={noun}" in client.get(f"/{address}/").text, lists.PLURALS[noun]
    assert "/imports/upload/" not in browser(world.account("viewer", "viewer")).get("/servers/").text


def test_the_shell_says_what_would_change_and_does_it(owner, tmp_path):
    file, out = tmp_path / "rows.csv", StringIO()
    file.write_bytes(lines(f"{PLACE}/new,app,api", f"{API},job,api"))
    call_command("inventory_import", str(file), noun="component", dry_run=True, stdout=out)
    assert out.getvalue().splitlines() == [
        f"+ component {PLACE}/new", f"~ component {API}", "    kind: 'app' → 'job'",
        "1 to create, 1 to change, 0 unchanged.",
    ]  # fmt: skip
    assert (Component.objects.count(), Import.objects.get().state) == (1, "discarded")
    out = StringIO()
    call_command("inventory_import", str(file), noun="component", stdout=out)
    assert out.getvalue() == "Created 1, changed 1, unchanged 0.\n"
    file.write_bytes(lines(f"{PLACE}/new,engine,none"))
    with pytest.raises(CommandError, match=r"rows\.csv:2: service: There is no service “none”\."):
        call_command("inventory_import", str(file), noun="component")


def test_a_discarded_file_is_told_in_the_timeline(owner):
    one = checked(lines(f"{PLACE}/new,app,api"), owner)
    client = browser(owner)
    assert client.post(f"/imports/{one.pk}/recheck/").status_code == 303
    carry_imports()
    assert client.post(f"/imports/{one.pk}/discard/").status_code == 303
    page = client.get(f"/imports/{one.pk}/").text
    assert all(word in page for word in ("uploaded the file", "had it checked again", "threw the file away"))
    assert applied(checked(lines(f"{PLACE}/new,app,api"), owner), owner).state == "applied"
    assert verbs.Import.objects.count() == 2
