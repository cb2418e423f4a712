"""Artifacts: the same release is the same bytes, and what is published can be unpacked into a release folder."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from lab import cli, releases
from lab.errors import LabError
from lab.layout import Lab


def test_the_same_release_is_the_same_bytes_in_every_lab(tmp_path):
    first = releases.publish(tmp_path / "one" / "lab" / "connections.json", "api", "1.1.0", error_rate=0.2)
    second = releases.publish(Lab(tmp_path / "two" / "lab"), "api", "1.1.0", error_rate=0.2)
    assert first["digest"] == second["digest"]
    assert first["location"] == (tmp_path / "one/lab/artifacts/api/1.1.0.tar.gz").as_uri()


def test_the_digest_is_that_of_the_file_and_moves_with_the_content(tmp_path):
    lab = Lab(tmp_path / "lab")
    published = releases.publish(lab, "play", "2.0.0-rc.1")
    data = (lab.artifacts / "play" / "2.0.0-rc.1.tar.gz").read_bytes()
    assert published["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert releases.publish(lab, "play", "2.0.0-rc.1", delay_ms=5)["digest"] != published["digest"]


def test_an_artifact_holds_a_complete_release(tmp_path):
    lab = Lab(tmp_path / "lab")
    releases.publish(lab, "api", "1.2.0", error_rate=0.2, delay_ms=30, crash_at_start=True, ready_after_ms=40)
    with tarfile.open(lab.artifacts / "api" / "1.2.0.tar.gz") as tar:
        members = {member.name: member for member in tar.getmembers()}
        about = json.load(tar.extractfile("release.json"))
        server = tar.extractfile("server.js").read()
    assert sorted(members) == ["release.json", "server.js"]
    assert {(m.uid, m.gid, m.mtime, m.mode) for m in members.values()} == {(0, 0, 0, 0o644)}
    assert server == releases.APP.read_bytes()
    assert about == {
        "version": "1.2.0",
        "error_rate": 0.2,
        "delay_ms": 30,
        "crash_at_start": True,
        "ready_after_ms": 40,
    }


@pytest.mark.parametrize(
    ("service", "version", "properties", "sentence"),
    [
        ("nope", "1.0.0", {}, "there is no service 'nope' in the lab; it has admin, api, "),
        ("../api", "1.0.0", {}, "there is no service '../api' in the lab"),
        ("api", "1.0", {}, "'1.0' is not a semantic version such as 1.1.0"),
        ("api", "../../1.0.0", {}, "'../../1.0.0' is not a semantic version"),
        ("api", "1.0.0", {"error_rate": 20}, "the error rate is a share between 0 and 1, not 20"),
        ("api", "1.0.0", {"delay_ms": -1}, "the delay lies between 0 and 60000 ms, not -1"),
    ],
)
def test_what_cannot_be_published_is_refused_with_a_sentence(tmp_path, service, version, properties, sentence):
    with pytest.raises(LabError) as refusal:
        releases.publish(Lab(tmp_path / "lab"), service, version, **properties)
    assert str(refusal.value).startswith(sentence)
    assert list(tmp_path.rglob("*.tar.gz")) == []


def test_the_command_prints_what_a_ci_server_announces(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PORTAL_STATE", str(tmp_path))
    assert cli.main(["publish", "api", "1.1.0", "--error-rate", "0.2"]) == 0
    announced = json.loads(capsys.readouterr().out)
    assert sorted(announced) == ["digest", "location", "service", "version"]
    assert Path(announced["location"].removeprefix("file://")).is_file()
    assert cli.main(["publish", "api", "one"]) == 2
    assert capsys.readouterr().err == "lab: 'one' is not a semantic version such as 1.1.0\n"
