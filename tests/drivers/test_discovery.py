"""What each driver finds, in its simulated world: kinds and fields that the inventory knows, and no secret."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from drivers.base import DriverError
from drivers.discovery import Listing, Thing, listing, tcp
from drivers.nginx.configuration import parse
from inventory import kinds
from tests.drivers.contract import worlds

FINDING = {
    "nginx": {
        "": ("edge", {"workers": 2, "tls": False, "cache": True, "server_names": []}),
        "upstream/edye_api": ("load_balancer", {"algorithm": "round robin", "members": ["127.0.0.1:20001"]}),
    },
    "pm2": {
        "": ("process_manager", {"processes": 2}),
        "process/api-a": ("app", {"processes": 2, "version": "1.0.0", "manager": "pm2"}),
    },
    "app": {"": ("app", {"version": "1.0.0", "manager": "pm2"})},
    "php-fpm": {"": ("fpm_pool", {"pool": "www", "max_children": 5, "manager_mode": "dynamic", "version": "8.2.36"})},
    "mariadb": {"": ("database", {"role": "replica", "mode": "async", "read_only": True, "server_uuid": "uid-3"})},
    "mongodb": {"": ("document_database", {"role": "primary", "set": "rs0"})},
    "redis": {"": ("cache", {"role": "primary", "max_memory_mb": 0, "eviction": "noeviction", "version": "9.1.2"})},
    "sentinel": {
        "": ("sentinel", {"master": "edye", "quorum": 2}),
        "server/10.0.0.7:6379": ("cache", {"role": "primary"}),
        "server/10.0.0.8:6379": ("cache", {"role": "replica"}),
    },
    "memcached": {"": ("memcached", {"version": "1.6.18", "max_memory_mb": 64})},
    "rabbitmq": {
        "": ("queue", {"role": "broker", "version": "3.10.8", "virtual_host": "/"}),
        "queue/orders": ("queue", {"role": "queue"}),
    },
    "s3": {"": ("object_store", {"versioned": True})},
}


def found(kind: str) -> tuple[Any, list[Listing]]:
    world = worlds()[kind]()
    return world, world.driver().discover()


def things(listings: list[Listing]) -> dict[str, Thing]:
    return {thing.key: thing for each in listings for thing in each.things}


@pytest.mark.parametrize("kind", sorted(FINDING))
def test_it_finds_what_is_there(kind):
    _, listings = found(kind)
    seen = things(listings)
    for key, (noun, fields) in FINDING[kind].items():
        assert seen[key].kind == noun
        assert {name: seen[key].fields.get(name) for name in fields} == fields
    assert [each.problems for each in listings] == [() for _ in listings]


@pytest.mark.parametrize("kind", sorted(FINDING))
def test_attributes_are_those_of_the_kind_and_everything_is_plain(kind):
    """What has the name of an attribute has its type, so that declared and observed can be compared and taken over."""
    for thing in things(found(kind)[1]).values():
        spec = kinds.KINDS[thing.kind]
        types = {"string": str, "integer": int, "boolean": bool, "array": list}
        for name, value in thing.fields.items():
            if name in spec.attributes:
                assert type(value) is types[spec.attributes[name]["type"]], (thing.kind, name)
        assert json.loads(json.dumps(thing.fields)) == thing.fields


@pytest.mark.parametrize("kind", sorted(FINDING))
def test_looking_again_gives_the_same_keys(kind):
    world, first = found(kind)
    assert {*things(first)} == {*things(world.driver().discover())}


@pytest.mark.parametrize("kind", sorted(FINDING))
def test_what_does_not_answer_is_an_error_or_an_end_that_is_not_complete(kind):
    """Nobody may take silence for absence."""
    try:
        listings = worlds()[kind]().unreachable().discover()
    except DriverError:
        return
    assert not any(each.complete for each in listings)


@pytest.mark.parametrize("kind", sorted(FINDING))
def test_no_secret_leaves_the_driver(kind):
    world, listings = found(kind)
    text = repr([dataclasses.asdict(each) for each in listings])
    facts = world.driver().facts
    secrets = [str(value) for name, value in facts.items() if "password" in name or "key" in name]
    assert [secret for secret in secrets if secret in text] == []


# -- what only one of them has


def test_an_app_claims_its_processes_and_its_upstream_group():
    world, listings = found("app")
    (thing,) = listings[0].things
    pm2, edge = world.driver().facts["pm2"], world.driver().facts["nginx"]
    assert set(thing.claims) >= {f"{pm2}#process/api-a", f"{edge}#upstream/edye_api"}
    assert set(thing.addresses) == {"tcp:127.0.0.1:20001", "tcp:127.0.0.1:20002"}


def test_a_replica_names_its_primary_and_a_primary_its_replicas():
    world, _ = found("mariadb")
    assert {*things(world.cluster.driver(1).discover())} == {
        "",
        "database/app",
        "replica/127.0.0.1:3302",
        "replica/127.0.0.1:3303",
    }
    (replica, *_) = world.cluster.driver(2).discover()[0].things
    assert (replica.fields["role"], replica.fields["read_only"], replica.external_id) == (
        "replica",
        True,
        "mysql:uid-2",
    )
    assert [(each.relation, each.to) for each in replica.relations] == [("replicates", "tcp:127.0.0.1:3301")]


def test_a_password_that_may_not_see_replication_makes_the_listing_incomplete(monkeypatch):
    world, _ = found("mariadb")
    monkeypatch.setattr("drivers.mariadb.state._channels", lambda *_: None)
    (server,) = world.driver().discover()
    assert (server.complete, server.things) == (False, ())


def test_sentinels_that_disagree_are_not_believed():
    world, _ = found("sentinel")
    world.places.discard("10.0.0.9:26379")
    _, servers = world.driver().discover()
    assert servers.problems == ("10.0.0.9:26379: 10.0.0.9:26379 does not answer: Connection refused.",)


def test_an_edge_that_serves_another_generation_is_not_complete():
    world, _ = found("nginx")
    world.host.served = "another"
    (configuration,) = world.driver().discover()
    assert configuration.problems == ("what lies on disk is not what answers",)


def test_a_drained_member_is_not_among_the_members():
    world, _ = found("nginx")
    world.driver().switch("t", {"api": {"a": 50, "b": 50}})
    balancer = things(world.driver().discover())["upstream/edye_api"]
    assert (balancer.fields["members"], balancer.fields["drained"]) == (["127.0.0.1:20001", "127.0.0.1:20002"], [])


def test_an_nginx_configuration_is_read_with_its_includes(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "nginx.conf").write_text(
        "worker_processes 4; # four\nhttp { include conf.d/*.conf; include missing.conf; log_format x '{\"a\":$b}' ; }"
    )
    (tmp_path / "conf.d" / "api.conf").write_text(
        "upstream api { least_conn; server 10.0.0.1:80; server 10.0.0.2:80 down; }\n"
        'server { listen 443 ssl; server_name "api.example" ~^x\\.y$; location / { proxy_pass http://api/v1; } }'
    )
    parsed = parse(tmp_path / "nginx.conf")
    (server,) = (each for each in parsed.root.all("server") if each.block)
    assert parsed.problems == ["missing.conf is included and not there"]
    assert (server.own("server_name"), server.own("listen")) == (["api.example", "~^x.y$"], ["443", "ssl"])
    assert [each.args for each in next(parsed.root.all("upstream")).block] == [
        [],
        ["10.0.0.1:80"],
        ["10.0.0.2:80", "down"],
    ]


@pytest.mark.parametrize("text", ["a {", "a }", 'a "', "a \\", "{{{", ";;;", "a{b{c{}}}"])
def test_a_broken_configuration_is_no_crash(tmp_path, text):
    (tmp_path / "nginx.conf").write_text(text)
    assert parse(tmp_path / "nginx.conf").files == 1


def test_a_key_that_comes_twice_makes_a_listing_incomplete():
    twice = listing("x", [Thing("app", "a", "k"), Thing("app", "b", "k")])
    assert (len(twice.things), twice.complete) == (1, False)


@pytest.mark.parametrize(
    ("host", "seen_from", "address"),
    [
        ("127.0.0.1", "127.0.0.1", "tcp:127.0.0.1:1"),
        ("localhost", "127.0.0.1", "tcp:127.0.0.1:1"),
        ("127.0.0.1", "10.0.0.7", "tcp:10.0.0.7:1"),
        ("DB.example", "10.0.0.7", "tcp:db.example:1"),
    ],
)
def test_a_daemons_own_loopback_is_its_host(host, seen_from, address):
    assert tcp(host, 1, seen_from) == address
