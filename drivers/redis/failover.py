"""A planned failover: Sentinel promotes a replica while the primary still lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import TransientError

if TYPE_CHECKING:
    from drivers.redis.sentinel import Sentinel, View

POLL_SECONDS = 0.5
WAIT_SECONDS = 180.0
COORDINATED_SINCE = 9
"""The first Valkey whose Sentinels know SENTINEL FAILOVER … COORDINATED."""


class Failover(Parameters):
    mode: Annotated[
        Literal["forced", "coordinated"],
        Meta(
            title="Way",
            description="Coordinated: the primary stops writing until a replica has everything (Valkey 9 and later).",
        ),
    ] = "forced"


class FailoverAct(Act["Sentinel", Failover]):
    """SENTINEL FAILOVER, sent once, and waited for until the group has settled.

    -INPROG only speaks for the Sentinel that says it: another one would start a second failover beside the first, which
    leads back to the old primary. So it is only sent when every one that answers still names the old primary and none
    is at it, and always to the first that answers.
    """

    name = "failover"
    title = "Fail over to a replica ({mode})"
    summary = (
        "Sentinel chooses the most up-to-date replica and makes it the primary. Clients are cut off once and writes "
        "fail for a moment. The forced way loses writes that the old primary still takes until it is told to follow, "
        "up to about ten seconds later; the coordinated way loses none."
    )
    risk = Risk.HIGH
    Parameters = Failover
    why_no_undo = (
        "Going back would interrupt writes once more, and Sentinel chooses who leads; run another failover when the "
        "former primary should lead again."
    )
    timeout_seconds = 240

    def conditions(self, driver: Sentinel, params: Failover) -> list[Condition]:
        views = driver.views()
        answered = [view for view in views if view.error is None]
        agree = _agreed(driver, views)
        stands = len(answered) * 2 > len(views) and all(view.quorum_ok for view in answered)
        found = [
            Condition("Most Sentinels agree on the primary", agree is not None, f"they name {agree or 'several'}"),
            Condition("Quorum stands", stands, f"{len(answered)} of {len(views)} Sentinels answer"),
            Condition("A replica is ready to take over", _ready(answered), _replicas(answered)),
        ]
        if params.mode == "coordinated":
            versions = driver.versions()
            text = f"Every Sentinel is Valkey {COORDINATED_SINCE} or later, which the coordinated way needs"
            found.append(Condition(text, min(versions) >= COORDINATED_SINCE, f"they are {versions}"))
        return found

    def before(self, driver: Sentinel, params: Failover) -> Report:
        views = driver.views()
        return {"primary": driver.agreed(views), "replicas": _replicas([view for view in views if view.error is None])}

    def sends(self, driver: Sentinel, params: Failover, before: Facts) -> list[str]:
        return [f"SENTINEL FAILOVER {driver.master}{' COORDINATED' if params.mode == 'coordinated' else ''}"]

    def done(self, driver: Sentinel, params: Failover, before: Facts) -> bool:
        return _settled(driver, _answering(driver), str(before["primary"])) is not None

    def do(self, driver: Sentinel, params: Failover, before: Facts, call: Call) -> Report:
        old, asked, told = str(before["primary"]), False, ""
        limit = time.monotonic() + WAIT_SECONDS
        while True:
            views = _answering(driver)
            if (new := _settled(driver, views, old)) is not None:
                call.log(f"{new} leads and {old} follows or is down")
                return {"primary": new, "former": old}
            leader = next(view for view in views if view.error is None)
            if not _begun(views, old):
                if asked:
                    raise TransientError(f"Sentinel gave the failover up: {old} still leads {driver.master}")
                call.check()
                asked = True
                started = driver.failover(leader.sentinel, coordinated=params.mode == "coordinated")
                call.log(f"{leader.sentinel} was asked" if started else f"{leader.sentinel} is at it already")
            if (now := _story(views, old)) != told:
                call.log(told := now)
            if time.monotonic() > limit:
                raise TransientError(f"the failover of {driver.master} is not over after {WAIT_SECONDS:g} seconds")
            time.sleep(POLL_SECONDS)


def _answering(driver: Sentinel) -> list[View]:
    views = driver.views()
    if all(view.error is not None for view in views):
        raise TransientError(f"no Sentinel answers: {views[0].error}")
    return views


def _agreed(driver: Sentinel, views: list[View]) -> str | None:
    try:
        return driver.agreed(views)
    except TransientError:
        return None


def _settled(driver: Sentinel, views: list[View], old: str) -> str | None:
    """The new primary when all that answer see it lead, and `old` follow it or gone; None until then."""
    answered = [view for view in views if view.error is None]
    new = _agreed(driver, views)
    if new in (None, old) or any(view.failing_over or view.primary != new for view in answered):
        return None
    for view in answered:
        former = [one for one in view.replicas if one.address == old]
        follows = any(one.down or (one.role, one.link) == ("slave", "ok") for one in former)
        if view.role != "master" or not follows:
            return None
    return new if driver.role_of(str(new)) in (None, "master") else None


def _ready(answered: list[View]) -> bool:
    """Whether a replica could take over, or one is about to: asked again in the middle, this must still hold."""
    converting = any(one.role == "master" for view in answered for one in view.replicas)
    return converting or any(view.failing_over or any(one.ready for one in view.replicas) for view in answered)


def _begun(views: list[View], old: str) -> bool:
    """Whether a failover is on its way, or over for one Sentinel and not yet known to the others."""
    return any(view.error is None and (view.failing_over or view.primary != old) for view in views)


def _replicas(answered: list[View]) -> str:
    seen = {
        one.address: "ready" if one.ready else f"{one.flags}, link {one.link}" for v in answered for one in v.replicas
    }
    return "; ".join(f"{address}: {state}" for address, state in sorted(seen.items())) or "no replica"


def _story(views: list[View], old: str) -> str:
    named = {view.primary for view in views if view.primary}
    if named == {old}:
        return "a replica is being promoted"
    return f"{', '.join(sorted(named - {old}))} is named primary; waiting for {old} to follow"
