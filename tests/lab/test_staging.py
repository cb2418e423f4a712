"""A whole small lab, for real: staging with its edge, its seven services, its cache and its object storage."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
from pathlib import Path

import boto3
import psutil
import pytest
import redis
from botocore.config import Config
from botocore.exceptions import ClientError

from drivers import connections, web
from drivers.app import App
from drivers.base import PermanentError
from lab import files, ports, releases
from lab.layout import REPOSITORY, SERVICES
from tests.lab.conftest import Running, traces, until

pytestmark = pytest.mark.long

CELL = "staging/us-central"
COMPONENTS = sorted(f"{CELL}/{name}" for name in (*SERVICES, "nginx", "pm2", "cache", "objects"))


def pids(one: Running) -> dict[str, int]:
    """The recorded process of every daemon."""
    found = {path.stem: json.loads(path.read_text()).get("pid", 0) for path in one.lab.pids.glob("*.json")}
    found["pm2"] = int((one.lab.runtime / "pm2-staging-us-central" / "pm2.pid").read_text())
    return found


def status_of(one: Running, path: str) -> int:
    return web.get(one.connections()[f"{CELL}/nginx"]["url"] + path).status


@pytest.fixture
def healed(staging: Running):
    """The lab, healed after the test whatever became of it."""
    yield staging
    staging.run("heal")


def test_everything_is_up_and_the_portal_is_told_where(staging):
    rows = staging.rows()
    assert sorted(rows) == COMPONENTS
    assert {row["state"] for row in rows.values()} == {"up"}
    assert sorted(staging.connections()) == COMPONENTS
    assert rows[f"{CELL}/play"]["detail"] == "1.0.0 in slot a (1 workers)"
    table = staging.run("status").splitlines()
    assert table[0].split() == ["COMPONENT", "DRIVER", "STATE", "ADDRESS", "DETAIL"]
    assert table[-1] == f"{len(COMPONENTS)} of {len(COMPONENTS)} up"


def test_the_portals_drivers_find_everything_healthy(staging):
    known = connections.load(staging.lab.connections)
    seen = {key: known.driver(key).observe() for key in COMPONENTS}
    assert {key: one.healthy for key, one in seen.items()} == dict.fromkeys(seen, True)
    assert seen[f"{CELL}/api"].version == "1.0.0"


def test_secrets_stay_in_files_that_only_their_owner_reads(staging):
    kept = [path for path in (staging.lab.root / "secrets").iterdir() if path.name != ".lock"]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    values = [path.read_text() for path in kept if path.suffix != ".json"]
    public = staging.lab.connections.read_text() + "".join(traces(staging.state))
    assert [value for value in values if value in public] == []
    for daemon in pids(staging).values():
        family = [psutil.Process(daemon), *psutil.Process(daemon).children(recursive=True)] if daemon else []
        assert [one.pid for one in family if "SECRET_OF_THE_PORTAL" in one.environ()] == []


def test_every_port_is_on_loopback_and_below_the_outgoing_ones(staging):
    listening = set()
    for daemon in filter(None, pids(staging).values()):
        for process in [psutil.Process(daemon), *psutil.Process(daemon).children(recursive=True)]:
            listening |= {link.laddr for link in process.net_connections("tcp") if link.status == "LISTEN"}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} <= set(json.loads(staging.lab.ports.read_text()).values())
    assert max(address.port for address in listening) < ports.LIMIT


def test_a_second_up_starts_nothing(staging):
    before, numbers = pids(staging), staging.lab.ports.read_text()
    output = staging.run("up", "--only", "staging")
    assert "started" not in output
    assert pids(staging) == before
    assert staging.lab.ports.read_text() == numbers


def test_a_key_pair_reaches_its_own_bucket_only(staging):
    facts = staging.connections()[f"{CELL}/objects"]
    keys = {name: Path(facts[name].removeprefix("file:")).read_text() for name in ("access_key", "secret_key")}
    client = boto3.client(
        "s3",
        endpoint_url=facts["endpoint"],
        region_name=facts["region"],
        aws_access_key_id=keys["access_key"],
        aws_secret_access_key=keys["secret_key"],
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    client.put_object(Bucket=facts["bucket"], Key="a", Body=b"content")
    assert client.get_object(Bucket=facts["bucket"], Key="a")["Body"].read() == b"content"
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket="edye-cloud-production", Key="a", Body=b"content")
    client.close()


def test_a_killed_worker_is_replaced_by_pm2(staging):
    app = connections.load(staging.lab.connections).driver(f"{CELL}/billing")
    assert isinstance(app, App)
    before = app.workers("a")[0]
    assert (
        staging.run("break", "process", f"{CELL}/billing") == f"killed worker {before.pid} of {CELL}/billing (slot a)\n"
    )
    until(lambda: [one.pid for one in app.workers("a") if one.online] not in ([], [before.pid]))
    until(lambda: app.health("a").ok)
    assert app.workers("a")[0].restarts == before.restarts + 1


def test_a_service_answers_500_or_slowly_until_it_is_healed(healed):
    said = healed.run("break", "service", f"{CELL}/api", "--errors", "1", "--delay-ms", "300")
    assert said == f"{CELL}/api: 100% of the answers are errors and answers take 300 ms longer\n"
    until(lambda: status_of(healed, "/api/") == 500)
    assert web.get(healed.connections()[f"{CELL}/nginx"]["url"] + "/api/").seconds >= 0.3
    assert status_of(healed, "/play/") == 200
    row = healed.rows(status=1)[f"{CELL}/api"]
    assert (row["state"], row["detail"]) == ("broken", "1.0.0 in slot a (1 workers), error rate 1.0, delay ms 300")
    healed.run("heal")
    until(lambda: status_of(healed, "/api/") == 200)
    assert healed.rows()[f"{CELL}/api"]["state"] == "up"


def test_a_fault_until_reload_is_mended_by_a_reload(healed):
    healed.run("break", "service", f"{CELL}/cloud", "--errors", "1", "--until-reload")
    until(lambda: status_of(healed, "/cloud/") == 500)
    app = connections.load(healed.lab.connections).driver(f"{CELL}/cloud")
    assert isinstance(app, App)
    app.reload_worker(app.workers("a")[0].pm_id)
    assert status_of(healed, "/cloud/") == 200


def test_a_killed_edge_stays_down_until_it_is_healed(healed):
    assert healed.run("break", "nginx", CELL) == f"{CELL}/nginx: killed\n"
    row = healed.rows(status=1)[f"{CELL}/nginx"]
    assert (row["state"], row["detail"]) == ("broken", "stopped by `lab break`")
    assert f"left broken: {CELL}/nginx" in healed.run("up", "--only", "staging")
    healed.run("heal")
    assert status_of(healed, "/api/") == 200


def test_a_full_cache_refuses_writes_until_it_is_healed(healed):
    facts = healed.connections()[f"{CELL}/cache"]
    password = Path(facts["password"].removeprefix("file:")).read_text()
    with redis.Redis(host=facts["host"], port=facts["port"], password=password) as client:
        client.set("mine", "kept")
        healed.run("break", "cache", "--fill", "--environment", "staging")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("more", "x" * 2_000)
        row = healed.rows(status=1)[f"{CELL}/cache"]
        assert row["state"] == "broken"
        assert row["detail"].startswith("memory is full")
        healed.run("heal")
        assert client.set("more", "x") is True
        assert client.get("mine") == b"kept"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["process", f"{CELL}/nope"], "there is no service 'nope' in the lab; it has admin, api,"),
        (["process", "api"], "'api' is not ENV/DC/SERVICE, such as production/us-central/api"),
        (["service", f"{CELL}/api"], "say what is to go wrong: --errors, --delay-ms or both"),
        (["service", f"{CELL}/api", "--errors", "50"], "--errors is a share between 0 and 1, not 50.0"),
        (
            ["nginx", "staging/us-west"],
            "no data center 'staging/us-west' in the lab; it has staging/us-central,",
        ),
        (["nginx", "production/us-east"], "production/us-east/nginx is not up"),
        (["primary"], "production cache is not up"),
        (["replication"], "production cache is not up"),
        (["database"], "production database is not up"),
        (["everything"], "invalid choice: 'everything'"),
    ],
)
def test_a_wrong_name_is_refused_with_a_sentence_and_breaks_nothing(staging, words, sentence):
    assert sentence in staging.run("break", *words, status=2)
    assert files.read_json(staging.lab.broken, []) == []


def test_a_supervisor_leaves_alone_what_it_did_not_start(staging):
    before = pids(staging)
    with subprocess.Popen(
        staging.argv("up", "--foreground", "--only", "staging"),
        cwd=REPOSITORY,
        env=staging.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        lines = iter(supervisor.stdout.readline, "")
        assert any(line.startswith("lab: ready") for line in lines)
        assert f"process {supervisor.pid} keeps this lab up already" in staging.run("up", "--foreground", status=2)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(10) == 0
    assert pids(staging) == before
    assert staging.rows() != {}


def test_a_published_version_runs_beside_the_old_one_and_survives_a_restart_of_the_lab(staging):
    app = connections.load(staging.lab.connections).driver(f"{CELL}/satellite")
    assert isinstance(app, App)
    published = json.loads(staging.run("publish", "satellite", "1.1.0"))
    target = staging.lab.releases(CELL, "satellite") / "1.1.0"
    with tarfile.open(published["location"].removeprefix("file://")) as tar:
        tar.extractall(target, filter="data")
    app.start_slot("b", "1.1.0")
    app.shift({"a": 0, "b": 100}, "test-1")
    app.stop_slot("a")
    numbers = staging.lab.ports.read_text()
    staging.run("down")
    assert traces(staging.state) == []
    assert staging.run("status", status=2) == "lab: the lab is down: run `manage.py lab up`\n"
    staging.run("up", "--only", "staging")
    assert staging.lab.ports.read_text() == numbers
    answer = web.get(staging.connections()[f"{CELL}/nginx"]["url"] + "/satellite/version")
    assert {name: json.loads(answer.body)[name] for name in ("version", "slot")} == {"version": "1.1.0", "slot": "b"}
    assert releases.FIRST_VERSION == "1.0.0"
    shutil.rmtree(staging.lab.artifacts)


def test_a_version_that_crashes_at_start_leaves_its_reason_and_nothing_running(staging):
    app = connections.load(staging.lab.connections).driver(f"{CELL}/admin")
    assert isinstance(app, App)
    for name, data in releases.content(releases.release("1.9.0", crash_at_start=True)).items():
        files.write(staging.lab.releases(CELL, "admin") / "1.9.0" / name, data)
    with pytest.raises(PermanentError, match=r"admin 1\.9\.0: told to crash at start"):
        app.start_slot("b", "1.9.0")
    assert app.workers("b") == []
    assert app.health("a").ok


def test_no_request_fails_while_workers_are_reloaded(staging):
    app = connections.load(staging.lab.connections).driver(f"{CELL}/play")
    assert isinstance(app, App)
    url = staging.connections()[f"{CELL}/nginx"]["url"].removeprefix("http://")
    seen: list[int] = []
    stop = threading.Event()

    def post() -> None:
        link = http.client.HTTPConnection(url, timeout=10)
        try:
            link.request("POST", "/play/", "{}")
            seen.append(link.getresponse().status)
        finally:
            link.close()

    def load() -> None:  # POST, which the edge may not repeat: a connection that is cut shows
        while not stop.wait(0.02):
            post()

    loads = [threading.Thread(target=load) for _ in range(2)]
    for one in loads:
        one.start()
    before = app.workers("a")[0]
    for _ in range(2):
        app.reload_worker(before.pm_id)
    stop.set()
    for one in loads:
        one.join()
    assert app.workers("a")[0].pid != before.pid
    assert len(seen) > 20
    assert set(seen) == {200}


def test_down_stops_all_of_it_and_nothing_else(staging, tmp_path):
    bystander = subprocess.Popen([shutil.which("sleep") or "sleep", "300"], cwd=tmp_path)
    others = {process.pid for process in psutil.process_iter() if process.name() in ("python", "bash", "sshd")}
    try:
        assert len(traces(staging.state)) >= 10
        output = staging.run("down")
        assert sorted(output.splitlines()) == sorted(
            ["lab: down", "stopped objects", *(f"stopped {CELL}/{name}" for name in ("cache", "nginx", "pm2"))]
        )
        assert traces(staging.state) == []
        assert bystander.poll() is None
        assert os.getpid() in others
        assert staging.run("down") == "lab: down\n"
    finally:
        bystander.kill()
        bystander.wait()
