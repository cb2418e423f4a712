"""The gallery: each shared component in each state, as a page of sections."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def gallery_context(request: HttpRequest) -> dict[str, Any]:
    """What ``gallery.html`` shows."""
    return {"title": "Gallery"}
