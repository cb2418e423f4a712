"""Collectors: judging what drivers see, and that one target that hangs delays no other. Real daemons where cheap."""

import json
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from drivers.base import Observation, PermanentError
from drivers.errors import TransientError
from drivers.pm2 import Pm2
from observability import reconcile
from observability.collectors import Watch, judge, looks
from observability.collectors.judgement import MAX_FACTS
from observability.collectors.watch import ListedPm2
from observability.models import ComponentHealth, Sample
from portal import clock
from portal.embedded import ports
from portal.embedded.valkey import Valkey
from portal.models import ReconcilerRun
from tests import world
from tests.ports import free, somewhere


def seen(healthy=True, kind="http", facts=None, readings=None, version=None):
    return Observation(kind, datetime.now(UTC), version, healthy, facts or {}, readings or {})


def slot(ok=True, online=2, expected=2, error=None):
    return {"online": online, "expected": expected, "healthy": ok and online == expected,
            "health": {"ok": ok, "error": error}}  # fmt: skip


JUDGED = [
    (seen(), "healthy", ""),
    (seen(None), "unknown", "The reading could not tell whether it is healthy."),
    (seen(None, facts={"error": "May not ask."}), "unknown", "May not ask."),
    (seen(False, facts={"error": "It refuses."}), "down", "It refuses."),
    (seen(False), "degraded", "It answers, but not as it should."),
    (seen(False, "pm2", readings={"online": 1.0, "processes": 3.0}), "degraded", "1 of 3 processes are online."),
    (seen(False, "redis", {"full": True}), "degraded", "Memory is full, so it refuses writes."),
    (seen(False, "redis", {"full": False}), "degraded", "The link to its primary is down."),
    (seen(False, "sentinel"), "degraded", "The Sentinels see the primary as down, or have no quorum."),
    (seen(False, "mariadb"), "degraded", "Replication does not run."),
    (seen(False, "nginx"), "degraded", "It serves an older configuration than the one on disk."),
    (
        seen(False, "app", {"serving": "a", "slots": {"a": slot(False, error="/healthz answered 500")}}),
        "down",
        "Slot a: /healthz answered 500",
    ),
    (seen(False, "app", {"serving": "a", "slots": {}}), "down", "Slot a: it does not answer"),
    (
        seen(False, "app", {"serving": "a", "slots": {"a": slot(online=1), "b": slot(online=0, expected=0)}}),
        "degraded",
        "It answers, but slot a has 1 of 2 processes online.",
    ),
]


@pytest.mark.parametrize(("observation", "state", "reason"), JUDGED)
def test_what_is_seen_becomes_a_state_and_a_sentence(observation, state, reason):
    found = judge(uuid.uuid4(), observation)
    assert (found.state, found.reason) == (state, reason)


def test_facts_become_what_the_database_takes():
    nasty = {
        "a\x00": "b\x00\ud800",
        "inf": float("inf"),
        "n": [1, 2.5, True, None, (datetime(2026, 1, 1, tzinfo=UTC),)],
    }
    found = judge(
        uuid.uuid4(), seen(facts=nasty, readings={"x": float("nan"), "latency_seconds": 0.01234}, version="1\x00")
    )
    assert found.facts == {"a�": "b�?", "inf": None, "n": [1, 2.5, True, None, ["2026-01-01 00:00:00+00:00"]]}
    assert (found.numbers, found.latency_ms, found.version) == ({"latency_seconds": 0.01234}, 12.3, "1�")


def test_too_many_facts_are_shortened():
    found = judge(uuid.uuid4(), seen(facts={"log": "x" * MAX_FACTS, "generation": "7"}))
    assert found.facts == {"generation": "7", "shortened": True}


def test_a_target_that_hangs_delays_no_other_and_is_not_asked_twice():
    release, asked = threading.Event(), []
    hangs, fine = uuid.uuid4(), [uuid.uuid4() for _ in range(20)]

    def hang():
        asked.append(1)
        release.wait(20)
        return seen()

    watch = Watch(deadline=0.3, overdue=0.5)
    everything = {hangs: hang} | dict.fromkeys(fine, seen)
    began = time.monotonic()
    first = {finding.component_id: finding.state for finding in watch.read(everything)}
    assert time.monotonic() - began < 2
    assert first == dict.fromkeys(fine, "healthy")
    second = {finding.component_id: finding for finding in watch.read(everything)}
    assert len(asked) == 1
    assert second[hangs].state == "unknown"
    assert second[hangs].reason.startswith("No reading has come back for ")
    release.set()
    third = {finding.component_id: finding.state for finding in watch.read(everything)}
    assert third == dict.fromkeys([hangs, *fine], "healthy")


def test_an_answer_after_the_deadline_counts_in_the_next_round():
    component = uuid.uuid4()
    watch = Watch(deadline=0.05)

    def slow():
        time.sleep(0.3)
        return seen(False, facts={"error": "It took too long."})

    assert watch.read({component: slow}) == []
    time.sleep(0.4)
    assert [finding.reason for finding in watch.read({component: slow})] == ["It took too long."]
    assert watch.read({}) == []


def test_an_error_means_that_nothing_was_learnt():
    component = uuid.uuid4()
    watch = Watch()

    def refused():
        raise PermanentError("wrong credentials\x00")

    def broken():
        raise ZeroDivisionError

    assert [(f.state, f.reason) for f in watch.read({component: refused})] == [("unknown", "wrong credentials")]
    assert [(f.state, f.reason) for f in watch.read({component: broken})] == [
        ("unknown", "The reading failed: ZeroDivisionError.")
    ]


def connections(tmp_path, facts):
    path = tmp_path / "connections.json"
    path.write_text(json.dumps({"version": 1, "connections": facts}))
    return path


def test_a_missing_file_and_an_unknown_key_say_so(tmp_path):
    component = uuid.uuid4()
    (missing,) = Watch().read(looks({component: "a/b/c"}, tmp_path / "none.json"))
    assert (missing.state, missing.reason) == ("unknown", f"there is no connections file at {tmp_path / 'none.json'}")
    (unknown,) = Watch().read(looks({component: "a/b/c"}, connections(tmp_path, {})))
    assert (unknown.state, unknown.reason) == ("unknown", "no connection is known as 'a/b/c'")


def test_services_on_one_daemon_share_one_listing(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(Pm2, "processes", lambda self, name=None: calls.append(name) or [])
    pm2 = {"driver": "pm2", "home": str(tmp_path), "node": "/bin/true", "pm2": "/bin/true"}
    nginx = {"driver": "nginx", "prefix": str(tmp_path), "binary": "/bin/true", "url": "http://127.0.0.1:1",
             "access_log": str(tmp_path / "log")}  # fmt: skip
    facts = {"p/c/pm2": pm2, "p/c/nginx": nginx}
    for place, name in enumerate(("api", "play")):
        ports_of = {
            letter: {"process": f"{name}-{letter}", "port": 20000 + 2 * place + n} for n, letter in enumerate("ab")
        }
        facts[f"p/c/{name}"] = {
            "driver": "app",
            "pm2": "p/c/pm2",
            "nginx": "p/c/nginx",
            "service": name,
            "slots": ports_of,
            "instances": 1,
            "releases": str(tmp_path),
        }
    wanted = {uuid.uuid4(): key for key in ("p/c/api", "p/c/play", "p/c/pm2")}
    made = looks(wanted, connections(tmp_path, facts))
    drivers = [look.__self__ for look in made.values()]
    assert len({id(driver if isinstance(driver, ListedPm2) else driver.pm2) for driver in drivers}) == 1
    drivers[0].pm2.processes("api-a")
    drivers[1].pm2.processes("play-a")
    assert calls == [None]


def test_an_error_of_the_listing_is_shared_too(tmp_path, monkeypatch):
    calls = []

    def fail(self, name=None):
        calls.append(name)
        raise TransientError("pm2 is busy")

    monkeypatch.setattr(Pm2, "processes", fail)
    pm2 = ListedPm2({"home": str(tmp_path), "node": "/bin/true", "pm2": "/bin/true"}, None)
    for _ in range(3):
        with pytest.raises(TransientError, match="pm2 is busy"):
            pm2.processes("api-a")
    assert calls == [None]


@contextmanager
def web_server(status=200):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(b"fine")

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free()), Handler)
    server.status = status
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def valkey(tmp_path):
    (tmp_path / "valkey").mkdir()
    server = Valkey(tmp_path / "valkey", "sesame", tmp_path / "valkey.log")
    ports.start_on_free(server, somewhere())
    yield server
    server.stop()


@pytest.mark.django_db
def test_real_daemons_are_collected_and_reported(tmp_path, settings, valkey):
    cache = world.component("production/us-central/cache", "cache")
    site = world.component("production/us-central/site", "edge")
    gone = world.component("production/us-central/gone", "edge")
    world.component("production/us-central/mail", "mail", connection="")
    elsewhere = world.component("production/us-east/site", "edge")
    (tmp_path / "password").write_text("sesame")
    password = f"file:{tmp_path / 'password'}"
    port = int(valkey.url.rsplit(":", 1)[1].split("/")[0])
    with web_server() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        settings.CONNECTIONS_FILE = connections(tmp_path, {
            cache.slug: {"driver": "redis", "host": "127.0.0.1", "port": port, "password": password},
            site.slug: {"driver": "http", "url": url},
            gone.slug: {"driver": "http", "url": "http://127.0.0.1:1/"},
            elsewhere.slug: {"driver": "http", "url": url},
        })  # fmt: skip
        assert reconcile.collect("us-central") == 2
        server.status = 503
        reconcile.collect("us-central")
        assert reconcile.collect("us-central") == 1
    rows = {row.component.slug: row for row in ComponentHealth.objects.select_related("component")}
    assert {slug: row.state for slug, row in rows.items()} == {
        cache.slug: "healthy",
        site.slug: "down",
        gone.slug: "down",
    }
    assert rows[cache.slug].facts["role"] == "primary"
    assert rows[cache.slug].version
    assert rows[cache.slug].latency_ms > 0
    assert rows[site.slug].error == "answered 503 instead of 200"


@pytest.mark.django_db
def test_components_in_no_data_center_are_looked_at_too(tmp_path, settings):
    from inventory.models import Component

    placeless = world.component("production/us-central/cdn", "cdn")
    Component.objects.update(data_center=None)
    with web_server() as server:
        facts = {placeless.slug: {"driver": "http", "url": f"http://127.0.0.1:{server.server_port}/"}}
        settings.CONNECTIONS_FILE = connections(tmp_path, facts)
        assert reconcile.collect(None) == 1
    assert ComponentHealth.objects.get().state == "healthy"


@pytest.mark.django_db
def test_history_older_than_a_day_is_forgotten():
    component = world.component()
    for hours in (1, 23, 25, 100):
        Sample.objects.create(component=component, minute=clock.now() - timedelta(hours=hours), state="healthy")
    assert reconcile.prune() == 2
    assert Sample.objects.count() == 2


@pytest.mark.django_db
def test_the_reconcilers_stand_in_their_data_centers_queue(tmp_path, settings):
    from portal.celery import app

    settings.CONNECTIONS_FILE = tmp_path / "none.json"
    schedule = app.conf.beat_schedule
    assert {name: (entry["schedule"], entry["options"]["queue"]) for name, entry in schedule.items()
            if name.startswith("observability.")} == {
        "observability.collect.us-central": (5.0, "us-central"),
        "observability.collect.us-east": (5.0, "us-east"),
        "observability.collect.global": (5.0, "default"),
        "observability.prune": (600.0, "default"),
    }  # fmt: skip
    world.component()
    app.tasks["observability.collect.us-central"].apply().get()
    assert ReconcilerRun.objects.get().succeeded_at is not None
    assert ComponentHealth.objects.get().state == "unknown"
