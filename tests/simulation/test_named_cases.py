"""The cases that once broke somebody's forwarder, each by its name."""

import asyncio
import json

import pytest

from edge.domain.event import EventType, NewEvent
from fakes.event_store import Fault
from fakes.forwarding_stage import STREAM, play, twenty, types
from fakes.forwarding_world import Life, World


def test_a_fresh_database_reads_one_event_of_a_long_history(world: World) -> None:
    async def story(world: World) -> None:
        history = [NewEvent(event_id=world.new_id(), type="T", data=b"{}", metadata=b"") for _ in range(5000)]
        world.store.append_now(STREAM, history, -1)
        await world.live(twenty)

    play(world, story)
    assert world.store.reads[STREAM].events == 1
    assert len(world.store.events(STREAM)) == 5020


def test_an_answer_lost_and_the_process_killed_doubles_nothing(world: World) -> None:
    async def lost(life: Life) -> None:
        life.world.store.faults.append(Fault.LOST_ANSWER)
        life.offer("a")
        await life.outbox.flush()
        await asyncio.sleep(0.1)
        life.world.fuse = 0
        await asyncio.sleep(60)

    async def story(world: World) -> None:
        assert not await world.live(lost)
        assert len(world.store.events(STREAM)) == 1
        await world.live(twenty)

    play(world, story)
    assert len(world.store.events(STREAM)) == 21


def test_a_batch_may_be_another_one_at_the_next_try(world: World) -> None:
    async def grow(life: Life) -> None:
        life.world.store.faults.append(Fault.LOST_ANSWER)
        for _ in range(3):
            life.offer("a")
        await life.outbox.flush()
        for _ in range(4):
            life.offer("a")
        await life.settle()

    async def story(world: World) -> None:
        await world.live(grow)

    play(world, story)
    assert len(world.store.events(STREAM)) == 7


@pytest.mark.parametrize("more", [0, 5])
def test_a_delayed_append_that_lands_after_the_reading_back_doubles_nothing(world: World, more: int) -> None:
    async def delayed(life: Life) -> None:
        store = life.world.store
        store.faults.append(Fault.DELAYED)
        for _ in range(3):
            life.offer("a")
        await life.outbox.flush()
        while store.reads[STREAM].calls < 2:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.05)
        store.land()
        for _ in range(more):
            life.offer("a")
        await life.settle()

    async def story(world: World) -> None:
        await world.live(delayed)

    play(world, story)
    assert len(world.store.events(STREAM)) == 3 + more


def test_a_store_restored_to_an_older_state_that_grew_again_gets_back_what_it_lost(world: World) -> None:
    async def story(world: World) -> None:
        await world.live(twenty)
        snapshot = world.store.snapshot()
        await world.live(twenty)
        world.restore_store(snapshot)
        for _ in range(30):
            world.append_foreign(STREAM)
        await world.live(twenty)

    play(world, story)
    assert EventType.EVENT_STORE_RESTORED in types(world)
    told = next(event for event in world.store.events("gateway-north-1") if event.type == "EventStoreRestored")
    body = json.loads(told.data)
    assert (body["stream"], body["expectedRevision"], body["foundRevision"], body["sentAgain"], body["lost"]) == (
        STREAM,
        39,
        19,
        20,
        0,
    )


def test_a_store_restored_while_the_daemon_runs_is_noticed_after_the_link_was_lost(world: World) -> None:
    async def running(life: Life) -> None:
        await twenty(life)
        snapshot = life.world.store.snapshot()
        await twenty(life)
        life.world.store.go_down()
        await asyncio.sleep(60)
        life.world.restore_store(snapshot)
        for _ in range(20):
            life.world.append_foreign(STREAM)
        await asyncio.sleep(60)
        life.offer("a")
        await life.settle()

    async def story(world: World) -> None:
        await world.live(running)

    play(world, story)


def test_an_empty_store_gets_everything_that_is_retained(world: World) -> None:
    async def story(world: World) -> None:
        await world.live(twenty)
        world.restore_store({})
        await world.live(twenty)

    play(world, story)
    assert len(world.store.events(STREAM)) == 40


def test_an_idle_stream_is_brought_back_too(world: World) -> None:
    async def idle(life: Life) -> None:
        life.offer("other")
        await life.settle()

    async def story(world: World) -> None:
        await world.live(twenty)
        world.restore_store({})
        await world.live(idle)

    play(world, story)
    assert len(world.store.events(STREAM)) == 20


def test_an_older_copy_of_the_database_doubles_nothing_and_says_so(world: World) -> None:
    async def offline(life: Life) -> None:
        life.world.store.go_down()
        for _ in range(5):
            life.offer("a")
        await life.outbox.flush()

    async def story(world: World) -> None:
        await world.live(twenty)
        await world.live(offline)
        copy, known = world.copy_database(), set(world.accepted)
        world.store.restart()
        await world.live(twenty)
        world.put_back(copy, known)
        await world.live(twenty)

    play(world, story)
    assert EventType.OUTBOX_RESTORED in types(world)
    assert len(world.store.events(STREAM)) == 65


def test_a_foreign_writer_in_between_is_told_and_harms_nothing(world: World) -> None:
    async def disturbed(life: Life) -> None:
        await twenty(life)
        life.world.append_foreign(STREAM)
        life.world.append_foreign(STREAM)
        await twenty(life)

    async def story(world: World) -> None:
        await world.live(disturbed)

    play(world, story)
    assert types(world).count(EventType.ALARM_RAISED) == 1
    assert len(world.store.events(STREAM)) == 42


def test_what_was_pending_at_a_start_is_forwarded_though_nothing_new_comes(world: World) -> None:
    async def offline(life: Life) -> None:
        life.world.store.go_down()
        for _ in range(5):
            life.offer("a")
        await life.outbox.flush()

    async def only_wait(life: Life) -> None:
        await life.settle()

    async def story(world: World) -> None:
        await world.live(twenty)
        await world.live(offline)
        world.store.restart()
        await world.live(only_wait)

    play(world, story)
    assert len(world.store.events(STREAM)) == 25
