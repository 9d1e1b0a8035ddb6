"""What the conformance suite is run against: the fake, and any server on the wire."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import esdbclient
from esdbclient import AsyncEventStoreDBClient, StreamState
from esdbclient.exceptions import StreamIsDeleted, WrongCurrentVersion

from edge.domain.event import NewEvent
from edge.domain.event_store import NO_STREAM, EventStore, StreamDeleted, WrongExpectedRevision
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import open_event_store
from edge.event_store.refusals import actual_revision
from fakes.event_store import FakeEventStore, Weak


def new_event(event_id: UUID | None = None, *, data: bytes = b'{"value":1}', event_type: str = "Noted") -> NewEvent:
    """An event; with a fresh id if none is given."""
    return NewEvent(event_id=event_id or uuid4(), type=event_type, data=data, metadata=b'{"position":1}')


@dataclass(frozen=True)
class Subject:
    """A store under test, and what only its server's side can do."""

    store: EventStore
    # Append as any client may: with a weak expectation, or without events.
    append: Callable[[str, Sequence[NewEvent], int | Weak], Awaitable[None]]
    truncate: Callable[[str, int], Awaitable[None]]
    soft_delete: Callable[[str], Awaitable[None]]
    tombstone: Callable[[str], Awaitable[None]]
    # None where the suite cannot restart it.
    restart: Callable[[], Awaitable[None]] | None
    # Streams of one test, on a server that others have used before.
    prefix: str = field(default_factory=lambda: uuid4().hex[:12])

    def stream(self, name: str = "one") -> str:
        return f"conformance-{self.prefix}.{name}"

    async def ids(self, stream: str) -> list[UUID]:
        return [event.event_id for event in await self.store.read_forward(stream, from_revision=0, limit=1000)]


def fake_subject() -> Subject:
    fake = FakeEventStore()

    async def append(stream: str, events: Sequence[NewEvent], expected: int | Weak) -> None:
        await fake.append_as(stream, events, expected)

    async def truncate(stream: str, before: int) -> None:
        fake.truncate(stream, before)

    async def soft_delete(stream: str) -> None:
        fake.soft_delete(stream)

    async def tombstone(stream: str) -> None:
        fake.tombstone(stream)

    async def restart() -> None:
        fake.restart()

    return Subject(fake, append, truncate, soft_delete, tombstone, restart)


_STATES: dict[int | Weak, StreamState] = {
    NO_STREAM: StreamState.NO_STREAM,
    Weak.ANY: StreamState.ANY,
    Weak.EXISTS: StreamState.EXISTS,
}


@asynccontextmanager
async def wire_subject(
    uri: str, restart: Callable[[], Awaitable[None]] | None, credential: str | None = None
) -> AsyncIterator[Subject]:
    """A server, by our client; weak appends and deletions by the bare library."""
    settings = EventStoreSettings(uri=uri)
    async with open_event_store(settings, credential=credential) as store, AsyncEventStoreDBClient(uri) as library:
        await library.connect()

        async def append(stream: str, events: Sequence[NewEvent], expected: int | Weak) -> None:
            if events and isinstance(expected, int):
                await store.append(stream, events, expected_revision=expected)
                return
            bare = [
                esdbclient.NewEvent(id=event.event_id, type=event.type, data=event.data, metadata=event.metadata)
                for event in events
            ]
            state = _STATES.get(expected, expected)
            assert not isinstance(state, Weak)
            try:
                await library.append_to_stream(stream, current_version=state, events=bare, timeout=5)
            except WrongCurrentVersion as error:
                raise WrongExpectedRevision(str(error), actual=actual_revision(str(error))) from error
            except StreamIsDeleted as error:
                raise StreamDeleted(str(error)) from error

        async def truncate(stream: str, before: int) -> None:
            await library.set_stream_metadata(stream, metadata={"$tb": before}, timeout=5)

        async def soft_delete(stream: str) -> None:
            await library.delete_stream(stream, current_version=StreamState.ANY, timeout=5)

        async def tombstone(stream: str) -> None:
            await library.tombstone_stream(stream, current_version=StreamState.ANY, timeout=5)

        yield Subject(store, append, truncate, soft_delete, tombstone, restart)
