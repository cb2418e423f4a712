"""The catalog on screens and in the API: a long difference in pages, an upload before it is applied, and the past."""

import io

import pytest

from inventory.models import AppliedCatalog, CatalogDraft, Component
from tests import world
from tests.inventory.folders import SOUND, write
from tests.inventory.screens import browser, queries
from tests.inventory.test_catalog_git import repository as repository  # a fixture
from tests.inventory.test_catalog_uploads import zipped

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator():
    world.scope()
    return world.account("admin", "administrator")


def file(data, name="estate.zip"):
    made = io.BytesIO(data)
    made.name = name
    return made


def long(count):
    rows = "".join(f"  staging/us-central/c{n}: {{name: C, kind: app, service: api}}\n" for n in range(count))
    return SOUND | {"staging.yaml": f"components:\n{rows}"}


def test_an_upload_is_looked_at_then_applied(administrator):
    client = browser(administrator)
    answer = client.post("/catalog/read/", {"file": file(zipped(SOUND))})
    draft = CatalogDraft.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, draft.get_absolute_url())
    page = client.get(draft.get_absolute_url()).content.decode()
    assert "10 to create, 0 to change, 0 to remove." in page
    assert "Read from upload estate.zip" in page
    digest = page.split('name="expected" value="')[1].split('"')[0]
    assert Component.objects.count() == 0
    assert client.post(f"{draft.get_absolute_url()}apply/", {"expected": digest}).status_code == 303
    assert (Component.objects.count(), CatalogDraft.objects.count()) == (4, 0)
    applied = AppliedCatalog.objects.get()
    assert (applied.source, applied.digest, applied.nouns["component"]) == (
        "upload estate.zip", digest, {"create": 4, "change": 0, "remove": 0},
    )  # fmt: skip
    page = client.get(applied.get_absolute_url()).content.decode()
    assert "production/us-central/database" in page
    assert digest in page


def test_a_draft_is_applied_only_as_it_was_read_and_only_by_its_reader(administrator):
    client = browser(administrator)
    client.post("/catalog/read/", {"file": file(zipped(SOUND))})
    draft = CatalogDraft.objects.get()
    assert client.post(f"{draft.get_absolute_url()}apply/", {"expected": "0" * 16}).status_code == 409
    assert client.post(f"{draft.get_absolute_url()}apply/", {}).status_code == 422
    other = browser(world.account("other", "administrator"))
    assert other.get(draft.get_absolute_url()).status_code == 404
    assert other.post(f"{draft.get_absolute_url()}apply/", {"expected": "x"}).status_code == 404
    assert (Component.objects.count(), CatalogDraft.objects.count()) == (0, 1)


def test_a_repository_is_read_at_its_commit(administrator, repository):
    client = browser(administrator)
    assert b"infra (" in client.get("/catalog/read/").content
    client.post("/catalog/read/", {"source": "infra"})
    draft = CatalogDraft.objects.get()
    assert len(draft.commit) == 40
    assert draft.commit[:12] in client.get(draft.get_absolute_url()).content.decode()
    answer = client.post("/catalog/read/", {"source": "infra", "ref": "nothing"})
    assert (answer.status_code, b"It has no such branch" in answer.content) == (409, True)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({}, "Choose either a repository or a file."),
        ({"file": ("x.txt", b"hello")}, "This is neither YAML nor a tar or zip of YAML files."),
        ({"file": ("x.yaml", b"componets: {}\n")}, "x.yaml:1: There is no “componets” here."),
        ({"file": ("x.json", b"{}")}, "This is neither a state of version 4"),
    ],
)
def test_what_cannot_be_read_is_said_beside_the_form(administrator, data, sentence):
    given = {name: file(text, known) for name, (known, text) in data.items()}
    answer = browser(administrator).post("/catalog/read/", given)
    assert (answer.status_code, sentence in answer.content.decode()) == (422, True)
    assert CatalogDraft.objects.count() == 0


def test_a_long_difference_comes_in_pages_and_by_noun(administrator, tmp_path, settings):
    settings.CATALOG_DIR = write(tmp_path / "small", long(200))
    client = browser(administrator)
    page = client.get("/catalog/").content.decode()
    assert len(page) < 60_000
    assert 'href="?noun=component&amp;act=create">203<' in page
    assert page.count("staging/us-central/c") < 60
    assert client.get("/catalog/?noun=service").content.decode().count("<code>api</code>") == 1
    assert "staging/us-central/c199" in client.get("/catalog/?q=c199").content.decode()


def test_the_page_takes_the_same_queries_however_much_differs(administrator, tmp_path, settings):
    settings.CATALOG_DIR = write(tmp_path / "small", long(1))
    few, _ = queries(browser(administrator), "/catalog/")
    settings.CATALOG_DIR = write(tmp_path / "small", long(60))
    many, _ = queries(browser(administrator), "/catalog/")
    assert few == many <= 24


def test_the_api_reads_uploads_and_repositories_and_tells_the_past(administrator, as_account, repository):
    client = as_account(administrator)
    answer = client.post("/api/v1/catalog/plan/", {"file": file(zipped(SOUND))}, format="multipart")
    assert (answer.status_code, answer.json()["counts"]["created"]) == (200, 10)
    body = {"source": "infra", "expected": answer.json()["digest"], "reason": "First."}
    answer = client.post("/api/v1/catalog/apply/", body, format="json")
    assert (answer.status_code, answer.json()["counts"]["created"]) == (200, 10)
    past = client.get("/api/v1/catalog/applied/").json()
    assert [(row["catalog"], len(row["commit"]), row["created"]) for row in past] == [("small", 40, 10)]


@pytest.mark.parametrize("path", ["/catalog/read/", "/api/v1/catalog/applied/"])
def test_who_may_not_apply_may_not_read(path, as_account):
    world.scope()
    viewer = world.account("viewer", "viewer")
    client = as_account(viewer) if path.startswith("/api/") else browser(viewer)
    assert client.get(path).status_code == 403
