"""What acts on an edge share, and the plain reload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from drivers.acts import Act, Call, Condition, Nothing, Parameters, Report, Risk

if TYPE_CHECKING:
    from drivers.nginx.driver import Nginx

Facts = Mapping[str, Any]
NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
Service = Annotated[
    str,
    msgspec.Meta(title="Service", description="As the edge knows it, such as api.", pattern=NAME, max_length=63),
]


class OfService(Parameters):
    service: Service


class OnEdge[P: Parameters](Act["Nginx", P]):
    """An act on a running edge."""

    timeout_seconds: ClassVar[float] = 90

    def conditions(self, driver: Nginx, params: P) -> list[Condition]:
        driver.master()
        conditions = []
        service = getattr(params, "service", None)
        if service is not None:
            conditions.append(knows(driver, service))
        return conditions

    def advances(self, driver: Nginx, *files: str) -> list[str]:
        """The lines of a change, with what is written."""
        return [
            *files,
            f"nginx -t -p {driver.prefix}/ -c staged/nginx.conf",
            "mv -T .live.new live",
            f"kill -HUP $(cat {driver.prefix}/nginx.pid)",
            f"GET {driver.url}/__edge/generation",
        ]


def knows(driver: Nginx, service: str) -> Condition:
    known = driver.services()
    return Condition(
        f"the edge knows the service {service}", service in known, f"it knows {', '.join(known) or 'none'}"
    )


def included(driver: Nginx, line: str) -> Condition:
    return Condition(f"nginx.conf has the line {line}", driver.includes(line), "lay the edge out again first")


class Reload(OnEdge[Nothing]):
    """Read the configuration anew."""

    name = "reload"
    title = "Reload the edge"
    summary = (
        "nginx reads its whole configuration, certificates included, and fresh workers take over; old ones finish "
        "their requests within 30 seconds. Done is when the new generation answers on the serving port. A "
        "configuration that nginx refuses or does not serve is put back. Users notice nothing."
    )
    risk = Risk.LOW
    why_no_undo = "The files that nginx read before are not kept, apart from the traffic weights and pages."

    def before(self, driver: Nginx, params: Nothing) -> Report:
        return {"generation": driver.generation()}

    def sends(self, driver: Nginx, params: Nothing, before: Facts) -> list[str]:
        return self.advances(driver, f"cp -r generations/{before['generation']} generations/<next>")

    def done(self, driver: Nginx, params: Nothing, before: Facts) -> bool:
        return driver.generation() != before["generation"] and driver.in_force()

    def do(self, driver: Nginx, params: Nothing, before: Facts, call: Call) -> Report:
        return {"generation": driver.reload(before["generation"], call)}
