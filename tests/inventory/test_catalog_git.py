"""A catalog in a git repository: at the pinned revision, without running or following anything of it."""

import os
import subprocess

import pytest

from inventory.catalog import CatalogInvalid, source
from inventory.reconcile import catalogs, git
from portal.errors import Conflict, Invalid
from tests.inventory.folders import SOUND

pytestmark = pytest.mark.django_db


def run(folder, *words):
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org"}
    who |= {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *words],
        cwd=folder,
        env=os.environ | who,
        check=True,
        capture_output=True,
    )
    return done.stdout.decode().strip()


def commit(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    run(folder, "add", "-A")
    run(folder, "commit", "-q", "-m", "x")
    return run(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path, settings):
    folder = tmp_path / "infra"
    folder.mkdir()
    run(folder, "init", "-q")
    commit(folder, {f"catalog/small/{name}": text for name, text in SOUND.items()} | {"README.md": "x"})
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()
    settings.CATALOG_SOURCES = [f"infra={folder}#main:catalog/small", "root=/none#main"]
    return folder


def test_the_pinned_revision_is_read_and_its_commit_told(repository):
    first = catalogs.read_catalog(source="infra")
    assert (first.commit, first.source) == (run(repository, "rev-parse", "HEAD"), f"{repository}#main:catalog/small")
    assert len(first.estate().components) == 4
    commit(repository, {"catalog/small/staging.yaml": "components: {}\n"})
    second = catalogs.read_catalog(source="infra")
    assert second.commit != first.commit
    assert len(second.estate().components) == 3
    again = catalogs.read_catalog(source="infra", ref=first.commit)
    assert (again.commit, len(again.estate().components)) == (first.commit, 4)


def test_an_entry_may_be_the_repository_alone(settings):
    settings.CATALOG_SOURCES = [
        "https://git.example/infra.git",
        "/srv/lab#v3:a/b",
        "git@host.example:team/edye.git",
        "",
    ]
    assert list(git.remotes().values()) == [
        git.Remote("infra", "https://git.example/infra.git", "HEAD", ""),
        git.Remote("lab", "/srv/lab", "v3", "a/b"),
        git.Remote("edye", "git@host.example:team/edye.git", "HEAD", ""),
    ]


def test_a_branch_or_tag_may_be_looked_at_before_it_is_merged(repository):
    run(repository, "checkout", "-q", "-b", "feature/less")
    commit(repository, {"catalog/small/staging.yaml": "components: {}\n"})
    run(repository, "tag", "v1.2")
    run(repository, "checkout", "-q", "main")
    for ref in ("feature/less", "v1.2"):
        assert len(catalogs.read_catalog(source="infra", ref=ref).estate().components) == 3


@pytest.mark.parametrize(
    "ref", ["--upload-pack=touch /tmp/x", "-x", "a b", "a..b", "HEAD^", "main:secret", "x.lock", "/"]
)
def test_what_is_no_revision_is_never_passed_on(repository, ref):
    with pytest.raises(Invalid, match="no revision"):
        git.fetch("infra", ref)


def test_only_repositories_of_the_list_are_read(repository, tmp_path):
    for name in ("other", str(repository), f"file://{repository}", "ext::sh -c id"):
        with pytest.raises(Invalid, match="no such source"):
            git.fetch(name)


def test_a_repository_that_runs_a_program_is_not_asked(tmp_path, settings):
    settings.STATE_DIR, mark = tmp_path, tmp_path / "ran"
    settings.CATALOG_SOURCES = [f"bad=ext::sh -c touch% {mark}#main"]
    with pytest.raises(Conflict):
        git.fetch("bad")
    assert not mark.exists()


def test_hooks_are_not_run(repository, settings, tmp_path):
    git.fetch("infra")
    store = next((settings.STATE_DIR / "catalogs").iterdir())
    (store / "hooks").mkdir(exist_ok=True)
    hook = store / "hooks" / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    commit(repository, {"catalog/small/more.yaml": "teams: {}\n"})
    git.fetch("infra")
    assert not (tmp_path / "ran").exists()


def test_links_and_submodules_are_refused(repository):
    (repository / "catalog/small/secret.yaml").symlink_to("/etc/passwd")
    commit(repository, {})
    with pytest.raises(CatalogInvalid) as refusal:
        catalogs.read_catalog(source="infra").estate()
    assert refusal.value.problems == ["secret.yaml: This is not a regular file."]
    (repository / "catalog/small/secret.yaml").unlink()
    head = run(repository, "rev-parse", "HEAD")
    run(repository, "update-index", "--add", "--cacheinfo", f"160000,{head},catalog/small/module.yaml")
    run(repository, "commit", "-q", "-m", "x")
    with pytest.raises(CatalogInvalid) as refusal:
        catalogs.read_catalog(source="infra").estate()
    assert "module.yaml: This is not a regular file." in refusal.value.problems


def test_what_is_too_large_is_not_read(repository, monkeypatch):
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 100)
    files = dict(git.fetch("infra").files)
    assert files["base.yaml"] == "The file is larger than 0 KiB."
    monkeypatch.setattr(git, "MAX_REPOSITORY", 1000)
    with pytest.raises(Conflict):
        git.fetch("infra")


def test_what_cannot_be_read_is_said_without_the_address(repository, settings):
    settings.CATALOG_SOURCES += ["gone=/none/secret-word#main", f"where={repository}#main:nowhere",
                                 f"bare={repository}#main:catalog"]  # fmt: skip
    said = {}
    for name, ref in (("gone", ""), ("infra", "nothing"), ("where", ""), ("bare", "")):
        with pytest.raises((Conflict, Invalid)) as refusal:
            git.fetch(name, ref)
        said[name] = refusal.value.problems
    assert said == {
        "gone": ["There is no git repository."],
        "infra": ["It has no such branch, tag or commit."],
        "where": ["The folder is not in it."],
        "bare": ["There is no .yaml file in catalog."],
    }


def test_a_password_in_an_address_is_not_shown():
    remote = git.Remote("x", "https://user:hunter2@git.example/infra.git", "main", "")
    assert remote.label == "https://git.example/infra.git"
