"""The connections file: checked on reading, drivers made on asking."""

from __future__ import annotations

import json

import pytest

from drivers import connections
from drivers.base import (
    Driver,
    InvalidInput,
    Observable,
    PermanentError,
    Reloadable,
    Shiftable,
    Slotted,
    TransientError,
)
from drivers.registry import KINDS, driver_class
from drivers.secret import SecretStore

NGINX = {"driver": "nginx", "prefix": "/x", "binary": "/n", "url": "http://127.0.0.1:1", "access_log": "/x/log"}
PM2 = {"driver": "pm2", "home": "/tmp/p", "node": "/n", "pm2": "/m/bin/pm2"}
APP = {
    "driver": "app",
    "pm2": "e/d/pm2",
    "nginx": "e/d/nginx",
    "service": "api",
    "slots": {"a": {"process": "api-a", "port": 1001}, "b": {"process": "api-b", "port": 1002}},
    "instances": 2,
    "releases": "/r",
}


def write(path, content) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_drivers_come_with_their_relatives(tmp_path):
    known = {
        "e/d/nginx": NGINX,
        "e/d/pm2": PM2,
        "e/d/api": APP,
        "e/d/cache": {"driver": "redis", "host": "h", "port": 1},
    }
    loaded = connections.load(write(tmp_path / "c.json", {"version": 1, "connections": known}))
    assert loaded.keys() == sorted(known)
    assert loaded.get("e/d/api") == APP
    assert "e/d/api" in loaded
    assert "e/d/none" not in loaded
    app = loaded.driver("e/d/api")
    assert (app.kind, app.related["pm2"].kind, app.related["nginx"].kind) == ("app", "pm2", "nginx")
    for capability in (Observable, Reloadable, Slotted, Shiftable):
        assert isinstance(app, capability)
    assert isinstance(loaded.driver("e/d/cache"), Observable)


@pytest.mark.parametrize("reference", ["env:A", "file:/a", "vault:secret/cache#password", "aws-sm:edye/cache#password"])
def test_a_secret_may_be_kept_in_any_known_place(tmp_path, reference):
    facts = {"driver": "redis", "host": "h", "port": 1, "password": reference}
    loaded = connections.load(write(tmp_path / "c.json", {"version": 1, "connections": {"k": facts}}))
    assert loaded.get("k") == facts


def test_what_get_gives_is_a_copy(tmp_path):
    loaded = connections.Connections({"k": NGINX})
    loaded.get("k")["prefix"] = "/changed"
    assert loaded.get("k")["prefix"] == "/x"


@pytest.mark.parametrize("key", ["none", "x" * 1000, ""])
def test_an_unknown_key_is_permanent(key):
    with pytest.raises(PermanentError, match="no connection is known"):
        connections.Connections({}).get(key)


@pytest.mark.parametrize("driver", ["telnet", None, 5])
def test_an_unknown_driver_is_permanent(driver):
    with pytest.raises(PermanentError, match="unknown driver"):
        connections.Connections({"k": {"driver": driver}}).driver("k")


@pytest.mark.parametrize("target", [None, 5, "e/d/nginx"])
def test_a_reference_must_lead_to_a_connection_of_that_kind(target):
    known = connections.Connections({"e/d/nginx": NGINX, "e/d/pm2": PM2, "app": {**APP, "pm2": target}})
    with pytest.raises(InvalidInput, match="needs the key of a pm2 connection"):
        known.driver("app")


def test_a_replica_may_be_named_and_two_may_name_each_other():
    bucket = {"driver": "s3", "endpoint": "http://127.0.0.1:1", "region": "r", "bucket": "b"}
    bucket |= {"access_key": "env:A", "secret_key": "env:S"}
    known = connections.Connections(
        {"one": {**bucket, "replica": "two"}, "two": {**bucket, "replica": "one"}, "nginx": NGINX, "alone": bucket}
    )
    made = known.driver("one")
    assert (made.related["replica"].kind, made.related["replica"].related) == ("s3", {})
    assert known.driver("alone").related == {}
    with pytest.raises(InvalidInput, match="needs the key of a s3 connection as 'replica'"):
        connections.Connections({"one": {**bucket, "replica": "nginx"}, "nginx": NGINX}).driver("one")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        {"connections": {}},
        {"version": 2, "connections": {}},
        {"version": 1},
        {"version": 1, "connections": []},
        {"version": 1, "connections": {"k": []}},
        {"version": 1, "connections": {"k": {"driver": 5}}},
        {"version": 1, "connections": {"k": {"driver": "redis", "password": "in-the-clear"}}},
        {"version": 1, "connections": {"k": {"driver": "redis", "password": "env:in-the-clear"}}},
        {"version": 1, "connections": {"k": {"driver": "redis", "password": "ssm:in-the-clear"}}},
        {"version": 1, "connections": {"k": {"driver": "s3", "secret_key": 5}}},
        " " * (4 * 1024 * 1024 + 1),
    ],
)
def test_a_bad_file_is_refused_without_repeating_a_secret(tmp_path, content):
    with pytest.raises(InvalidInput) as caught:
        connections.load(write(tmp_path / "c.json", content))
    assert "in-the-clear" not in str(caught.value)


def test_a_file_that_is_not_there_yet_is_transient_and_an_unreadable_one_permanent(tmp_path):
    with pytest.raises(TransientError, match="no connections file"):
        connections.load(tmp_path / "none.json")
    with pytest.raises(PermanentError, match="cannot be read"):
        connections.load(tmp_path)


def test_every_kind_is_registered_under_its_own_name():
    classes = {name: driver_class(name) for name in KINDS}
    assert all(kind.kind == name and issubclass(kind, Driver) and kind.__doc__ for name, kind in classes.items())
    with pytest.raises(NotImplementedError):
        Driver({}, SecretStore()).observe()
