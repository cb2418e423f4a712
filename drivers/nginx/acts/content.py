"""Acts on what an edge answers by itself: maintenance pages, fragments, cached answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import msgspec

from drivers.acts import Call, Condition, Parameters, Report, Risk
from drivers.nginx import cache, fragments, maintenance, render
from drivers.nginx.acts.edge import NAME, Facts, OfService, OnEdge, Service, included

if TYPE_CHECKING:
    from drivers.nginx.driver import Nginx


class Page(Parameters):
    service: Service
    message: Annotated[
        str,
        msgspec.Meta(title="Message", description="What users read; plain text.", min_length=1, max_length=300),
    ]
    retry_after_seconds: Annotated[
        int,
        msgspec.Meta(title="Retry after (seconds)", description="When clients may ask again.", ge=10, le=86400),
    ] = 300


class Fragment(Parameters):
    fragment: Annotated[
        str,
        msgspec.Meta(
            title="Fragment",
            description="One of the names that the connection allows.",
            pattern=NAME,
            max_length=63,
        ),
    ]
    text: Annotated[
        str,
        msgspec.Meta(
            title="Text",
            description=f"Directives for the server block: {', '.join(sorted(fragments.DIRECTIVES))}; and locations.",
            min_length=1,
            max_length=fragments.MAX_CHARACTERS,
            extra_json_schema={"format": "text"},
        ),
    ]


class Prefix(Parameters):
    prefix: Annotated[
        str,
        msgspec.Meta(
            title="Path",
            description="Answers whose path begins so are removed; / removes all.",
            pattern=r"^/[A-Za-z0-9._~/%-]{0,255}$",
            max_length=256,
        ),
    ]


class OnPage[P: (Page, OfService)](OnEdge[P]):
    """An act on a service's maintenance page."""

    def wanted(self, params: P) -> maintenance.Page | None:
        raise NotImplementedError

    def conditions(self, driver: Nginx, params: P) -> list[Condition]:
        line = render.page_include(params.service)
        return [*super().conditions(driver, params), included(driver, line)]

    def before(self, driver: Nginx, params: P) -> Report:
        return {"page": driver.page(params.service)}

    def done(self, driver: Nginx, params: P, before: Facts) -> bool:
        if driver.page(params.service) != self.wanted(params) or not driver.in_force():
            return False
        return driver.answers_with_page(params.service) is (self.wanted(params) is not None)

    def do(self, driver: Nginx, params: P, before: Facts, call: Call) -> Report:
        return {"generation": driver.set_page(params.service, self.wanted(params), call)}

    def undo(self, driver: Nginx, params: P, before: Facts, call: Call) -> Report:
        return {"generation": driver.set_page(params.service, before["page"], call)}


class MaintenanceOn(OnPage[Page]):
    """Show the maintenance page of a service."""

    name = "maintenance-on"
    title = "Show the maintenance page for {service}"
    summary = (
        "The edge answers every request for this service with 503, Retry-After and a page that holds the message. "
        "Nothing reaches the service any more, so all its users notice. Requests under way are finished."
    )
    risk = Risk.HIGH
    Parameters = Page
    undo_title = "Answer as before"

    def wanted(self, params: Page) -> maintenance.Page | None:
        return {"message": params.message, "retry_after_seconds": params.retry_after_seconds}

    def sends(self, driver: Nginx, params: Page, before: Facts) -> list[str]:
        text = maintenance.render(params.service, self.wanted(params) or {})
        return self.advances(driver, *(f"{params.service}.location: {line}" for line in text.splitlines()))


class MaintenanceOff(OnPage[OfService]):
    """Let a service answer again."""

    name = "maintenance-off"
    title = "End the maintenance page of {service}"
    summary = "The edge passes the requests for this service on again. Users notice if the service is not ready."
    risk = Risk.MEDIUM
    Parameters = OfService
    undo_title = "Show the page again"

    def wanted(self, params: OfService) -> maintenance.Page | None:
        return None

    def sends(self, driver: Nginx, params: OfService, before: Facts) -> list[str]:
        return self.advances(driver, f"rm generations/<next>/{params.service}.location")


class SetFragment(OnEdge[Fragment]):
    """Replace one configuration fragment."""

    name = "set-fragment"
    title = "Replace the configuration fragment {fragment}"
    summary = (
        "The text becomes part of the edge's server block and holds for every service. It may hold only directives "
        "that shape answers. It is tried on a staged copy first, and the former text is put back when the new "
        "generation does not serve. What users notice depends on the text: read it."
    )
    risk = Risk.HIGH
    Parameters = Fragment
    undo_title = "Put the former text back"

    def check(self, params: Fragment) -> None:
        fragments.check(params.text)

    def conditions(self, driver: Nginx, params: Fragment) -> list[Condition]:
        allowed = ", ".join(driver.fragments) or "none"
        return [
            *super().conditions(driver, params),
            Condition(f"the connection allows the fragment {params.fragment}", params.fragment in driver.fragments,
                      f"it allows {allowed}"),
            included(driver, render.FRAGMENTS_INCLUDE),
        ]  # fmt: skip

    def before(self, driver: Nginx, params: Fragment) -> Report:
        return {"text": driver.fragment(params.fragment)}

    def sends(self, driver: Nginx, params: Fragment, before: Facts) -> list[str]:
        lines = params.text.rstrip("\n").splitlines()
        return self.advances(driver, *(f"{params.fragment}.fragment: {line}" for line in lines))

    def done(self, driver: Nginx, params: Fragment, before: Facts) -> bool:
        return driver.fragment(params.fragment) == params.text.rstrip("\n") + "\n" and driver.in_force()

    def do(self, driver: Nginx, params: Fragment, before: Facts, call: Call) -> Report:
        return {"generation": driver.set_fragment(params.fragment, params.text, call)}

    def undo(self, driver: Nginx, params: Fragment, before: Facts, call: Call) -> Report:
        return {"generation": driver.set_fragment(params.fragment, before["text"], call)}


class PurgeCache(OnEdge[Prefix]):
    """Remove cached answers."""

    name = "purge-cache"
    title = "Remove cached answers under {prefix}"
    summary = (
        "Answers that nginx keeps for paths that begin so are removed from its cache folder; the services get those "
        "requests again until the cache has filled. Users may find them slower for a while."
    )
    risk = Risk.MEDIUM
    Parameters = Prefix
    why_no_undo = "What was cached is gone; it fills again with the next requests."
    timeout_seconds = 600

    def conditions(self, driver: Nginx, params: Prefix) -> list[Condition]:
        there = driver.cache is not None and driver.cache.is_dir()
        seen = "it names none" if driver.cache is None else f"{driver.cache} is not there"
        named = Condition("the connection names the cache folder", there, seen)
        return [*super().conditions(driver, params), named]

    def before(self, driver: Nginx, params: Prefix) -> Report:
        answers = size = 0
        for entry in cache.entries(driver.cache, params.prefix) if driver.cache else ():
            answers, size = answers + 1, size + entry.size
        return {"answers": answers, "bytes": size, "looked_ns": time.time_ns()}

    def sends(self, driver: Nginx, params: Prefix, before: Facts) -> list[str]:
        return [f"rm {driver.cache}/*/*/* with a key under {params.prefix}  # {before['answers']} answers"]

    def done(self, driver: Nginx, params: Prefix, before: Facts) -> bool:
        return driver.purged(params.prefix, before["looked_ns"])

    def do(self, driver: Nginx, params: Prefix, before: Facts, call: Call) -> Report:
        return {"removed": driver.purge(params.prefix, before["looked_ns"], call)}
