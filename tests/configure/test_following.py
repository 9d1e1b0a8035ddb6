"""What interrupts the following of updates: shown with its stream, an alarm where it is a right, over by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from edge.domain.alarm import AlarmKind
from edge.domain.event import EventType
from edge.domain.event_store import Right
from fakes.configure_world import STATUS_STREAM, STREAM, Gateway, World
from fakes.virtual_time import run_virtual

FOLLOWING_EVENTS = ("configuration_interrupted", "configuration_resumed")


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[None]:
    task = asyncio.create_task(gateway.configurator.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def alarms(gateway: Gateway) -> list[tuple[str, str]]:
    """Name and stream of what was raised, then of what was cleared."""
    await gateway.outbox.flush()
    told = await gateway.written(EventType.ALARM_RAISED) + await gateway.written(EventType.ALARM_CLEARED)
    return [(data["alarm"], data["stream"]) for data in told]


@pytest.mark.parametrize("stream", [STREAM, STATUS_STREAM])
def test_a_stream_that_may_not_be_read_is_named_and_an_alarm_until_it_may(world: World, stream: str) -> None:
    async def main() -> None:
        world.store.denied.add((stream, Right.READ))
        async with world.started() as gateway:
            assert gateway.configurator.status().state == "connecting"
            async with running(gateway):
                await asyncio.sleep(600)
                status = gateway.configurator.status()
                assert (status.state, status.stream) == ("interrupted", stream)
                assert status.problem == f"gw-north may not read {stream}"
                assert status.for_s > 590
                assert status.next_try_in_s is not None
                assert 0 < status.next_try_in_s <= 300
                assert await alarms(gateway) == [("stream_refused", stream)]
                world.store.denied.clear()
                world.ask(1)
                await asyncio.sleep(301)
                status = gateway.configurator.status()
                assert (status.state, status.stream, status.problem) == ("following", STREAM, "")
                assert status.next_try_in_s is None
                assert await alarms(gateway) == [("stream_refused", stream)] * 2
                assert await gateway.answers() == [("bench", 1, "applied")]

    with structlog.testing.capture_logs() as logs:
        run_virtual(main)
    said = [line for line in logs if line["event"] in FOLLOWING_EVENTS]
    assert [(line["event"], line["stream"], line["log_level"]) for line in said] == [
        ("configuration_interrupted", stream, "error"),
        ("configuration_resumed", STREAM, "info"),
    ]


def test_an_alarm_outlives_a_restart_and_is_neither_raised_again_nor_forgotten(world: World) -> None:
    async def main() -> None:
        world.store.denied.add((STREAM, Right.READ))
        for _ in range(2):
            async with world.started() as gateway, running(gateway):
                await asyncio.sleep(60)
                assert await alarms(gateway) == [("stream_refused", STREAM)]
        world.store.denied.clear()
        async with world.started() as gateway, running(gateway):
            await asyncio.sleep(60)
            assert await alarms(gateway) == [("stream_refused", STREAM)] * 2

    run_virtual(main)


def test_that_answers_may_not_be_appended_is_not_taken_back_because_they_may_be_read(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            author = gateway.author
            alarm = author.stream_alarm(AlarmKind.STREAM_REFUSED, STATUS_STREAM)
            gateway.outbox.offer(author.alarm_raised(alarm, "may not append", body=Right.APPEND))
            async with running(gateway):
                await asyncio.sleep(60)
                assert await alarms(gateway) == [("stream_refused", STATUS_STREAM)]

    run_virtual(main)


def test_a_reason_that_becomes_another_is_logged_again_and_no_reason_twice(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway, running(gateway):
            await asyncio.sleep(60)
            world.store.go_down()
            await asyncio.sleep(600)
            world.store.restart()
            world.store.access_refused = True
            await asyncio.sleep(600)
            status = gateway.configurator.status()
            assert (status.state, status.stream) == ("interrupted", STREAM)
            assert "wrong password" in status.problem
            world.store.access_refused = False
            for stream in (STATUS_STREAM, STREAM):
                world.store.denied = {(stream, Right.READ)}
                await asyncio.sleep(600)
            world.store.denied.clear()
            await asyncio.sleep(600)

    with structlog.testing.capture_logs() as logs:
        run_virtual(main)
    said = [(line.get("cause"), line["stream"]) for line in logs if line["event"] in FOLLOWING_EVENTS]
    assert said == [
        ("EventStoreUnavailable", STREAM),
        ("CredentialRefused", STREAM),
        ("AccessRefused", STATUS_STREAM),
        ("AccessRefused", STREAM),
        (None, STREAM),
    ]
