"""``python -m tests.stories.screenshots [folder]``: screens of a portal in which something happens, as people see them.

Every screen is taken at 1280 and 390 pixels, light and dark, into ``folder`` (default: build/screenshots). Those of
``KEPT`` go to docs/screenshots as well, which is what the README and the manual show.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.portal import Portal
from portal.embedded import ports, state
from tests.stories.browser import ARGUMENTS, CHROMIUM, Someone, until

WIDTHS = (1280, 390)
THEMES = ("light", "dark")
KEPT = {
    "dashboard": "dashboard-1280-light",
    "dashboard-dark": "dashboard-1280-dark",
    "topology": "topology-1280-light",
    "incident-phone": "incident-390-dark",
    "operation": "operation-1280-light",
    "deployment": "deployment-1280-light",
    "service": "service-1280-light",
    "switchover": "switchover-1280-light",
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edye-shots-") as scratch, sync_playwright() as playwright:
        portal = Portal(Path(scratch) / "state", ports.first_free(24600))
        portal.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            owner = Someone(portal, browser, "second-operations-owner")
            pages = _happenings(portal, owner, Someone(portal, browser, "on-call"))
            for name, path in pages.items():
                _take(owner.page, path, folder, name)
        finally:
            portal.stop()
    kept = state.REPOSITORY / "docs" / "screenshots"
    kept.mkdir(exist_ok=True)
    for name, source in KEPT.items():
        shutil.copy(folder / f"{source}.png", kept / f"{name}.png")


def _happenings(portal: Portal, owner: Someone, on_call: Someone) -> dict[str, str]:
    """Let something break, be reloaded, be asked for and be deployed; the screens worth seeing by name."""
    until(lambda: portal.run("lab", "status").returncode == 0, 120)
    on_call.go("/components/production/us-central/api/reload/")
    on_call.answer("Reload", reason="Memory grows.")
    operation = on_call.page.url.removeprefix(portal.address)
    portal.manage("lab", "break", "service", "production/us-central/billing", "--errors", "1")
    incident = until(lambda: _first(on_call, "/incidents/", "INC-"), 90)
    on_call.go(incident)
    on_call.press("Acknowledge")
    deployment = _waiting_deployment(portal, owner)
    owner.go("/components/production/us-central/database/operate/mariadb.switch-over/")
    owner.answer("Switch over", param_to="production/us-east/database", reason="Kernel update in us-central.")
    switchover = owner.page.url.removeprefix(portal.address)
    return {
        "act": "/components/production/us-central/cache/operate/",
        "act-form": "/components/production/us-central/cache/operate/redis.set-parameter/",
        "switchover": switchover,
        "record": f"{operation}record/",
        "plans": "/plans/",
        "plan": "/plans/mariadb.switch-over/",
        "schedules": "/schedules/",
        "windows": "/windows/",
        "window-declare": "/windows/declare/",
        "dashboard": "/",
        "topology": "/environments/production/topology/",
        "service": "/services/billing/",
        "component": "/components/production/us-central/api/",
        "map": "/map/",
        "matrix": "/matrix/",
        "impact": "/components/production/us-central/database/impact/",
        "around": "/explorer/?focus=production/us-central/api",
        "drift": "/drift/",
        "imports": "/imports/",
        "incidents": "/incidents/",
        "incident": incident,
        "operation": operation,
        "operations": "/operations/",
        "deployment": deployment,
        "deployments": "/deployments/",
        "access-request": "/access-requests/new/",
        "events": "/events/",
        "status": "/status/",
        "catalog": "/catalog/",
        "on-call": "/on-call/",
        "components": "/components/",
        "api": "/api/docs/",
        "profile": "/profile/",
        "nowhere": "/nowhere/",
    }


def _waiting_deployment(portal: Portal, owner: Someone) -> str:
    published = json.loads(portal.manage("lab", "publish", "play", "1.1.0"))
    token = portal.manage("api_token", "developer").split()[-1]
    body = {**published, "author": "somebody@demo.example"}
    answer = owner.page.request.post(
        f"{portal.address}/api/v1/artifacts/", data=body, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.ok, answer.text()
    return until(lambda: _first(owner, "/deployments/?state=awaiting_approval", "DEP-"), 120)


def _first(someone: Someone, path: str, text: str) -> str:
    """The address behind the first link in the list whose text has ``text``; empty when there is none yet."""
    link = someone.go(path).locator("main tbody a", has_text=text)
    return str(link.first.get_attribute("href")) if link.count() else ""


def _take(page: Page, path: str, folder: Path, name: str) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.goto(path)
            page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
            page.goto(path)
            time.sleep(0.5)
            page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=width == 390)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else state.REPOSITORY / "build" / "screenshots")
