"""Live updates over a real connection to the database."""

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import AsyncClient

from portal import events
from portal.errors import Invalid
from portal.ui import live
from tests import world


async def until(stream, wanted: str) -> str:
    async with asyncio.timeout(10):
        async for part in stream:
            text = part.decode() if isinstance(part, bytes) else part
            if text.startswith(wanted):
                return text
    raise AssertionError(f"The stream ended without {wanted}")


@pytest.mark.django_db(transaction=True)
def test_a_change_reaches_the_browser_that_asked_for_it_and_no_other():
    account = world.account("viewer", "viewer")
    client = AsyncClient()
    client.force_login(account)

    async def scenario() -> list[str]:
        answers = [
            await client.get("/live/", {"topic": topic}) for topic in ("tests.door:7", "tests.door", "tests.door:8")
        ]
        streams = [aiter(answer.streaming_content) for answer in answers]
        for stream in streams:
            await until(stream, "event: ready")
        await sync_to_async(events.publish)("tests.door:7")
        told = [await until(stream, "event: change") for stream in streams[:2]]
        await sync_to_async(events.publish)("tests.door:8")
        told.append(await until(streams[2], "event: change"))
        for stream in streams:
            await stream.aclose()
        return [*told, answers[0]["Content-Type"]]

    one, noun, other, content_type = async_to_sync(scenario)()
    assert content_type == "text/event-stream"
    assert '"tests.door:7"' in one
    # A whole noun is told by its name: keys of rows are not everybody's.
    assert '"tests.door"' in noun
    assert '"tests.door:8"' in other


@pytest.mark.django_db(transaction=True)
def test_a_stream_ends_by_itself_and_lets_the_connection_go():
    async def scenario() -> tuple[list[str], bool]:
        parts = [part async for part in live.stream({"tests.door"}, lifetime=0.2)]
        hub = live._hubs[asyncio.get_running_loop()]
        return parts, hub.hearing is None and not hub.queues

    parts, released = async_to_sync(scenario)()
    assert parts[0].startswith("event: ready")
    assert released is True


@pytest.mark.django_db(transaction=True)
def test_a_lost_database_connection_ends_the_stream_so_that_the_browser_comes_again():
    async def scenario() -> list[str]:
        stream = live.stream({"tests.door"})
        parts = [await anext(stream)]
        await sync_to_async(_end_listeners)()
        async with asyncio.timeout(10):
            parts += [part async for part in stream]
        return parts

    assert len(async_to_sync(scenario)()) == 1


def _end_listeners() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN portal'")


def test_a_browser_that_hears_too_slowly_is_told_to_fetch_everything():
    async def scenario() -> list[str | None]:
        hub = live.Hub()
        queue: asyncio.Queue[str | None] = asyncio.Queue(3)
        hub.queues.add(queue)
        for number in range(4):
            hub._tell(f"tests.door:{number}")
        return [queue.get_nowait() for _ in range(queue.qsize())]

    assert async_to_sync(scenario)() == ["", "tests.door:3"]


@pytest.mark.parametrize("names", [[], ["no dots"], ["a.b:c d"], ["a.b\x00"], [f"a.b:{n}" for n in range(101)]])
def test_topics_that_cannot_be_are_refused(names):
    with pytest.raises(Invalid):
        live.wanted(names)


@pytest.mark.django_db
def test_live_updates_need_an_account(client):
    assert client.get("/live/?topic=tests.door").status_code == 302
