"""What an act leaves behind on the broker so that the next worker knows how far it came.

Messages go on arriving, so an empty queue is no evidence of a purge, and a second purge would lose what is fresh. The
broker keeps such notes as global runtime parameters, one per act and queue, which the next run replaces. Source:
rabbitmq.com/docs/parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drivers.acts import Facts

if TYPE_CHECKING:
    from drivers.rabbitmq.driver import RabbitMQ


def name(driver: RabbitMQ, act: str, queue: str) -> str:
    """The parameter's name."""
    return f"edye-portal {act} {driver.vhost} {queue}"


def result(driver: RabbitMQ, act: str, queue: str, before: Facts) -> dict[str, Any] | None:
    """What the run that began with `before` has reached at its end; None when it has not ended."""
    kept = driver.management().get("global-parameters", name(driver, act, queue))
    value = kept["value"] if kept else {}
    if not isinstance(value, dict) or value.get("mark") != before["mark"] or "result" not in value:
        return None
    return dict(value["result"])


def begin(driver: RabbitMQ, act: str, queue: str, before: Facts) -> None:
    """Note that the run has begun; an account that may not is refused here, before anything is touched."""
    _write(driver, act, queue, {"mark": before["mark"]})


def end(driver: RabbitMQ, act: str, queue: str, before: Facts, reached: dict[str, Any]) -> None:
    """Note that the run has ended, with its result."""
    _write(driver, act, queue, {"mark": before["mark"], "result": reached})


def _write(driver: RabbitMQ, act: str, queue: str, value: dict[str, Any]) -> None:
    driver.management().put("global-parameters", name(driver, act, queue), content={"value": value})
