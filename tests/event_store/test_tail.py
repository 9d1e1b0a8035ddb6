"""Reading for a person: to the end, or on and on."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.domain.event import RecordedEvent
from edge.domain.event_store import NO_STREAM, EventStoreUnavailable
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import GrpcEventStore, open_event_store
from edge.event_store.embedded.server import EmbeddedEventStore, serve
from edge.event_store.tail import Tail
from fakes.event_store_subjects import new_event


@dataclass
class Screen:
    """What the person sees."""

    events: list[RecordedEvent] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shown: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, event: RecordedEvent) -> None:
        self.events.append(event)
        self.shown.set()

    async def holds(self, count: int) -> None:
        while len(self.events) < count:
            self.shown.clear()
            await self.shown.wait()

    def places(self) -> list[tuple[str, int]]:
        return [(event.stream, event.revision) for event in self.events]


@pytest.fixture
async def store(embedded: EmbeddedEventStore) -> AsyncIterator[GrpcEventStore]:
    async with open_event_store(EventStoreSettings(uri=embedded.uri)) as store:
        yield store


@pytest.fixture
def screen() -> Screen:
    return Screen()


def _tail(store: GrpcEventStore, screen: Screen, *, follow: bool) -> Tail:
    return Tail(store, write=screen.write, note=screen.notes.append, chance=lambda: 0.0, follow=follow)


@asynccontextmanager
async def _running(reading: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(reading)
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def _append(store: GrpcEventStore, stream: str, count: int, *, after: int = NO_STREAM) -> None:
    for first in range(0, count, 500):
        events = [new_event() for _ in range(min(500, count - first))]
        await store.append(stream, events, expected_revision=after + first)


async def test_streams_are_written_out_one_after_the_other_to_their_ends(store: GrpcEventStore, screen: Screen) -> None:
    await _append(store, "one", 450)
    await _append(store, "two", 2)
    await _tail(store, screen, follow=False).streams(["two", "missing", "one"])
    assert screen.places() == [("two", 0), ("two", 1), *(("one", revision) for revision in range(450))]
    assert screen.notes == ["missing: no such stream"]


async def test_everything_is_written_out_in_the_stores_order(store: GrpcEventStore, screen: Screen) -> None:
    await _append(store, "one", 1)
    await _append(store, "two", 1)
    await _append(store, "one", 1, after=0)
    await _tail(store, screen, follow=False).everything()
    assert screen.places() == [("one", 0), ("two", 0), ("one", 1)]


@pytest.mark.parametrize("everything", [True, False])
async def test_following_goes_on_after_a_restart_without_gap_or_repetition(
    store: GrpcEventStore, screen: Screen, embedded: EmbeddedEventStore, *, everything: bool
) -> None:
    await _append(store, "one", 3)
    tail = _tail(store, screen, follow=True)
    async with _running(tail.everything() if everything else tail.streams(["one", "later"])):
        await screen.holds(3)
        await embedded.restart()
        await _append(store, "one", 2, after=2)
        await screen.holds(5)
    assert screen.places() == [("one", revision) for revision in range(5)]
    assert [note.split(" (")[0] for note in screen.notes][:1] == ["the store was lost"]


async def test_an_outage_is_told_once_however_many_streams_are_followed(
    store: GrpcEventStore, screen: Screen, embedded: EmbeddedEventStore
) -> None:
    names = ["one", "two", "three"]
    for name in names:
        await _append(store, name, 1)
    async with _running(_tail(store, screen, follow=True).streams(names)):
        await screen.holds(3)
        await embedded.restart()
        for name in names:
            await _append(store, name, 1, after=0)
        await screen.holds(6)
    assert [note.split(" (")[0] for note in screen.notes] == ["the store was lost", "the store is back"]


@pytest.mark.parametrize("everything", [True, False])
async def test_following_starts_anew_when_the_store_is_another_one(
    tmp_path: Path, screen: Screen, *, everything: bool
) -> None:
    async with serve(("127.0.0.1", 0), None) as first:
        settings = EventStoreSettings(uri=first.uri)
        port = first.port
        async with open_event_store(settings) as store:
            await _append(store, "one", 3)
            tail = _tail(store, screen, follow=True)
            reading = tail.everything() if everything else tail.streams(["one"])
            async with _running(reading):
                await screen.holds(3)
                await first.stop_answering()
                async with serve(("127.0.0.1", port), tmp_path), open_event_store(settings) as other:
                    await _append(other, "one", 2)
                    await screen.holds(5)
    assert screen.places() == [("one", 0), ("one", 1), ("one", 2), ("one", 0), ("one", 1)]


@pytest.mark.parametrize("follow", [True, False])
async def test_store_that_was_never_reached_is_an_error(screen: Screen, *, follow: bool) -> None:
    async with open_event_store(EventStoreSettings(uri="esdb://127.0.0.1:1?tls=false")) as store:
        with pytest.raises(EventStoreUnavailable):
            await _tail(store, screen, follow=follow).everything()
        with pytest.raises(EventStoreUnavailable):
            await _tail(store, screen, follow=follow).streams(["one", "two"])
