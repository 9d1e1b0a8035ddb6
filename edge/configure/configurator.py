"""Follows the gateway's configuration stream, for ever, and answers every update on it exactly once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import structlog

from edge.configure.announce import Announcer
from edge.configure.desk import Desk
from edge.configure.following import Following, FollowingStatus
from edge.configure.given_answers import take_in_given_answers
from edge.configure.judge import Outcome
from edge.configure.subscription import find_resumption
from edge.domain.author import Author
from edge.domain.configuration import DeviceFleet
from edge.domain.event import RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    EventStore,
    EventStoreError,
    EventStoreUnavailable,
)
from edge.storage.answers import remove_old_answers, remove_pending_above
from edge.storage.checkpoints import Checkpoint, load_checkpoints, remove_checkpoints
from edge.storage.configurations import forget_revisions
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox

# While catching up, this many events make one transaction …
CHUNK_EVENTS_MAX = 64
# … or this many bytes.
CHUNK_BYTES_MAX = 1024 * 1024
# Updates of 64 KiB that wait in the database: at most 16 MiB of it, and of memory when they are judged.
WAITING_MAX = 256

VALID_OUTCOMES = (Outcome.APPLIED.value, Outcome.SUPERSEDED.value)

log = structlog.get_logger()


@dataclass(kw_only=True)
class Chunk:
    """Events that were read and not yet taken in."""

    events: list[RecordedEvent] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, event: RecordedEvent) -> None:
        """Put another one in."""
        self.events.append(event)
        self.size_bytes += len(event.data) + len(event.metadata)

    @property
    def is_full(self) -> bool:
        """Whether it should be taken in."""
        return len(self.events) >= CHUNK_EVENTS_MAX or self.size_bytes >= CHUNK_BYTES_MAX

    def take_out(self) -> list[RecordedEvent]:
        """Empty it."""
        events, self.events, self.size_bytes = self.events, [], 0
        return events


class Configurator:
    """The configuration loop's task."""

    def __init__(
        self,
        *,
        event_store: EventStore,
        outbox: Outbox,
        fleet: DeviceFleet,
        author: Author,
        chance: Callable[[], float],
        on_reached: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._event_store = event_store
        self._outbox = outbox
        self._fleet = fleet
        self._author = author
        # What the forwarder wants to know: the event store took the subscription; it did not, or ended it.
        self._on_reached = on_reached
        self._on_lost = on_lost
        self._announcer = Announcer(outbox=outbox, author=author, fleet=fleet)
        self._stream = author.stream(author.streams.configuration)
        self._following = Following(outbox=outbox, author=author, chance=chance)

    def status(self) -> FollowingStatus:
        """Tell how updates are followed."""
        return self._following.status()

    async def run(self) -> None:
        """Follow the stream; come back after every loss, for ever."""
        while True:
            try:
                # Needs no link: what is in force is said at every start, and after a commit of unknown outcome.
                await self._announcer.announce()
                await self._follow()
            except (EventStoreError, CommitFailed) as error:
                if isinstance(error, EventStoreUnavailable):
                    self._on_lost()
                await asyncio.sleep(self._following.interrupted(error))

    async def _follow(self) -> None:
        """Follow the stream until it is lost."""
        await take_in_given_answers(self._event_store, self._outbox, self._author)
        resumed_at = await self._resume()
        desk = Desk(
            outbox=self._outbox,
            author=self._author,
            fleet=self._fleet,
            announcer=self._announcer,
            resumed_at=resumed_at,
        )
        await desk.open()
        after = NO_STREAM if resumed_at is None else resumed_at.revision
        async with self._event_store.subscribe(self._stream, after_revision=after) as items:
            self._on_reached()
            await self._work(desk, items)

    async def _work(self, desk: Desk, items: AsyncIterator[RecordedEvent | CaughtUp]) -> None:
        chunk, is_live = Chunk(), False
        async for item in items:
            if isinstance(item, CaughtUp):
                self._following.caught_up()
                is_live = True
            else:
                chunk.add(item)
            if is_live or chunk.is_full:
                await desk.take(chunk.take_out())
            if is_live or desk.waiting_count >= WAITING_MAX:
                await desk.settle(is_final=is_live)

    async def _resume(self) -> Checkpoint | None:
        """Return the event after which to go on; forget what the stream no longer holds."""
        checkpoints = await load_checkpoints(self._outbox.database, self._stream)
        resumption = await find_resumption(self._event_store, self._stream, checkpoints)
        async with self._outbox.transaction() as transaction:
            await remove_old_answers(transaction, now_ms=self._author.clock.unix_ms())
            if resumption.has_gone_back:
                revision = NO_STREAM if resumption.after is None else resumption.after.revision
                log.warning("configuration_stream_went_back", stream=self._stream, to_revision=revision)
                await remove_checkpoints(transaction, self._stream, above_revision=revision)
                await remove_pending_above(transaction, revision)
                await forget_revisions(transaction, above_revision=revision, valid_outcomes=VALID_OUTCOMES)
        return resumption.after
