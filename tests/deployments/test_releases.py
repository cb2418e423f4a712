"""Installing an artifact: proved by digest, whole or not there, and nothing outside its folder."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from drivers import releases
from drivers.errors import InvalidInput, PermanentError


def artifact(path, **members: str) -> tuple[str, str]:
    """A gzipped tar of ``members``; its address and digest."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in (members or {"server.js": "// serves"}).items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return f"file://{path}", "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_unpacks_what_was_announced(tmp_path):
    location, digest = artifact(tmp_path / "a.tar.gz", **{"server.js": "// one", "release.json": "{}"})
    target = releases.install(location, digest, tmp_path / "releases", "1.2.3")
    assert sorted(path.name for path in target.iterdir()) == [".digest", "release.json", "server.js"]
    assert releases.digest_of(target) == digest


def test_repeating_it_changes_nothing(tmp_path):
    location, digest = artifact(tmp_path / "a.tar.gz")
    first = releases.install(location, digest, tmp_path / "releases", "1.2.3")
    before = first.stat().st_mtime_ns
    (tmp_path / "a.tar.gz").unlink()
    assert releases.install(location, digest, tmp_path / "releases", "1.2.3") == first
    assert first.stat().st_mtime_ns == before


def test_other_bytes_than_announced_are_refused_and_leave_nothing(tmp_path):
    location, _ = artifact(tmp_path / "a.tar.gz")
    with pytest.raises(PermanentError, match="announced was"):
        releases.install(location, "sha256:" + "0" * 64, tmp_path / "releases", "1.2.3")
    assert list((tmp_path / "releases").iterdir()) == []


def test_a_version_folder_is_never_overwritten(tmp_path):
    location, digest = artifact(tmp_path / "a.tar.gz")
    releases.install(location, digest, tmp_path / "releases", "1.2.3")
    other, other_digest = artifact(tmp_path / "b.tar.gz", **{"server.js": "// other"})
    with pytest.raises(PermanentError, match="from another artifact"):
        releases.install(other, other_digest, tmp_path / "releases", "1.2.3")


@pytest.mark.parametrize("name", ["../escape.js", "/etc/escape.js"])
def test_a_member_outside_its_folder_is_refused(tmp_path, name):
    location, digest = artifact(tmp_path / "a.tar.gz", **{"server.js": "// x", name: "bad"})
    with pytest.raises(PermanentError, match="cannot be unpacked"):
        releases.install(location, digest, tmp_path / "releases", "1.2.3")
    assert list((tmp_path / "releases").iterdir()) == []


def test_a_link_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("server.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(PermanentError, match="neither a file nor a folder"):
        releases.install(f"file://{path}", digest, tmp_path / "releases", "1.2.3")


def test_what_is_no_archive_or_brings_no_program_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"not an archive")
    digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(PermanentError, match="cannot be unpacked"):
        releases.install(f"file://{path}", digest, tmp_path / "releases", "1.2.3")
    location, digest = artifact(tmp_path / "b.tar.gz", **{"readme.txt": "hello"})
    with pytest.raises(PermanentError, match=r"no server\.js"):
        releases.install(location, digest, tmp_path / "releases", "1.2.3")


@pytest.mark.parametrize("location", ["http://127.0.0.1/a.tar.gz", "ftp://h/a", "a.tar.gz", "s3://b/a"])
def test_other_addresses_are_refused(tmp_path, location):
    with pytest.raises(InvalidInput, match="file:// or https://"):
        releases.install(location, "sha256:" + "0" * 64, tmp_path / "releases", "1.2.3")


@pytest.mark.parametrize("version", ["1.2", "../1.2.3", "1.2.3\n", "v1.2.3", ""])
def test_a_version_is_a_semantic_version(tmp_path, version):
    location, digest = artifact(tmp_path / "a.tar.gz")
    with pytest.raises(InvalidInput):
        releases.install(location, digest, tmp_path / "releases", version)


def test_a_missing_file_is_said_so(tmp_path):
    with pytest.raises(PermanentError, match="there is no artifact"):
        releases.install(f"file://{tmp_path}/none", "sha256:" + "0" * 64, tmp_path / "releases", "1.2.3")


def test_more_than_the_cap_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(releases, "MAX_BYTES", 10)
    location, digest = artifact(tmp_path / "a.tar.gz")
    with pytest.raises(PermanentError, match="larger than 10 bytes"):
        releases.install(location, digest, tmp_path / "releases", "1.2.3")


def test_removing_is_harmless_when_nothing_is_there(tmp_path):
    location, digest = artifact(tmp_path / "a.tar.gz")
    target = releases.install(location, digest, tmp_path / "releases", "1.2.3")
    releases.remove(tmp_path / "releases", "1.2.3")
    releases.remove(tmp_path / "releases", "1.2.3")
    assert not target.exists()
