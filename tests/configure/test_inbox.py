"""The inbox by itself: what waits while time passes, and what of it is on disk."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge.configure.announce import Announcer
from edge.configure.case import Answers, Unanswered
from edge.configure.inbox import Inbox
from edge.configure.judge import NO_DEMANDS
from edge.domain.clock import rfc3339
from edge.domain.event import RecordedEvent
from fakes.configure_world import STREAM, Gateway, World, update, update_event
from fakes.virtual_time import START_UNIX_MS, VirtualClock, run_virtual


@asynccontextmanager
async def opened(gateway: Gateway) -> AsyncIterator[Inbox]:
    async with asyncio.TaskGroup() as tasks:
        answers = Answers(
            outbox=gateway.outbox,
            author=gateway.author,
            fleet=gateway.fleet,
            demands=NO_DEMANDS,
            announcer=Announcer(outbox=gateway.outbox, author=gateway.author, fleet=gateway.fleet),
            unanswered=Unanswered(STREAM, clock=gateway.author.clock),
        )
        inbox = Inbox(answers, tasks, on_settled=lambda: None)
        await inbox.open(None)
        yield inbox


def read(world: World) -> list[RecordedEvent]:
    return world.store.events(STREAM)


def test_an_update_whose_time_passes_while_it_waits_is_expired_and_what_follows_is_judged_without_it(
    world: World,
) -> None:
    async def main() -> None:
        world.ask(1, validUntil=rfc3339(START_UNIX_MS + 60_000))
        world.ask(2, basedOn=1)
        world.ask(3, {"pollIntervalS": 5}, basedOn=0, device_id="roof", validUntil=rfc3339(START_UNIX_MS + 60_000))
        async with world.started() as gateway:
            async with opened(gateway) as inbox:
                first, second, other = read(world)
                await inbox.take([first, other])
                assert isinstance(gateway.author.clock, VirtualClock)
                gateway.author.clock.error_ms = 61_000
                await inbox.take([second])
                assert await gateway.answers() == [("bench", 1, "expired"), ("bench", 2, "conflict")]
                await inbox.caught_up()
            assert (await gateway.answers())[2:] == [("roof", 3, "expired")]
            assert gateway.fleet.configured == []

    run_virtual(main)


def test_of_each_device_at_most_one_update_waits_and_junk_never_does(world: World) -> None:
    async def main() -> None:
        for version in range(1, 40):
            world.publish(update_event(update(version)), update_event(b"junk"), update_event(update(1, {"x": 1})))
        async with world.started() as gateway:
            async with opened(gateway) as inbox:
                await inbox.take(read(world))
                [(waiting,)] = await gateway.outbox.database.fetch_all("SELECT count(*) FROM pending_updates")
                assert waiting == 1
                assert len(await gateway.answers()) == 3 * 39 - 1
                await inbox.caught_up()
            assert (await gateway.answers())[-1] == ("bench", 39, "applied")

    run_virtual(main)


def test_what_waits_is_not_applied_while_the_stream_is_read_again(world: World) -> None:
    async def main() -> None:
        for version in (1, 2, 3):
            world.ask(version)
        async with world.started() as gateway:
            gateway.fleet.delay_s = lambda _device_id: 60.0
            async with opened(gateway) as inbox:
                await inbox.caught_up()
                first, second, third = read(world)
                await inbox.take_one(first)
                await inbox.take_one(second)
                # The link was lost and is back.
                await inbox.open(inbox.last)
                await asyncio.sleep(100)
                assert await gateway.answers() == [("bench", 1, "applied")]
                assert gateway.fleet.applying == set()
                await inbox.take([third])
                await inbox.caught_up()
            assert (await gateway.answers())[1:] == [("bench", 2, "superseded"), ("bench", 3, "applied")]

    run_virtual(main)
