"""The Prometheus driver on a real server that scrapes itself, something that is down, and has rules."""

from __future__ import annotations

import base64
import ssl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest

from drivers import prometheus_api
from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.prometheus import Prometheus, Series
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.certificates import issue
from tests.drivers.contract import Contract, World, call
from tests.drivers.daemons import free_port, running, stub, until
from tests.drivers.simulated.prometheus import PrometheusWorld
from tests.need import need

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: self
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: gone
    params: {{key: [hidden-key]}}
    static_configs: [{{targets: ["127.0.0.1:{gone}"]}}]
"""
PASSWORD = "metrics-password"
WEB = """
tls_server_config: {{cert_file: {certificate}, key_file: {key}}}
basic_auth_users: {{portal: "$2b$04$abcdefghijklmnopqrstuu1vRNNX1zSZ/qpxi5Y0K1BGZO/q3xABq"}}
"""
RULES = """
groups:
  - name: edye
    rules:
      - {alert: Gone, expr: 'up{job="gone"} == 0', labels: {severity: page}}
      - {record: instances, expr: count(up)}
"""


@contextmanager
def serving(ground, *flags, config=CONFIG):
    need(daemons.PROMETHEUS, package="prometheus")
    port, gone = free_port(), free_port()
    folder = ground / f"prometheus-{port}"
    folder.mkdir()
    (folder / "rules.yml").write_text(RULES)
    (folder / "prometheus.yml").write_text(config.format(port=port, gone=gone))
    argv = [daemons.PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", *flags]
    url = f"http://127.0.0.1:{port}"
    with running(argv, folder / "log"):
        until(lambda: httpx.get(f"{url}/-/ready", trust_env=False).status_code in (200, 400))  # 400: wants TLS
        yield SimpleNamespace(url=url, folder=folder, gone=f"127.0.0.1:{gone}", instance=f"127.0.0.1:{port}")


@pytest.fixture(scope="module")
def server(ground):
    with serving(ground, "--web.enable-lifecycle") as made:
        driver = Prometheus({"url": made.url}, SecretStore())
        until(lambda: driver.query("instances"))
        until(lambda: driver.query('up{job="self"} == 1'))  # on a busy machine the first readings come too late
        until(lambda: driver.observe().readings["alerts_firing"] == 1)
        yield made


@pytest.fixture
def driver(server):
    return Prometheus({"url": server.url}, SecretStore())


class RealWorld(World):
    """A server with a certificate of a private authority that asks for a password."""

    driver_class = Prometheus
    examples = PrometheusWorld.examples

    def __init__(self, facts):
        self.facts = facts

    def driver(self):
        return Prometheus(self.facts, SecretStore())

    def unreachable(self):
        return Prometheus({**self.facts, "url": f"https://127.0.0.1:{free_port()}"}, SecretStore())

    def picture(self):
        trust = ssl.create_default_context(cafile=self.facts["ca"])
        text = httpx.get(f"{self.facts['url']}/metrics", auth=("portal", PASSWORD), verify=trust, trust_env=False).text
        return [line for line in text.splitlines() if line.startswith("prometheus_config_last_reload")]

    def prepare(self, act):
        pass


@pytest.fixture(scope="module")
def guarded(ground):
    """The facts of a server that has TLS and a password."""
    folder = ground / "guarded"
    authority = issue("authority", ca=True)
    certificate, key = issue("prometheus", authority, alternatives=("127.0.0.1",)).write(folder, "server")
    (folder / "web.yml").write_text(WEB.format(certificate=certificate, key=key))
    (folder / "password").write_text(PASSWORD)
    (folder / "ca.pem").write_bytes(authority.pem())
    with serving(ground, "--web.enable-lifecycle", f"--web.config.file={folder}/web.yml") as made:
        url = made.url.replace("http:", "https:")
        password = f"file:{folder}/password"
        yield {"url": url, "username": "portal", "password": password, "ca": f"{folder}/ca.pem"}


@contextmanager
def real(request):
    yield RealWorld(request.getfixturevalue("guarded"))


@contextmanager
def simulated(request):
    yield PrometheusWorld()


class TestPrometheus(Contract):
    worlds = {"real": real, "simulated": simulated}
    declared = Prometheus


def test_targets_rules_and_alerts_are_told(driver, server):
    seen = driver.observe()
    assert (seen.kind, seen.healthy, seen.version.partition("+")[0]) == ("prometheus", True, "2.42.0")
    ((down),) = seen.facts["targets_down"]
    assert (down["job"], down["instance"]) == ("gone", server.gone)
    assert "hidden-key" not in repr(seen)
    assert [one["labels"]["alertname"] for one in seen.facts["firing"]] == ["Gone"]
    readings = {name: seen.readings[name] for name in ("targets_up", "targets_down", "rules_failing")}
    assert readings == {"targets_up": 1.0, "targets_down": 1.0, "rules_failing": 0.0}


def test_rules_are_listed(driver, server):
    (group,) = driver.rules()
    assert (group["name"], group["file"], group["interval_seconds"]) == ("edye", f"{server.folder}/rules.yml", 1.0)
    alerting, recording = group["rules"]
    assert (alerting["name"], alerting["type"], alerting["state"]) == ("Gone", "alerting", "firing")
    assert recording == {
        "name": "instances",
        "type": "recording",
        "expression": "count(up)",
        "health": "ok",
        "last_error": "",
    }


def test_queries_give_series(driver, server):
    ((labels, points),) = [(one.labels, one.points) for one in driver.query('up{job="self"}')]
    assert labels == {"__name__": "up", "instance": server.instance, "job": "self"}
    assert [value for _, value in points] == [1.0]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert driver.query("vector(7)", at) == [Series({}, ((at.timestamp(), 7.0),))]
    assert driver.query("3", at) == [Series({}, ((at.timestamp(), 3.0),))]
    spread = driver.query_range("vector(1)", at, at + timedelta(minutes=2), 60)
    assert spread == [Series({}, tuple((at.timestamp() + 60 * step, 1.0) for step in range(3)))]
    assert driver.query("vector(0) / 0")[0].points[0][1] != 0


def test_a_query_out_of_bounds_is_refused(driver, monkeypatch):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for start, end, step in ((at, at, 0), (at, at - timedelta(1), 60), (at, at + timedelta(1), 1)):
        with pytest.raises(InvalidInput, match="forward in time"):
            driver.query_range("up", start, end, step)
    for expression in ("", "x" * 8001, None):
        with pytest.raises(InvalidInput, match="expression"):
            driver.query(expression)
    with pytest.raises(InvalidInput, match="time zone"):
        driver.query("up", datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="not a time series"):
        driver.query('"words"')
    with pytest.raises(PermanentError, match="parse error"):
        driver.query("up{")
    monkeypatch.setattr("drivers.prometheus.MAX_SERIES", 1)
    with pytest.raises(PermanentError, match="more than 1 series"):
        driver.query("up")
    monkeypatch.setattr(prometheus_api, "MAX_BYTES", 100)
    with pytest.raises(PermanentError, match="more than 100 bytes"):
        driver.query("up")


def test_a_mistake_in_the_configuration_is_reported_and_not_taken(driver, server):
    (act,) = driver.acts
    path = server.folder / "prometheus.yml"
    good, before = path.read_text(), act.before(driver, act.parse({}))
    path.write_text(f"{good}\nnonsense: true\n")
    try:
        with pytest.raises(PermanentError, match="nonsense"):
            act.do(driver, act.parse({}), before, call())
        assert act.done(driver, act.parse({}), before) is False
        seen = driver.observe()
        assert (seen.healthy, seen.facts["configuration_is_good"]) == (False, False)
        assert driver.query('up{job="self"}'), "it goes on with the former configuration"
    finally:
        path.write_text(good)
    act.do(driver, act.parse({}), before, call())
    assert driver.observe().healthy is True


def test_a_new_rule_is_taken_and_a_failing_one_is_told(driver, server):
    (act,) = driver.acts
    path = server.folder / "rules.yml"
    many = "up * on() up"  # many-to-many: parses, and fails when it is evaluated
    path.write_text(f"{RULES}      - {{record: broken, expr: '{many}'}}\n")
    try:
        act.do(driver, act.parse({}), act.before(driver, act.parse({})), call())
        seen = until(lambda: (o := driver.observe()).healthy is False and o)
        assert [rule["name"] for rule in seen.facts["failing_rules"]] == ["broken"]
        assert "many-to-many" in seen.facts["failing_rules"][0]["last_error"]
    finally:
        path.write_text(RULES)
        act.do(driver, act.parse({}), act.before(driver, act.parse({})), call())
    until(lambda: driver.observe().healthy)


def test_without_the_lifecycle_flag_a_reload_is_refused(ground):
    with serving(ground) as made:
        driver = Prometheus({"url": made.url}, SecretStore())
        (act,) = driver.acts
        (condition,) = act.conditions(driver, act.parse({}))
        assert (condition.holds, condition.seen) == (False, "web.enable-lifecycle is false")
        with pytest.raises(PermanentError, match="Lifecycle"):
            act.do(driver, act.parse({}), act.before(driver, act.parse({})), call())


def test_who_lost_its_claim_does_not_reload(driver):
    (act,) = driver.acts
    before = act.before(driver, act.parse({}))
    with pytest.raises(StaleFence):
        act.do(driver, act.parse({}), before, Call("t", alive=lambda: False))
    assert act.done(driver, act.parse({}), before) is False


def asked(facts, answer):
    """What a server sees of a driver with these facts: the answers of `answer(request)` are its own."""
    kind = type("Prometheus", (Prometheus,), {"transport": httpx.MockTransport(answer)})
    return kind({"url": "http://prometheus.test", **facts}, SecretStore())


def test_credentials_are_sent_and_never_shown(secret):
    seen = []

    def answer(request):
        seen.append(request.headers["Authorization"])
        return httpx.Response(401, text="wrong s3cret")

    basic = {"username": "portal", "password": secret("s3cret")}
    for facts in (basic, {"token": secret("s3cret")}):
        with pytest.raises(PermanentError, match="refuses these credentials") as caught:
            asked(facts, answer).observe()
        assert "s3cret" not in str(caught.value)
    assert seen == [f"Basic {base64.b64encode(b'portal:s3cret').decode()}", "Bearer s3cret"]


def test_a_wrong_password_and_a_stranger_are_told(guarded, secret):
    with pytest.raises(PermanentError, match="refuses these credentials"):
        Prometheus({**guarded, "password": secret("other")}, SecretStore()).observe()
    stranger = Prometheus({name: value for name, value in guarded.items() if name != "ca"}, SecretStore()).observe()
    assert stranger.healthy is False
    assert "certificate" in stranger.facts["error"]


@pytest.mark.parametrize(
    "facts",
    [{"url": "ftp://x"}, {"url": "http://u:p@x"}, {"token": "env:A", "password": "env:B"}, {"username": "x"}],
)
def test_odd_facts_are_refused(facts):
    with pytest.raises(InvalidInput):
        Prometheus({"url": "http://x", **facts}, SecretStore())


@pytest.mark.parametrize("body", [b"{", b"<html>", b"[]", b'{"status": "error"}', b'{"status": "success"}'])
def test_half_answers_are_down(body):
    with stub(body) as other:
        seen = Prometheus({"url": f"http://127.0.0.1:{other.server_port}"}, SecretStore()).observe()
    assert (seen.healthy, seen.readings) == (False, {})


def test_a_server_that_hangs_or_fails_is_down(monkeypatch):
    monkeypatch.setattr(prometheus_api, "READ_SECONDS", 0.2)
    with stub(b"{}") as other:
        driver = Prometheus({"url": f"http://127.0.0.1:{other.server_port}"}, SecretStore())
        other.status = 503
        assert "503" in driver.observe().facts["error"]
        other.delay = 1.0
        assert "does not answer" in driver.observe().facts["error"]
        with pytest.raises(TransientError):
            driver.query("up")


def test_an_authority_that_cannot_be_read_is_permanent(place):
    with pytest.raises(PermanentError, match="cannot be read"):
        Prometheus({"url": "https://localhost:1", "ca": str(place / "none.pem")}, SecretStore()).observe()
