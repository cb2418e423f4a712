"""The log as it is written, from the real ASGI server: each line once, in order, and only while one may see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from django.urls import reverse

from identity import rights
from identity.models import Account, RoleBinding, Session
from operations import actions, engine
from operations.models import Operation, StepLog
from portal import events
from tests import world
from tests.operations.counting import STEPS
from tests.operations.worlds import drive

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]
PATIENCE = 20
MORE_THAN_ONE_READING = 1203

Event = tuple[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def estate(transactional_db: None) -> None:
    """Scopes come before accounts here: what a new one gives to whom is derived within the catalog's transaction."""
    world.component("production/us-central/api")
    world.component("staging/us-central/api")


@pytest.fixture
def listen(served: str, client: Any, owner: Account) -> Callable[..., Any]:
    """``with listen(operation, after=7) as events``: what a browser of the owner hears, as (event, data)."""
    client.force_login(owner)
    cookies = {"session": client.cookies["session"].value}

    @contextmanager
    def hear(operation: Operation, after: int | None = None) -> Iterator[Iterator[Event]]:
        named = {"Last-Event-ID": str(after)} if after is not None else {}
        with httpx.Client(base_url=served, cookies=cookies, timeout=PATIENCE) as browser:  # noqa: SIM117 (read in order)
            with browser.stream("GET", url(operation), headers=named) as answer:
                assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
                yield heard(answer.iter_lines())

    return hear


def url(operation: Operation) -> str:
    return reverse("operation-stream", args=[operation.number])


def heard(lines: Iterator[str]) -> Iterator[Event]:
    """(event, data) of each event; a line's id must be its seq, which is what the browser names when it comes again."""
    fields: dict[str, str] = {}
    for text in lines:
        if text and not text.startswith(":"):
            name, _, value = text.partition(": ")
            fields[name] = value
        elif fields:
            data = json.loads(fields["data"])
            assert fields["event"] != "line" or fields["id"] == str(data["seq"])
            yield fields["event"], data
            fields = {}


def until(events_: Iterator[Event], wanted: Callable[[Event], bool]) -> list[Event]:
    """The events up to the first that is ``wanted``."""
    found = []
    for event in events_:
        found.append(event)
        if wanted(event):
            return found
    raise AssertionError(f"the stream ended after {found}")


def lines_of(events_: list[Event]) -> list[tuple[int, str]]:
    return [(data["seq"], data["text"]) for name, data in events_ if name == "line"]


def written(operation: Operation) -> list[tuple[int, str]]:
    return list(StepLog.objects.filter(step__operation=operation).order_by("seq").values_list("seq", "text"))


def said(operation: Operation, text: str) -> None:
    """A line, as the engine writes it."""
    StepLog.objects.create(step=operation.steps.get(position=1), text=text)
    events.publish(operation.topic)


def test_lines_and_progress_arrive_while_it_runs_and_then_it_ends(at, listen):
    operation = at("queued")
    with listen(operation) as stream:
        assert next(stream) == ("progress", {"state": "queued", "step": None, "done": 0, "total": 0})
        found = []
        for place in range(1, STEPS + 1):
            assert engine.advance(operation.pk) is True
            found += until(stream, lambda event, place=place: event[0] == "line" and event[1]["step"] == place)
        assert drive(operation).state == "done"
        found += list(stream)
    assert lines_of(found) == written(operation)
    assert [text for _, text in written(operation)] == ["counting"] * STEPS + ["It is so already; nothing to do."]
    assert found[-2:] == [("progress", {"state": "done", "step": None, "done": 0, "total": 0}), ("end", {})]
    places = [data["step"] for name, data in found if name == "progress" and data["step"] is not None]
    assert places == sorted(places)
    assert set(places) >= set(range(1, STEPS + 1))


def test_who_comes_again_and_names_the_last_line_hears_every_line_once(at, listen):
    operation = at("running")
    said(operation, "first")
    said(operation, "second")
    with listen(operation) as stream:
        before = until(stream, lambda event: event[1].get("text") == "second")
    said(operation, "while nobody listened")
    drive(operation)
    last = lines_of(before)[-1][0]
    with listen(operation, after=last) as stream:
        after = list(stream)
    assert lines_of(before) + lines_of(after) == written(operation)
    assert after[-1] == ("end", {})


def test_a_long_log_arrives_whole_and_in_order(at, listen):
    operation = at("done")
    step = operation.steps.get(position=1)
    StepLog.objects.bulk_create(StepLog(step=step, text=f"line {n}") for n in range(MORE_THAN_ONE_READING))
    with listen(operation) as stream:
        assert lines_of(list(stream)) == written(operation)


def ends_right(account: Account) -> None:
    rights.unbind(RoleBinding.objects.get(account=account))


def ends_account(account: Account) -> None:
    account.is_active = False
    account.save(update_fields=["is_active"])


def ends_session(account: Account) -> None:
    assert Session.objects.filter(account=account).delete()[0] == 1


@pytest.mark.parametrize("end", [ends_right, ends_account, ends_session])
def test_whoever_loses_access_hears_nothing_more(at, listen, owner, end):
    operation = at("running")
    said(operation, "for the owner")
    with listen(operation) as stream:
        assert lines_of(until(stream, lambda event: event[0] == "progress"))[-1][1] == "for the owner"
        end(owner)
        said(operation, "not for them any more")
        assert [event for event in stream if event[0] == "line"] == []
    actions.stop(operation, by=events.SYSTEM)


def test_what_the_reader_may_not_see_is_not_there(at, client, owner):
    operation = at("done")
    client.force_login(world.account("stranger", "operations_owner", ("staging", "*")))
    assert client.get(url(operation)).status_code == 404
    client.force_login(owner)
    assert client.get(reverse("operation-stream", args=[987654])).status_code == 404
    client.logout()
    assert client.get(url(operation)).status_code == 302


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 19, "١"])
def test_a_line_that_cannot_be_is_refused(at, client, owner, after):
    client.force_login(owner)
    assert client.get(url(at("done")), {"after": after}).status_code == 422
