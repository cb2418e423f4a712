"""The maintenance page of one service: a piece of its location that answers everything with 503.

nginx expands variables in the text of `return` and offers no way to write a dollar sign, so every character of a
message beyond letters, digits and a few marks becomes a numeric HTML entity. 503 with Retry-After tells clients and
search engines that it will pass (RFC 9110, 15.6.4 and 10.2.3).
"""

from __future__ import annotations

import json
import re
from typing import Any

from drivers import names
from drivers.errors import PermanentError

HEADER = "X-Edge-Maintenance"
_PLAIN = re.compile(r"[^A-Za-z0-9 ,.:-]")
_FIRST_LINE = re.compile(r"# maintenance (\{.*\})")

Page = dict[str, Any]
"""`message` (text) and `retry_after_seconds`."""


def render(service: str, page: Page) -> str:
    """The text of `<service>.location`."""
    kept = {"message": page["message"], "retry_after_seconds": int(page["retry_after_seconds"])}
    message = _PLAIN.sub(lambda found: f"&#{ord(found[0])};", kept["message"])
    html = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=width=device-width>"
        f"<title>Maintenance</title><h1>Maintenance</h1><p>{message}</p></html>"
    )
    return f"""# maintenance {json.dumps(kept)}
add_header X-Edge-Generation $edge_generation always;
add_header X-Request-ID $edge_request_id always;
add_header {HEADER} "{names.name(service, "service")}" always;
add_header Retry-After "{kept["retry_after_seconds"]}" always;
add_header Cache-Control "no-store" always;
default_type text/html;
return 503 '{html}\\n';
"""


def parse(text: str) -> Page:
    """The page that a rendered text shows; `PermanentError` when somebody else has written it."""
    found = _FIRST_LINE.match(text)
    if not found:
        raise PermanentError("a maintenance page of the live generation was not written by this driver")
    page: Page = json.loads(found[1])
    return page
