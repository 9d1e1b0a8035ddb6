"""The embedded store as a process's part: what it keeps, refuses and survives."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from esdbclient import EventStoreDBClient, StreamState
from esdbclient import NewEvent as LibraryEvent

from edge.domain.event import RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    EventStoreUnavailable,
    OutcomeUnknown,
    StreamDeleted,
    WrongExpectedRevision,
)
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import GrpcEventStore, open_event_store
from edge.event_store.embedded.database import PAGE_BYTES_MAX, Batch, DirectoryInUse, Span
from edge.event_store.embedded.server import EmbeddedEventStore, serve
from fakes.event_store_subjects import new_event


@asynccontextmanager
async def _client(embedded: EmbeddedEventStore) -> AsyncIterator[GrpcEventStore]:
    async with open_event_store(EventStoreSettings(uri=embedded.uri)) as store:
        yield store


async def _ids(store: GrpcEventStore, stream: str) -> list[UUID]:
    return [event.event_id for event in await store.read_forward(stream, from_revision=0, limit=10_000)]


async def test_what_was_acknowledged_is_there_after_a_start_anew(tmp_path: Path) -> None:
    events = [new_event() for _ in range(7)]
    async with serve(("127.0.0.1", 0), tmp_path) as embedded, _client(embedded) as store:
        await store.append("one", events[:3], expected_revision=NO_STREAM)
        await store.append("gone", events[:1], expected_revision=NO_STREAM)
        await store.append("one", events[3:], expected_revision=2)
    async with serve(("127.0.0.1", 0), tmp_path) as embedded, _client(embedded) as store:
        assert await _ids(store, "one") == [event.event_id for event in events]
        # Known from disk, not from memory.
        await store.append("one", events[2:], expected_revision=1)
        with pytest.raises(WrongExpectedRevision):
            await store.append("one", [new_event()], expected_revision=1)
        async with store.subscribe_all(after_position=None) as items:
            streams = []
            async for item in items:
                if isinstance(item, CaughtUp):
                    break
                streams.append(item.event.stream)
        assert streams == ["one"] * 3 + ["gone"] + ["one"] * 4


async def test_tombstones_and_truncation_are_there_after_a_start_anew(tmp_path: Path) -> None:
    async with serve(("127.0.0.1", 0), tmp_path) as embedded, _client(embedded) as store:
        for stream in ("dead", "short"):
            await store.append(stream, [new_event() for _ in range(3)], expected_revision=NO_STREAM)
        await asyncio.to_thread(_prepare, embedded.uri)
    async with serve(("127.0.0.1", 0), tmp_path) as embedded, _client(embedded) as store:
        with pytest.raises(StreamDeleted):
            await store.append("dead", [new_event()], expected_revision=2)
        assert [event.revision for event in await store.read_forward("short", from_revision=0, limit=9)] == [2]


def _prepare(uri: str) -> None:
    # The library's other client, with threads; it must find what it needs as well.
    with EventStoreDBClient(uri) as library:
        library.tombstone_stream("dead", current_version=StreamState.ANY)
        library.set_stream_metadata("short", metadata={"$maxCount": 1})


async def test_older_append_call_of_other_clients_is_understood(embedded: EmbeddedEventStore) -> None:
    def call() -> None:
        with EventStoreDBClient(embedded.uri) as library:
            streams = library._connection.streams
            event = LibraryEvent(type="Noted", data=b"{}")
            streams.append("one", StreamState.NO_STREAM, [event])
            streams.append("one", StreamState.NO_STREAM, [event])
            with pytest.raises(Exception, match="does not exist"):
                streams.append("two", 5, [event])
            assert [found.id for found in library.get_stream("one")] == [event.id]

    await asyncio.to_thread(call)


async def test_second_store_on_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    async with serve(("127.0.0.1", 0), tmp_path):
        with pytest.raises(DirectoryInUse, match=r"process \d+.*" + tmp_path.name):
            async with serve(("127.0.0.1", 0), tmp_path):
                pass
    async with serve(("127.0.0.1", 0), tmp_path):
        pass


async def test_port_that_is_held_is_an_error_and_not_shared(embedded: EmbeddedEventStore) -> None:
    with pytest.raises(OSError, match="cannot be bound"):
        async with serve(("127.0.0.1", embedded.port), None):
            pass


async def test_appends_that_wait_together_go_to_disk_together(embedded: EmbeddedEventStore) -> None:
    commits: list[int] = []
    database = embedded._log._database
    write = database.write

    async def counted(batches: list[Batch], heads: object) -> None:
        commits.append(len(batches))
        await write(batches, heads)  # type: ignore[arg-type]

    database.write = counted  # type: ignore[method-assign, assignment]
    async with _client(embedded) as store:
        await asyncio.gather(
            *(store.append(f"s{n}", [new_event()], expected_revision=NO_STREAM) for n in range(50)),
        )
    assert sum(commits) == 50
    assert len(commits) < 50


async def test_full_disk_is_survived_and_nothing_is_half_written(embedded: EmbeddedEventStore) -> None:
    database = embedded._log._database
    write = database.write

    async def refuse(_batches: object, _heads: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with _client(embedded) as store:
        event = new_event()
        database.write = refuse  # type: ignore[method-assign, assignment]
        with pytest.raises(OutcomeUnknown):
            await store.append("one", [event], expected_revision=NO_STREAM)
        database.write = write  # type: ignore[method-assign]
        await store.append("one", [event], expected_revision=NO_STREAM)
        assert await _ids(store, "one") == [event.event_id]


async def test_slow_reader_of_a_subscription_does_not_make_the_server_read_ahead(embedded: EmbeddedEventStore) -> None:
    read: list[int] = []
    database = embedded._log._database
    page = database.page

    async def counted(span: Span, *, backward: bool) -> list[Batch]:
        batches = await page(span, backward=backward)
        read.append(sum(len(batch.body) for batch in batches))
        return batches

    async with _client(embedded) as store:
        for revision in range(-1, 159):
            await store.append("one", [new_event(data=b'"%s"' % (b"x" * 250_000))], expected_revision=revision)
        database.page = counted  # type: ignore[method-assign]
        async with store.subscribe("one", after_revision=NO_STREAM) as items:
            assert isinstance(await anext(items), RecordedEvent)
            before = -1
            while before != len(read):
                before = len(read)
                await asyncio.sleep(0.2)
            # 40 MB stand there. What the client's queue does not take, gRPC holds back, and the server does not read.
            assert sum(read) < 20_000_000
            assert max(read) < 2 * PAGE_BYTES_MAX
            assert [type(await anext(items)) for _ in range(160)] == [RecordedEvent] * 159 + [CaughtUp]


async def test_store_that_stops_ends_its_subscriptions_and_comes_back(embedded: EmbeddedEventStore) -> None:
    async with _client(embedded) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        async with store.subscribe("one", after_revision=NO_STREAM) as items:
            assert isinstance(await anext(items), RecordedEvent)
            assert isinstance(await anext(items), CaughtUp)
            await embedded.restart()
            with pytest.raises(EventStoreUnavailable):
                await anext(items)
        await store.append("one", [new_event()], expected_revision=0)


async def test_store_said_to_be_unavailable_refuses_everything_until_it_is_not(embedded: EmbeddedEventStore) -> None:
    async with _client(embedded) as store, store.subscribe("one", after_revision=NO_STREAM) as items:
        assert isinstance(await anext(items), CaughtUp)
        embedded.become_unavailable()
        with pytest.raises(EventStoreUnavailable):
            await anext(items)
        with pytest.raises(EventStoreUnavailable):
            await store.read_backward("one", limit=1)
        with pytest.raises(OutcomeUnknown):
            await store.append("one", [new_event()], expected_revision=NO_STREAM)
        embedded.faults.unavailable = False
        await store.append("one", [new_event()], expected_revision=NO_STREAM)


async def test_expired_events_are_hidden(tmp_path: Path) -> None:
    now = [0]
    async with serve(("127.0.0.1", 0), tmp_path, ticks=lambda: now[0]) as embedded, _client(embedded) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        now[0] = 50 * 10_000_000
        await store.append("one", [new_event()], expected_revision=0)
        await asyncio.to_thread(_keep_a_minute, embedded.uri)
        assert len(await _ids(store, "one")) == 2
        now[0] = 61 * 10_000_000
        assert [event.revision for event in await store.read_forward("one", from_revision=0, limit=9)] == [1]


def _keep_a_minute(uri: str) -> None:
    with EventStoreDBClient(uri) as library:
        library.set_stream_metadata("one", metadata={"$maxAge": 60})
