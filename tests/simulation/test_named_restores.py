"""A store that was restored or replaced, under whatever circumstances: nothing is lost, doubled or declared twice."""

import asyncio
import json
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from edge.domain.settings import OutboxSettings
from fakes.forwarding_stage import STREAM, play, twenty
from fakes.forwarding_world import Life, World
from fakes.stream_state import StreamState
from fakes.virtual_time import run_virtual

HOUR_S = 3600.0
DEVICES = ("a", "b", "c", "d")


def stream(device: str) -> str:
    return f"sensorReadings-north-1.{device}"


def restores(world: World, device: str = "a") -> list[dict[str, int]]:
    """What the store was told of a stream, in order."""
    told = [json.loads(e.data) for e in world.store.events("gateway-north-1") if e.type == "EventStoreRestored"]
    return [body for body in told if body["stream"] == stream(device)]


async def speak(life: Life, *devices: str, each: int = 1) -> None:
    for _ in range(each):
        for device in devices:
            life.offer(device)
    await life.settle()


def restore_at_once(life: Life, snapshot: dict[str, StreamState]) -> None:
    """No call fails, and no subscription is there to end."""
    life.world.restore_store(snapshot)


def test_what_is_to_be_sent_again_is_still_there_when_it_is_sent(tmp_path: Path) -> None:
    world = World(directory=tmp_path / "state", rng=Random(7), settings=OutboxSettings(keep_forwarded_h=0.5))

    async def replaced(life: Life) -> None:
        for _ in range(150):
            life.offer("a")
            await life.outbox.flush()
        await life.settle()
        # A quiet hour: retention had nothing to ride along with.
        await asyncio.sleep(HOUR_S)
        life.world.restore_store({})
        life.world.store.latency_s = lambda: 2.05
        await speak(life, "a")
        life.world.store.latency_s = lambda: 0
        await life.settle()

    async def story(world: World) -> None:
        await world.live(replaced)

    run_virtual(lambda: story(world))
    [told] = restores(world)
    assert told["sentAgain"] + told["lost"] == 150
    assert len(world.store.events(STREAM)) == told["sentAgain"] + 1


def test_a_kill_at_any_moment_of_the_finding_neither_declares_twice_nor_loses(tmp_path: Path) -> None:
    async def story(fuse: int, world: World) -> None:
        await world.live(twenty)
        world.restore_store({})
        assert not await world.live(twenty, fuse=fuse)
        await world.live(twenty)

    for fuse in range(0, 90, 2):
        world = World(directory=tmp_path / f"{fuse}" / "state", rng=Random(7))
        play(world, partial(story, fuse))
        assert len(restores(world)) == 1, f"killed at point {fuse}"


def test_a_kill_at_any_moment_of_the_finding_tells_once_that_the_outbox_was_restored(tmp_path: Path) -> None:
    async def story(fuse: int, world: World) -> None:
        await world.live(twenty)
        copy, known = world.copy_database(), set(world.accepted)
        await world.live(twenty)
        world.put_back(copy, known)
        assert not await world.live(twenty, fuse=fuse)
        await world.live(twenty)

    for fuse in range(0, 80, 2):
        world = World(directory=tmp_path / f"{fuse}" / "state", rng=Random(7))
        play(world, partial(story, fuse))
        told = [
            json.loads(e.data)["stream"] for e in world.store.events("gateway-north-1") if e.type == "OutboxRestored"
        ]
        assert told == [STREAM], f"killed at point {fuse}"


async def _restored_in_silence(life: Life) -> None:
    await speak(life, *DEVICES)
    snapshot = life.world.store.snapshot()
    await speak(life, *DEVICES, each=5)
    restore_at_once(life, snapshot)


def test_one_stream_that_finds_the_store_restored_has_all_silent_streams_brought_back(world: World) -> None:
    async def silent(life: Life) -> None:
        await _restored_in_silence(life)
        # No silence before it: nothing but the refusal tells.
        life.forwarder._link.succeeded()
        await speak(life, "a")

    async def story(world: World) -> None:
        await world.live(silent)

    play(world, story)
    assert [len(world.store.events(stream(device))) for device in DEVICES] == [7, 6, 6, 6]


def test_a_stream_that_lost_nothing_and_speaks_after_a_silence_has_the_others_brought_back(world: World) -> None:
    async def silent(life: Life) -> None:
        await speak(life, "a")
        snapshot = life.world.store.snapshot()
        await speak(life, "b", "c", each=5)
        restore_at_once(life, snapshot)
        grow_the_log(life.world)
        await asyncio.sleep(6)
        await speak(life, "a")

    async def story(world: World) -> None:
        await world.live(silent)

    play(world, story)
    assert [len(world.store.events(stream(device))) for device in "abc"] == [2, 5, 5]


def test_the_end_of_a_subscription_is_enough_to_look(world: World) -> None:
    async def silent(life: Life) -> None:
        await _restored_in_silence(life)
        life.forwarder.doubt()
        await life.settle()

    async def story(world: World) -> None:
        await world.live(silent)

    play(world, story)
    assert [len(world.store.events(stream(device))) for device in DEVICES] == [6, 6, 6, 6]


def grow_to(world: World, device: str, revision: int) -> None:
    """Somebody else writes until the stream is exactly as long as it was."""
    while len(world.store.events(stream(device))) <= revision:
        world.append_foreign(stream(device))


def grow_the_log(world: World) -> None:
    """Somebody else writes more, elsewhere, than was lost: commit positions tell nothing."""
    for _ in range(100):
        world.append_foreign("another-1")


def tail(world: World, device: str) -> list[int]:
    """The numbers of a device's samples, as they stand; 0 for what is not ours."""
    return [json.loads(event.data).get("sequence", 0) for event in world.store.events(stream(device))]


@pytest.mark.parametrize(("lost", "appends"), [(4, 1), (4, 3), (60, 40)])
def test_a_stream_that_grew_to_exactly_its_length_is_brought_back_when_another_shows_the_restore(
    world: World, lost: int, appends: int
) -> None:
    async def grown(life: Life) -> None:
        await speak(life, "a", "b", each=3)
        snapshot = life.world.store.snapshot()
        for _ in range(lost):
            await speak(life, "a", "b")
        restore_at_once(life, snapshot)
        grow_to(life.world, "a", 2 + lost)
        grow_the_log(life.world)
        for _ in range(appends):
            life.forwarder._link.succeeded()
            life.offer("a")
            await life.outbox.flush()
            await asyncio.sleep(0.1)
        await speak(life, "b")

    async def story(world: World) -> None:
        await world.live(grown)

    run_virtual(lambda: story(world))
    # The place of what was lost was taken, so it comes after what was appended meanwhile; nothing comes twice.
    sent_again, meanwhile = range(4, 4 + lost), range(4 + lost, 4 + lost + appends)
    assert tail(world, "a") == [1, 2, 3, *[0] * lost, *meanwhile, *sent_again]
    [told] = restores(world)
    assert (told["foundRevision"], told["sentAgain"], told["lost"]) == (2, lost, 0)


def test_a_log_that_is_shorter_than_it_was_is_noticed_by_the_first_append(world: World) -> None:
    async def grown(life: Life) -> None:
        await speak(life, "a", "b", each=3)
        snapshot = life.world.store.snapshot()
        await speak(life, "a", each=2)
        await speak(life, "b", each=9)
        restore_at_once(life, snapshot)
        grow_to(life.world, "a", 4)
        life.forwarder._link.succeeded()
        await speak(life, "a")

    async def story(world: World) -> None:
        await world.live(grown)

    run_virtual(lambda: story(world))
    assert tail(world, "a") == [1, 2, 3, 0, 0, 6, 4, 5]
    assert tail(world, "b") == list(range(1, 13))


@pytest.mark.parametrize("killed_at", range(0, 40, 3))
def test_a_kill_while_the_lost_is_sent_again_doubles_nothing_that_stands_above_it(world: World, killed_at: int) -> None:
    async def grown(life: Life) -> None:
        await speak(life, "a", "b", each=3)
        snapshot = life.world.store.snapshot()
        await speak(life, "a", "b", each=4)
        restore_at_once(life, snapshot)
        grow_to(life.world, "a", 6)
        grow_the_log(life.world)
        life.forwarder._link.succeeded()
        await speak(life, "a")
        life.offer("b")
        await life.outbox.flush()
        life.world.fuse = killed_at
        await life.settle()

    async def story(world: World) -> None:
        await world.live(grown)
        await world.live(twenty)

    run_virtual(lambda: story(world))
    assert tail(world, "a") == [1, 2, 3, 0, 0, 0, 0, 8, 4, 5, 6, 7, *range(1, 21)]
    assert len(restores(world)) == 1


def test_a_second_restore_knows_what_the_first_one_put_out_of_order(world: World) -> None:
    async def grown(life: Life) -> None:
        store = life.world.store
        await speak(life, "a", "b", each=3)
        snapshot = store.snapshot()
        await speak(life, "a", "b", each=4)
        restore_at_once(life, snapshot)
        grow_to(life.world, "a", 6)
        grow_the_log(life.world)
        life.forwarder._link.succeeded()
        await speak(life, "a")
        await speak(life, "b")
        # Once above what is out of order, once in the middle of it, once below.
        for length in (11, 9, 8, 7, 2):
            backup = store.snapshot()
            state = backup[stream("a")]
            del state.events[length:], state.positions[length:]
            restore_at_once(life, backup)
            await speak(life, "a")

    async def story(world: World) -> None:
        await world.live(grown)

    run_virtual(lambda: story(world))
    numbers = tail(world, "a")
    assert sorted(number for number in numbers if number) == list(range(1, 14))


def test_a_silence_and_a_start_cost_one_read_however_many_streams_stand_still(world: World) -> None:
    calls: list[int] = []

    def count() -> None:
        calls.append(sum(read.calls for read in world.store.reads.values()))

    async def silent(life: Life) -> None:
        await speak(life, *(f"d{number}" for number in range(40)))
        await asyncio.sleep(60)
        count()
        await speak(life, "d0")
        count()

    async def started(life: Life) -> None:
        await life.settle()
        count()

    async def story(world: World) -> None:
        await world.live(silent)
        await world.live(started)

    play(world, story)
    assert [after - before for before, after in pairwise(calls)] == [1, 1]


def test_a_stream_is_compared_before_its_first_append_in_a_run_though_the_store_is_proven(world: World) -> None:
    async def clone(life: Life) -> None:
        await twenty(life)

    async def story(world: World) -> None:
        await world.live(clone)
        copy = world.copy_database()
        await world.live(clone)
        # The other copy's events stand above what this one knows.
        world.put_back(copy, set(world.accepted))
        before = world.store.append_calls[STREAM]
        await world.live(clone)
        assert world.store.append_calls[STREAM] == before + 1

    play(world, story)
    assert len(world.store.events(STREAM)) == 60


def test_a_stream_that_went_back_begins_again_in_the_moment_of_its_commit(world: World) -> None:
    seen: list[bool] = []

    async def replaced(life: Life) -> None:
        await speak(life, "a", each=5)
        number = life.outbox.streams.number(STREAM)
        queue = life.forwarder._queues.by_stream[number]

        def look(_entries: object) -> None:
            # The backlog head may end a page right now, and would move the cursor to where the queue is filled to.
            seen.append(queue.filled_to <= life.outbox.cursors[number].forwarded_position or bool(queue.entries))

        life.world.restore_store({})
        life.outbox.attach(look)
        life.forwarder.doubt()
        await life.settle()

    async def story(world: World) -> None:
        await world.live(replaced)

    play(world, story)
    assert len(restores(world)) == 1
    assert seen
    assert all(seen)
