"""Acts on the weights of a service's two members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from drivers import names
from drivers.acts import Call, Condition, Parameters, Report, Risk
from drivers.nginx import render
from drivers.nginx.acts.edge import Facts, OnEdge, Service

if TYPE_CHECKING:
    from drivers.nginx.driver import Nginx

Slot = Annotated[Literal["a", "b"], msgspec.Meta(title="Slot", description="Which of the service's two members.")]
Weight = Annotated[int, msgspec.Meta(title="Weight of slot a", description="0 takes it out.", ge=0, le=100)]
OtherWeight = Annotated[int, msgspec.Meta(title="Weight of slot b", description="0 takes it out.", ge=0, le=100)]


class Weights(Parameters):
    service: Service
    a: Weight
    b: OtherWeight


class OfMember(Parameters):
    service: Service
    slot: Slot


class Return(OfMember):
    weight: Annotated[int, msgspec.Meta(title="Weight", description="Beside the other's weight.", ge=1, le=100)]


class OnWeights[P: (Weights, OfMember, Return)](OnEdge[P]):
    """An act that gives a service's members other weights."""

    undo_title = "Give the members the weights they had"

    def wanted(self, params: P, present: Mapping[str, int]) -> dict[str, int]:
        raise NotImplementedError

    def before(self, driver: Nginx, params: P) -> Report:
        return {"weights": driver.weights(params.service), "generation": driver.generation()}

    def sends(self, driver: Nginx, params: P, before: Facts) -> list[str]:
        ports = {member.slot: member.port for member in driver.members(params.service)}
        pair = render.members(ports, self.wanted(params, before["weights"]))
        lines = [line.strip() for line in render.fragment(params.service, pair).splitlines() if "server" in line]
        return self.advances(driver, *(f"{params.service}.conf: {line}" for line in lines))

    def done(self, driver: Nginx, params: P, before: Facts) -> bool:
        present = driver.weights(params.service)
        return present == self.wanted(params, before["weights"]) and driver.in_force()

    def do(self, driver: Nginx, params: P, before: Facts, call: Call) -> Report:
        wanted = self.wanted(params, before["weights"])
        done = driver.switch(call.token, {params.service: wanted}, call=call)
        return {"generation": done.generation, "weights": wanted}

    def undo(self, driver: Nginx, params: P, before: Facts, call: Call) -> Report:
        done = driver.switch(call.token, {params.service: before["weights"]}, call=call)
        return {"generation": done.generation, "weights": before["weights"]}


class SetWeight(OnWeights[Weights]):
    """Divide a service's requests between its two members."""

    name = "set-weight"
    title = "Send {service} to a:{a} and b:{b}"
    summary = (
        "The edge divides the requests of this service between its two members in these parts; a member of weight 0 "
        "gets none. Whether a member is healthy is not asked: shifting traffic on the service itself does that. Users "
        "notice if a member that gets requests cannot serve."
    )
    risk = Risk.HIGH
    Parameters = Weights

    def check(self, params: Weights) -> None:
        names.weights({"a": params.a, "b": params.b})

    def wanted(self, params: Weights, present: Mapping[str, int]) -> dict[str, int]:
        return {"a": params.a, "b": params.b}


class DrainMember(OnWeights[OfMember]):
    """Take one upstream member out and wait until it is idle."""

    name = "drain-member"
    title = "Drain slot {slot} of {service}"
    summary = (
        "The edge sends no new request to this member; then it is waited until the last connection to it has ended, "
        "so that it may be worked on. The other member gets all the traffic and must bear it."
    )
    risk = Risk.MEDIUM
    Parameters = OfMember

    def conditions(self, driver: Nginx, params: OfMember) -> list[Condition]:
        conditions = super().conditions(driver, params)
        if all(condition.holds for condition in conditions):
            other = "b" if params.slot == "a" else "a"
            takes = driver.weights(params.service)[other] > 0
            conditions.append(Condition(f"slot {other} takes traffic", takes, "nobody would serve"))
        return conditions

    def wanted(self, params: OfMember, present: Mapping[str, int]) -> dict[str, int]:
        return {**present, params.slot: 0}

    def done(self, driver: Nginx, params: OfMember, before: Facts) -> bool:
        return super().done(driver, params, before) and not driver.connections(params.service, params.slot)

    def do(self, driver: Nginx, params: OfMember, before: Facts, call: Call) -> Report:
        report = super().do(driver, params, before, call)
        return {**report, "connections_ended": driver.drained(params.service, params.slot, call)}


class UndrainMember(OnWeights[Return]):
    """Give a drained member traffic again."""

    name = "undrain-member"
    title = "Bring slot {slot} of {service} back with weight {weight}"
    summary = (
        "The edge sends requests to this member again, in proportion to its weight and the other's. The member must "
        "accept connections. Users notice if it cannot serve."
    )
    risk = Risk.MEDIUM
    Parameters = Return

    def conditions(self, driver: Nginx, params: Return) -> list[Condition]:
        conditions = super().conditions(driver, params)
        if all(condition.holds for condition in conditions):
            port = driver.members(params.service)[names.SLOTS.index(params.slot)].port
            conditions.append(
                Condition(f"slot {params.slot} accepts connections", driver.host.listening(port), f"{port} is closed")
            )
        return conditions

    def wanted(self, params: Return, present: Mapping[str, int]) -> dict[str, int]:
        return {**present, params.slot: params.weight}
