"""What a newcomer sees: the whole thin path, in a real browser, on real daemons, by the people whose work it is."""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from deployments import intake
from drivers.connections import load
from lab import estate, status
from lab.errors import LabError
from lab.layout import Lab
from tests.drivers import daemons
from tests.drivers.load import Load
from tests.lab.conftest import Running
from tests.need import need
from tests.ports import free
from tests.stories.browser import ARGUMENTS, CHROMIUM, Portal, Someone, until

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def portal(tmp_path_factory, programs_are_there) -> Iterator[Portal]:
    one = Portal(tmp_path_factory.mktemp("portal"), free())
    one.start()
    try:
        until(lambda: lab_is_up(one), 90, every=2)
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    need(CHROMIUM, package="chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@pytest.fixture
def browser(chromium) -> Iterator[Browser]:
    """Nobody leaves a window open: it would go on listening, and fetch whatever is new."""
    yield chromium
    for window in list(chromium.contexts):
        window.close()


def lab_is_up(portal: Portal) -> bool:
    """What `manage.py lab status` tells, without loading every library anew for each look."""
    with contextlib.suppress(LabError):
        return status.fine(estate.opened(Lab(portal.folder / "lab")).rows())
    return False


def connections(portal: Portal) -> dict[str, Any]:
    return json.loads((portal.folder / "lab" / "connections.json").read_text())["connections"]


@dataclass(frozen=True, slots=True)
class Sources:
    """What an operator hands to the servers that tell the portal something: two keys and an address."""

    alertmanager: str
    ci_url: str
    ci_secret: str


@pytest.fixture(scope="module")
def told(portal) -> dict[str, str]:
    """What three commands print, by name, from one process: most of each would be spent on loading the portal."""
    words = {
        "catalog": ("plan", "catalog/edye"),
        "signal_source": ("alertmanager",),
        "ci_source": ("builder", "ci"),
    }
    script = f"""
import io, json
from django.core.management import call_command
printed = {{}}
for name, words in {words!r}.items():
    call_command(name, *words, stdout=(out := io.StringIO()))
    printed[name] = out.getvalue()
print(json.dumps(printed))
"""
    found: dict[str, str] = json.loads(portal.manage("shell", "--no-imports", "--command", script))
    return found


@pytest.fixture(scope="module")
def sources(told) -> Sources:
    return Sources(
        told["signal_source"].strip(),
        *re.fullmatch(r"POST (\S+)\s+secret (\S+)\s*", told["ci_source"]).groups(),
    )


def announce(portal: Portal, sources: Sources, service: str, version: str) -> None:
    """What a CI server does after a build: publish, then send a signed webhook."""
    published = json.loads(Running(portal.folder, base=0).run("publish", service, version))
    body = json.dumps({**published, "author": "developer@demo.example", "commit": "0123abc"}).encode()
    stamp = str(int(time.time()))
    signed = intake.signature(intake.secret_bytes(sources.ci_secret), "d-1", stamp, body)
    headers = {"webhook-id": "d-1", "webhook-timestamp": stamp, "webhook-signature": signed}
    request = urllib.request.Request(sources.ci_url, body, {**headers, "Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 202


def signal(portal: Portal, key: str, status: str) -> None:
    """What Alertmanager sends when the error rate of billing is too high, and when it is not any more."""
    alert = {
        "status": status,
        "labels": {"alertname": "HighErrorRate", "severity": "critical", "component": "production/us-central/billing"},
        "annotations": {"summary": "Billing answers every second request with an error"},
        "startsAt": "2026-01-05T03:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-01-05T03:20:00Z",
        "generatorURL": "http://127.0.0.1:9090/graph",
        "fingerprint": "a1b2c3d4e5f60718",
    }
    body = {"version": "4", "groupKey": "{}:{}", "status": status, "receiver": "portal", "alerts": [alert]}
    request = urllib.request.Request(
        f"{portal.address}/api/v1/signals/alertmanager/alertmanager/",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status in (200, 202)


def test_the_estate_is_declared(portal, browser, told):
    """Step 1: the catalog that comes with the portal is loaded, and no difference is left."""
    assert "no difference" in told["catalog"].lower()
    owner = Someone(portal, browser, "administrator")
    expect(owner.go("/catalog/").locator("main")).to_contain_text("difference")
    expect(owner.go("/services/").locator("main")).to_contain_text("Satellite")
    assert owner.faults == []


def test_what_really_runs_is_observed(portal, browser):
    """Step 2: the dashboard turns healthy from readings, and what nobody reads stays unknown."""
    viewer = Someone(portal, browser, "viewer")
    play = viewer.page.locator("main tr", has_text="Play").first
    expect(play).to_contain_text("Healthy", timeout=60_000)
    expect(play).to_contain_text("1.0.0")
    expect(viewer.go("/environments/production/topology/").locator("main svg").first).to_be_visible()
    expect(viewer.go("/components/production/us-central/documents/").locator("main")).to_contain_text("Unknown")
    assert viewer.faults == []


def test_an_incident_from_the_signal_to_the_closed_ticket(portal, browser, sources):
    """Step 3, on a phone: paged, acknowledged, mitigated, resolved, written up, closed."""
    before = len(portal.mails())
    signal(portal, sources.alertmanager, "firing")
    mails = until(lambda: portal.mails()[before:], 15)
    assert "Billing answers every second request with an error" in mails[0]
    assert "on-call@demo.example" in mails[0]
    on_call = Someone(portal, browser, "on-call", width=390)
    on_call.go("/incidents/")
    on_call.page.get_by_role("link", name=re.compile(r"INC-\d+")).first.click()
    here = on_call.page.url
    on_call.press("Acknowledge")
    expect(on_call.page.locator("main dl div", has_text="Acknowledged by")).to_contain_text("On-call engineer")
    on_call.press("Take command", reason="")
    on_call.press("Start mitigation", mitigation="Roll the last release back.")
    on_call.press("Start the investigation", evidence="Error rate is back to normal.")
    signal(portal, sources.alertmanager, "resolved")
    on_call.go(here)
    on_call.press(
        "Resolve", diagnosis="A bad release.", fix="permanent", validation="No errors for ten minutes.", follow_up=""
    )
    expect(on_call.page.locator("main")).to_contain_text("Resolved")
    on_call.press(
        "Write the post-mortem",
        summary="Half of all payments failed.",
        impact="20 minutes, 300 users.",
        root_cause="An unchecked null.",
        went_well="The page came at once.",
        went_poorly="The canary was skipped.",
        no_actions_reason="The gate that was skipped is mandatory now.",
    )
    owner = Someone(portal, browser, "operations-owner")
    owner.go(here)
    owner.press("Approve the post-mortem", note="Agreed.")
    owner.press("Close", ticket="OPS-1", ticket_waiver="", runbooks="No change: it worked.")
    until(lambda: "Closed" in owner.go(here).locator("main").inner_text(), 60, every=1)
    assert on_call.faults + owner.faults == []


def test_a_reload_is_read_confirmed_and_followed_live(portal, browser):
    """Step 4: rolling reload of real workers, its plan first, its log as it goes, no failed request."""
    on_call = Someone(portal, browser, "on-call")
    facts = connections(portal)["production/us-central/api"]
    edge = connections(portal)[facts["nginx"]]["url"]
    with Load(f"{edge}/api/", rate=50) as load:
        on_call.go("/components/production/us-central/api/reload/")
        on_call.page.get_by_label("Reason").fill("Memory grows.")
        on_call.page.get_by_label("Show me the plan first").check()
        on_call.page.locator("main form.action-form button").first.click()
        expect(on_call.page.locator("main")).to_contain_text("Planned")
        on_call.press("Run it")
        expect(on_call.page.locator("main")).to_contain_text("Done", timeout=60_000)
        expect(on_call.page.locator("main .operation-state")).to_contain_text("Done", timeout=60_000)
    assert load.failures == []
    assert on_call.faults == []


def test_access_for_a_while(portal, browser):
    """Step 5: asked for with a reason, decided by somebody else after a fresh second factor, and held."""
    developer = Someone(portal, browser, "developer")
    developer.go("/access-requests/new/")
    developer.answer(
        "Ask", service="play", environment="production", minutes="60", reason="Watch the release of tonight."
    )
    here = developer.page.url
    officer = Someone(portal, browser, "security-officer")
    officer.go(here)
    officer.press("Approve")
    expect(officer.page.locator(".page-column")).to_contain_text("Approved")
    expect(developer.go("/my-access/").locator("main")).to_contain_text("play")
    assert developer.faults + officer.faults == []


def test_a_version_from_ci_to_production(portal, browser, sources):
    """Step 6: staging by itself, production after approval, canary under load, nobody notices."""
    announce(portal, sources, "play", "1.1.0")
    facts = connections(portal)
    urls = [f"{facts[facts[f'production/{place}/play']['nginx']]['url']}/play/" for place in ("us-east", "us-central")]
    owner = Someone(portal, browser, "second-operations-owner")
    waiting = owner.page.locator("main tbody tr", has_text="Awaiting approval")
    until(lambda: owner.go("/deployments/") and waiting.count(), 60, every=2)
    waiting.get_by_role("link").first.click()
    expect(owner.page.locator("main")).to_contain_text("Give 1.1.0 10 % of the traffic")
    here = owner.page.url
    with Load(urls[0], rate=50) as east, Load(urls[1], rate=50) as central:
        owner.press("Approve", note="The release notes are fine.")
        owner.go(here)
        expect(owner.page.locator("main .state-line")).to_contain_text("Succeeded", timeout=150_000)
    assert (east.failures, central.failures) == ([], [])
    assert owner.faults == []


def test_a_driver_acts_on_the_real_cache_and_its_record_can_be_kept(portal, browser):
    """Any act of a driver: its form, what would be sent, what is there before, and afterwards the record of it all."""
    on_call = Someone(portal, browser, "on-call")
    on_call.go("/components/production/us-central/cache/operate/redis.set-parameter/")
    on_call.answer("Set", param_name="maxmemory-samples", param_value="7", reason="Evict more precisely.")
    main = on_call.page.locator("main")
    expect(main).to_contain_text("CONFIG SET maxmemory-samples 7")
    here = on_call.page.url
    on_call.press("Run it")
    on_call.go(here)
    expect(main.locator(".operation-state")).to_contain_text("Done", timeout=30_000)
    cache = load(portal.folder / "lab" / "connections.json").driver("production/us-central/cache")
    assert cache.setting("maxmemory-samples") == "7"
    expect(on_call.go(f"{here}record/").locator("main")).to_contain_text("Evict more precisely.")
    assert on_call.faults == []


def test_the_database_is_switched_over_when_somebody_else_agrees(portal, browser):
    """A plan of high risk in production: seven steps to read, the agreement of another person with a second factor."""
    need(daemons.MARIADB, package="mariadb-server")
    owner = Someone(portal, browser, "operations-owner")
    owner.go("/components/production/us-central/database/operate/mariadb.switch-over/")
    owner.answer("Switch over", param_to="production/us-east/database", reason="Kernel update in us-central.")
    here = owner.page.url
    owner.press("Run it")
    second = Someone(portal, browser, "second-operations-owner")
    second.go(here)
    second.press("Approve")
    if "/step-up/" in second.page.url:
        second.step_up()
        second.answer("Approve")
    second.go(here)
    expect(second.page.locator("main .operation-state")).to_contain_text("Done", timeout=60_000)
    known = load(portal.folder / "lab" / "connections.json")
    places = ("us-central", "us-east")
    roles = [known.driver(f"production/{place}/database").observe().facts["role"] for place in places]
    assert roles == ["replica", "primary"]
    assert owner.faults + second.faults == []


def test_the_audit_trail_of_all_this_is_whole(portal):
    printed = portal.manage("audit", "verify")
    assert "BROKEN" not in printed
    for stream in ("identity", "incidents", "operations", "access", "deployments"):
        assert re.search(rf"^{stream}\s+\d+ events\s+unbroken$", printed, re.MULTILINE), printed


def test_no_secret_lies_in_a_log(portal):
    known = json.loads((portal.folder / "secrets" / "demo.json").read_text())
    secrets = [value for facts in known.values() for value in facts.values()]
    secrets += [
        path.read_text().strip() for path in Path(portal.folder / "secrets").iterdir() if path.suffix != ".json"
    ]
    for log in (portal.folder / "log").glob("*.log"):
        text = log.read_text(errors="replace")
        assert [secret for secret in secrets if secret in text] == [], log.name
