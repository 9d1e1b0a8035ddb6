"""What always holds of a stream, one test for each line of its list; three of them in a story that chance tells."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random

import pytest

from edge.domain.event import NewEvent
from edge.domain.event_store import EventStoreError, EventStoreUnavailable, OutcomeUnknown
from edge.forward import stream as limits
from edge.forward.refusals import judge
from edge.forward.stream import BATCH_EVENTS_MAX, CONFLICTS_MAX, RefusedEvent, Stream, size_of
from edge.forward.verification import verify
from fakes.event_store import FakeEventStore, Fault
from fakes.forwarding_stage import STREAM
from fakes.forwarding_world import Life, Seam, World
from fakes.virtual_time import run_virtual

SEEDS = range(30)
STEPS = 60
DEVICES = ("a", "b", "c")
Check = Callable[[Life], Coroutine[None, None, None]]


def on_stage(world: World, story: Callable[[Life], Coroutine[None, None, None]]) -> None:
    """Tell a story in which nothing is committed, read or appended but what the story asks for."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await story(await world._open(stack))

    run_virtual(main)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(directory=tmp_path / "state", rng=Random(0))


def streams(life: Life) -> list[Stream]:
    return list(life.forwarder._queues.by_stream.values())


async def offered(life: Life, count: int, device: str = "a", *, size: int = 0) -> Stream:
    """The stream of a device after so many more samples."""
    for _ in range(count):
        assert life.offer(device, size=size)
    await life.outbox.flush()
    return life.forwarder._queues.by_stream[life.outbox.streams.number(f"sensorReadings-north-1.{device}")]


async def forwarded(life: Life, count: int) -> Stream:
    """The stream of a device after so many samples were forwarded."""
    stream = await offered(life, count)
    await verify(stream)
    assert await stream.append() == count
    return stream


class Chance:
    """Does one thing after another to three streams and their store, as a forwarder would, only in any order."""

    def __init__(self, life: Life, seed: int) -> None:
        self.life = life
        self.rng = Random(seed)
        self.store = life.world.store
        self._snapshots = [self.store.snapshot()]

    async def step(self) -> None:
        steps = [
            *(self._offer, self._append, self._append, self._backlog, self._hold),
            *(self._restore, self._restore_unnoticed, self._doubt, self._restart),
        ]
        with suppress(EventStoreError):
            await self.rng.choice(steps)()
        self.store.faults.clear()

    def _stream(self) -> Stream | None:
        return self.rng.choice(streams(self.life) or [None])

    async def _offer(self) -> None:
        for _ in range(self.rng.randrange(12)):
            self.life.offer(self.rng.choice(DEVICES), size=self.rng.choice((0, 300, 900)))
        await self.life.outbox.flush()

    async def _append(self) -> None:
        if (stream := self._stream()) is None:
            return
        self.store.faults.append(self.rng.choice((None, None, Fault.LOST_REQUEST, Fault.LOST_ANSWER)))
        if not stream.is_verified:
            await verify(stream)
        try:
            appended = await stream.append() if stream.is_verified else 0
        except EventStoreError:
            stream.distrust()
            raise
        assert not isinstance(appended, RefusedEvent)
        if appended:
            stream.resume()
            self._snapshots.append(self.store.snapshot())

    async def _backlog(self) -> None:
        queues = self.life.forwarder._queues
        if lagging := queues._lagging():
            await queues._fill(lagging)

    async def _hold(self) -> None:
        if (stream := self._stream()) is not None:
            stream.hold(to=self.rng.randint(1, 2))

    async def _restore(self) -> None:
        self.store.restore(self.rng.choice(self._snapshots))
        await self._doubt()

    async def _restore_unnoticed(self) -> None:
        """Somebody else fills the streams up again, so that the next appends are taken, and stand above what is lost."""
        self.store.restore(self.rng.choice(self._snapshots))
        for stream in streams(self.life):
            acked = stream.cursor.acked_revision
            for _ in range(len(self.store.events(stream.name)), 0 if acked is None else acked + 1):
                self.life.world.append_foreign(stream.name)

    async def _doubt(self) -> None:
        for stream in streams(self.life):
            stream.distrust(is_suspect=True)
            await verify(stream)

    async def _restart(self) -> None:
        if (stream := self._stream()) is not None:
            stream.restart(stream.cursor.forwarded_position)


def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Check, *, seeds: Sequence[int] = SEEDS) -> None:
    # A few entries fill a stream, and a few more all of them.
    monkeypatch.setattr(limits, "STREAM_BYTES_MAX", 3_000)
    monkeypatch.setattr(limits, "QUEUED_BYTES_MAX", 6_000)
    for seed in seeds:

        async def story(life: Life, seed: int = seed) -> None:
            chance = Chance(life, seed)
            for _ in range(STEPS):
                await chance.step()
                await check(life)

        on_stage(World(directory=tmp_path / f"{seed}", rng=Random(seed)), story)


def test_entries_are_all_that_comes_after_the_cursor_without_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed: list[bool] = []

    async def check(life: Life) -> None:
        page = await life.outbox.read_after(0, bytes_max=1 << 30)
        for stream in streams(life):
            cursor = stream.cursor
            landed.append(any(cursor.has_landed(entry.position) for entry in page.entries))
            assert [entry.position for entry in stream.entries] == [
                entry.position
                for entry in page.entries
                if entry.stream == stream.number
                and cursor.forwarded_position < entry.position <= stream.filled_to
                and not cursor.has_landed(entry.position)
            ]

    play(tmp_path, monkeypatch, check)
    assert any(landed)


def test_sizes_are_those_of_the_entries_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(life: Life) -> None:
        for stream in streams(life):
            assert stream.size == sum(map(size_of, stream.entries)) == sum(stream._sizes)
        assert life.forwarder.status().queued_bytes == sum(stream.size for stream in streams(life))

    play(tmp_path, monkeypatch, check)


def test_an_append_begins_only_while_verified_and_names_the_revision_that_the_cursor_has(tmp_path: Path) -> None:
    seen: list[bool] = []

    class Watching(Seam):
        async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> int | None:
            (of_it,) = (known for known in streams(lives[-1]) if known.name == stream)
            seen.append(of_it.is_verified and of_it.cursor.acked_revision == expected_revision)
            return await super().append(stream, events, expected_revision=expected_revision)

    def watching(store: FakeEventStore, point: Callable[[], None]) -> Seam:
        return Watching(store, point)

    lives: list[Life] = []

    async def story(life: Life) -> None:
        lives.append(life)
        chance = Chance(life, 1)
        for _ in range(STEPS * 4):
            await chance.step()
            assert all(seen)
        # A stream that is not verified is not appended to, whoever asks.
        stream = await offered(life, 1)
        stream.restart(stream.cursor.forwarded_position)
        await life.forwarder._queues._fill({stream.number: stream})
        stream.distrust()
        calls = len(seen)
        with pytest.raises(AssertionError):
            await stream.append()
        assert len(seen) == calls > 5

    on_stage(World(directory=tmp_path / "state", rng=Random(1), seam=watching), story)


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.UNAVAILABLE])
def test_an_entry_stays_in_memory_until_the_cursor_has_passed_it(world: World, fault: Fault) -> None:
    async def story(life: Life) -> None:
        stream = await offered(life, 3)
        await verify(stream)
        before = list(stream.entries), stream.cursor
        world.store.faults.append(fault)
        with pytest.raises(OutcomeUnknown if fault is not Fault.UNAVAILABLE else EventStoreUnavailable):
            await stream.append()
        assert (list(stream.entries), stream.cursor) == before
        await verify(stream)
        if not stream.cursor.is_lagging:
            assert not stream.entries
        else:
            assert await stream.append() == 3
            assert (list(stream.entries), stream.cursor.is_lagging) == ([], False)

    on_stage(world, story)


def test_a_distrust_outlasts_the_comparison_that_was_under_way(world: World) -> None:
    async def story(life: Life) -> None:
        stream = await offered(life, 1)
        world.store.latency_s = lambda: 1.0
        comparing = asyncio.create_task(verify(stream))
        await asyncio.sleep(0.5)
        stream.distrust()
        await comparing
        assert not stream.is_verified
        await verify(stream)
        assert stream.is_verified

    on_stage(world, story)


def test_a_tail_that_was_seen_stays_seen(world: World) -> None:
    async def story(life: Life) -> None:
        stream = await offered(life, 1)
        seen = [stream.is_tail_seen]
        await verify(stream)
        seen.append(stream.is_tail_seen)
        world.restore_store({})
        stream.distrust(is_suspect=True)
        seen.append(stream.is_tail_seen)
        world.store.down = True
        with pytest.raises(EventStoreUnavailable):
            await verify(stream)
        seen.append(stream.is_tail_seen)
        assert seen == [False, True, True, True]

    on_stage(world, story)


def test_a_refusal_halves_the_next_append_and_a_success_doubles_it(world: World) -> None:
    async def story(life: Life) -> None:
        stream = await offered(life, 8)
        await verify(stream)
        world.store.refuses = lambda _event: True
        lengths = []
        while not isinstance(appended := await stream.append(), RefusedEvent):
            assert appended == 0
            lengths.append(stream.events_max)
        assert appended.entry is stream.entries[0]
        assert (lengths, stream.events_max) == ([4, 2, 1], 1)
        world.store.refuses = lambda _event: False
        assert [await stream.append() for _ in range(4)] == [1, 2, 4, 1]
        while stream.events_max < BATCH_EVENTS_MAX:
            await offered(life, 1)
            await stream.append()
        await offered(life, 1)
        await stream.append()
        assert stream.events_max == BATCH_EVENTS_MAX

    on_stage(world, story)


def test_refusals_that_reading_back_does_not_explain_are_a_loss_of_the_link(world: World) -> None:
    async def story(life: Life) -> None:
        stream = await forwarded(life, 1)
        await offered(life, 1)
        world.append_foreign(STREAM)
        for _ in range(2):
            for _ in range(CONFLICTS_MAX - 1):
                assert await stream.append() == 0
                assert (stream.is_verified, stream.refused_at) == (False, 1)
                # As if it had been read back, and nothing found.
                stream.compared = stream.distrusted
            with pytest.raises(EventStoreUnavailable, match="does not explain"):
                await stream.append()
            stream.compared = stream.distrusted

    on_stage(world, story)


def test_a_held_stream_keeps_no_more_entries_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []

    async def check(life: Life) -> None:
        for stream in streams(life):
            held.append(stream.held_to > 0)
            assert not stream.held_to or len(stream.entries) <= stream.held_to

    play(tmp_path, monkeypatch, check)
    assert any(held)


def test_an_event_that_is_set_aside_leaves_memory_and_the_stream_goes_on(world: World) -> None:
    async def story(life: Life) -> None:
        stream = await offered(life, 3)
        await verify(stream)
        wrong = stream.entries[1].event_id
        world.store.refuses = lambda event: event.event_id == wrong
        while not isinstance(appended := await stream.append(), RefusedEvent):
            pass
        stream.hold(to=2)
        await judge(stream, appended)
        assert (len(stream.entries), stream.held_to) == (1, 0)
        assert await stream.append() == 1
        assert not stream.cursor.is_lagging
        assert wrong not in [event.event_id for event in world.store.events(STREAM)]

    on_stage(world, story)
