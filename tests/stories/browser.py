"""A portal started as a newcomer would, and people who use it in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django_otp.oath import hotp
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from bench.portal import Portal

CHROMIUM = shutil.which("chromium")
# Each window would have two pages of its own for the address bar, and each page a process ahead of its next one.
NOT_WANTED = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "SpareRendererForSitePerProcess"),
    *("HttpsUpgrades", "OptimizationHints", "MediaRouter", "Translate"),
)
# As root Chromium needs no sandbox; the rest keeps it from calling home.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    f"--disable-features={','.join(NOT_WANTED)}",
)
STEP = 30


def until(condition: Callable[[], Any], seconds: float, *, every: float = 0.2) -> Any:
    """The first true value of ``condition``, looked for ``every`` so many seconds; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(every)
    return value


@dataclass
class Someone:
    """A person with an authenticator app, signed in to a browser window of their own.

    Who has signed in before opens the next window with the session that they have, as people do.
    """

    portal: Portal
    browser: Browser
    account: str
    width: int = 1280
    page: Page = field(init=False)
    # Whoever signs in twice in one story has one authenticator app all the same: a code is taken once.
    last_steps: ClassVar[dict[str, int]] = {}
    sessions: ClassVar[dict[tuple[str, str], Any]] = {}
    """What the browser keeps of them, by address of the portal and account."""

    def __post_init__(self) -> None:
        whose = self.portal.address, self.account
        context = self.browser.new_context(
            viewport={"width": self.width, "height": 900},
            base_url=self.portal.address,
            reduced_motion="reduce",
            storage_state=self.sessions.get(whose),
        )
        context.set_default_timeout(20_000)
        self.page = context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        if whose in self.sessions:
            self.page.goto("/")
        else:
            self._sign_in()
        expect(self.page.get_by_role("heading", name="Dashboard")).to_be_visible()
        self.sessions[whose] = context.storage_state()

    def _heard(self, kind: str, text: str) -> None:
        # Answers such as 422 are part of the story; what the policy blocks or a script throws is not.
        if kind == "error" and "Failed to load resource" not in text:
            self.faults.append(text)

    def _secret(self) -> dict[str, str]:
        known: dict[str, dict[str, str]] = json.loads((self.portal.folder / "secrets" / "demo.json").read_text())
        return known[self.account]

    def code(self) -> str:
        """A one-time code that was not used yet; the portal takes the next period's a little early."""
        unused = self.last_steps.get(self.account, 0) + 1
        while (step := max(unused, int(time.time()) // STEP)) > int(time.time()) // STEP + 1:
            time.sleep(0.5)
        self.last_steps[self.account] = step
        return f"{hotp(bytes.fromhex(self._secret()['totp']), step):06d}"

    def _sign_in(self) -> None:
        self.page.goto("/")
        self.page.get_by_label("Account").fill(self.account)
        self.page.get_by_label("Password").fill(self._secret()["password"])
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        self.page.get_by_label("One-time code").fill(self.code())
        self.page.get_by_role("button", name="Continue").click()

    def go(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def press(self, name: str, **fields: str) -> Page:
        """Follow the button ``name`` to its page, fill the fields in by label, and press its button."""
        main = self.page.locator(".page-column")
        button = main.get_by_role("link", name=name, exact=True).or_(main.get_by_role("button", name=name, exact=True))
        try:
            button.first.click()
        except TimeoutError as error:
            raise AssertionError(f"{self.account} sees no “{name}” on {self.page.url}:\n{main.inner_text()}") from error
        return self.answer(name, **fields)

    def answer(self, button: str, **fields: str) -> Page:
        form = self.page.locator("main form.action-form")
        for name, value in fields.items():
            widget = form.locator(f"[name={name}]")
            if widget.evaluate("it => it.tagName") == "SELECT":
                self._choose(widget, value)
            else:
                widget.fill(value)
        if form.count():
            form.get_by_role("button", name=re.compile(button)).first.click()
        return self.page

    def _choose(self, widget: Locator, text: str) -> None:
        """Select the option whose value or label is ``text``, in any case."""
        for option in widget.locator("option").all():
            if text.lower() in ((option.get_attribute("value") or "").lower(), option.inner_text().lower()):
                widget.select_option(value=option.get_attribute("value"))
                return
        raise AssertionError(f"no option {text} among {widget.inner_text()}")

    def step_up(self) -> Page:
        """Show the second factor again when the portal asks for it."""
        self.page.wait_for_url("**/step-up/**")
        self.page.get_by_label("One-time code").fill(self.code())
        self.page.locator("main form.action-form button").first.click()
        self.page.wait_for_load_state()
        return self.page
