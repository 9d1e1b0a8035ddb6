"""Brings what this file believes of a stream and what the event store holds together (DESIGN "Exactly once, precisely").

Done for each stream when a run first uses it, after each loss of the link, and after each refusal or unknown outcome.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.author import Author
from edge.domain.event import RecordedEvent
from edge.domain.event_store import NO_STREAM, EventStore, EventStoreUnavailable, StreamNotFound
from edge.domain.facts import EventStoreRestored, OutboxCloneDetected, OutboxRestored
from edge.domain.json_form import json_of
from edge.forward.link import Trust
from edge.forward.queues import Queues, StreamQueue
from edge.forward.reconcile import (
    Kinship,
    Landed,
    Mark,
    Origin,
    Remains,
    Standing,
    origin_of,
    standing,
    standing_at_end,
)
from edge.storage.cursors import Cursors, Span, covers
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# Events of one read. A reconcile after a lost answer reads one batch; reading is slow in the client (5,000 events/s).
PAGE_EVENTS = 200
# A stranger is mended by a person, and comes back within minutes where it is not.
FOREIGN_QUIET_S = 3600.0

OUTBOX_CLONED = AlarmIdentity(alarm=AlarmKind.OUTBOX_CLONED)


class CloneDetected(Exception):  # noqa: N818 - the vocabulary's word
    """Another daemon with a copy of this database forwards into the same streams. Remedy: a person decides."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Verifies one stream at a time; its state is in the queues and cursors."""

    event_store: EventStore
    outbox: Outbox
    queues: Queues
    author: Author
    # The last position of the runs before this one: only entries up to here can have landed without us knowing.
    first_position: int
    trust: Trust
    # Called once per stream and kind of stranger, to raise an alarm.
    on_foreign: Callable[[StreamQueue, RecordedEvent], None]
    # Called when a stream shows that the event store was restored, and no other stream had shown it before.
    on_restored: Callable[[], None]

    async def verify(self, queue: StreamQueue) -> None:
        """Read the stream back and move its cursor to where it really is. Raises EventStoreError, CloneDetected."""
        distrusted, is_suspect = queue.distrusted, queue.is_suspect
        cursor = self.outbox.cursors[queue.number]
        if cursor.acked_revision is None:
            await self._adopt(queue)
        else:
            await self._continue(queue, cursor.acked_revision, cursor.acked_event_id)
        queue.compared, queue.is_tail_seen = distrusted, True
        queue.refused_at = None
        if queue.is_verified and (is_suspect or queue.marks.is_empty):
            queue.is_suspect = False
            self._begin_marks(queue)

    async def _origin(self, queue: StreamQueue, event: RecordedEvent) -> Origin:
        origin = origin_of(event, gateway_id=self.author.gateway_id, is_known=self.outbox.is_known)
        if origin.kinship is not Kinship.OURS or origin.position is None:
            return origin
        entry = await self.outbox.find_entry(origin.position)
        if entry is not None and (entry.stream, entry.event_id) != (queue.number, event.event_id):
            # Somebody's tool copied an event with its metadata: taking its position for ours would lose what is pending.
            return Origin(kinship=Kinship.FOREIGN)
        return origin

    async def _adopt(self, queue: StreamQueue) -> None:
        """Take over a stream that this file, as far as it knows, never appended to. Never reads its history."""
        try:
            tail = await self.event_store.read_backward(queue.name, limit=1)
        except StreamNotFound:
            tail = []
        if not tail:
            # Nothing there, or all of it truncated: a refusal tells the revision then.
            revision = NO_STREAM if queue.refused_at is None else queue.refused_at
            self._acknowledge(queue, Landed(revision=revision, event_id=None))
            return
        landed = Landed(revision=tail[0].revision, event_id=tail[0].event_id)
        landed.add(tail[0], await self._origin(queue, tail[0]))
        cursor = self.outbox.cursors[queue.number]
        has_older_entries = cursor.is_lagging and cursor.forwarded_position < self.first_position
        if landed.position == 0 and has_older_entries:
            # A database that was restored: entries of its earlier runs may have landed before the tail.
            landed.position = await self._newest_known_position(queue, before=tail[0].revision)
        await self._take_over(queue, landed)

    async def _newest_known_position(self, queue: StreamQueue, *, before: int) -> int:
        """Read backward to the newest event of ours. Ends at the latest where the lost life began."""
        async for event in self._read_to_start(queue, from_revision=before - 1):
            position = await self._position_of_ours(queue, event)
            if position is not None:
                return position
        return 0

    async def _continue(self, queue: StreamQueue, acked: int, acked_event_id: UUID | None) -> None:
        try:
            page = await self.event_store.read_forward(queue.name, from_revision=max(acked, 0), limit=PAGE_EVENTS)
        except StreamNotFound:
            # Softly deleted, or a store that was replaced: an append after the exact revision tells which.
            is_pending = self.outbox.cursors[queue.number].is_lagging
            if acked != NO_STREAM and (queue.refused_at == NO_STREAM or not is_pending):
                await self._went_back(queue, acked, fallen=acked)
            return
        found = standing(acked, acked_event_id, page)
        if found is Standing.UNSEEN:
            tail = await self.event_store.read_backward(queue.name, limit=1)
            found = standing_at_end(acked, acked_event_id, tail)
            if found is Standing.UNSEEN:
                raise EventStoreUnavailable(f"{queue.name} changes while it is read back")
        fallen = await self._fallen_mark(queue, acked)
        if found is Standing.WENT_BACK or fallen is not None:
            await self._went_back(queue, acked, fallen=acked if fallen is None else fallen)
        elif not page and queue.refused_at is not None:
            self._settle_unseen(queue, acked, queue.refused_at)
        else:
            await self._read_on(queue, acked, acked_event_id, page)

    async def _fallen_mark(self, queue: StreamQueue, acked: int) -> int | None:
        """Return the revision of the oldest acknowledged event in whose place another one stands; None: all hold."""
        for mark in queue.marks.before(acked) if queue.is_suspect else ():
            page = await self.event_store.read_forward(queue.name, from_revision=mark.revision, limit=1)
            if standing(mark.revision, mark.event_id, page) is Standing.WENT_BACK:
                return mark.revision
        return None

    def _begin_marks(self, queue: StreamQueue) -> None:
        cursor = self.outbox.cursors[queue.number]
        if cursor.acked_revision is None or cursor.acked_event_id is None:
            queue.marks.begin(None)
        else:
            queue.marks.begin(Mark(cursor.acked_revision, cursor.acked_event_id))

    def _settle_unseen(self, queue: StreamQueue, acked: int, revision: int) -> None:
        """All events are truncated, yet the revision is another: there was one writer, so the difference is ours."""
        log.warning("stream_read_truncated", stream=queue.name, acked_revision=acked, revision=revision)
        # A stream adopted just now holds nothing of ours.
        landed = [] if acked == NO_STREAM else list(queue.entries)[: max(0, revision - acked)]
        position = landed[-1].position if landed else 0
        self._acknowledge(queue, Landed(revision=revision, event_id=None, position=position, count=len(landed)))

    async def _read_on(
        self, queue: StreamQueue, acked: int, acked_event_id: UUID | None, page: list[RecordedEvent]
    ) -> None:
        landed = Landed(revision=acked, event_id=acked_event_id)
        while page:
            for event in page:
                if event.revision > acked:
                    landed.add(event, await self._origin(queue, event))
            if len(page) < PAGE_EVENTS:
                break
            page = await self.event_store.read_forward(
                queue.name, from_revision=page[-1].revision + 1, limit=PAGE_EVENTS
            )
        if landed.revision > acked:
            await self._take_over(queue, landed)
            log.info("stream_reconciled", stream=queue.name, revision=landed.revision, landed=landed.count)

    def _acknowledge(self, queue: StreamQueue, landed: Landed) -> None:
        _move(self.outbox.cursors, queue, landed)
        self._acknowledged(queue, landed)

    def _acknowledged(self, queue: StreamQueue, landed: Landed) -> None:
        if landed.revision != NO_STREAM:
            self.trust.acknowledge_unplaced()
        if landed.event_id is not None:
            queue.marks.note(Mark(landed.revision, landed.event_id))
        self.queues.forwarded(queue, landed.position)

    async def _take_over(self, queue: StreamQueue, landed: Landed) -> None:
        """Acknowledge what was read, and tell of what is not ours."""
        if landed.foreign is not None:
            self.on_foreign(queue, landed.foreign)
        if landed.estranged is None:
            self._acknowledge(queue, landed)
            return
        event, origin = landed.estranged
        assert origin.run is not None, "an estranged event tells its run"
        assert origin.position is not None, "an estranged event tells its position"
        if queue.is_tail_seen:
            clone = OutboxCloneDetected(
                stream=queue.name,
                revision=landed.revision,
                event_id=event.event_id,
                run=origin.run,
                position=origin.position,
            )
            message = "another daemon with a copy of this database forwards, too; nothing more is forwarded from here"
            await self.outbox.record(self.author.control(clone), self.author.alarm_raised(OUTBOX_CLONED, message))
            raise CloneDetected(
                f"{queue.name} has events of another life of this gateway, from revision {event.revision}"
            )
        log.error("outbox_restored", stream=queue.name, revision=landed.revision, run=str(origin.run))
        restored = OutboxRestored(
            stream=queue.name,
            revision=landed.revision,
            event_id=event.event_id,
            run=origin.run,
            position=origin.position,
            reason="unknown_run",
        )
        await self.outbox.record_move(self.author.control(restored), move=lambda cursors: _move(cursors, queue, landed))
        self._acknowledged(queue, landed)

    async def _went_back(self, queue: StreamQueue, acked: int, *, fallen: int) -> None:
        """The store was restored or replaced: what it lost is pending again, as far as it is retained.

        `fallen` is the oldest revision known to hold another event, or none, where one of ours was acknowledged.
        """
        if not queue.is_suspect:
            self.on_restored()
        self.trust.forget()
        remains = await self._remains(queue, fallen)
        landed = remains.landed(self.outbox.cursors[queue.number].landed)
        tail = remains.tail
        async with self.outbox.hold(after=remains.position):
            again = await self._count_retained(queue, after=remains.position, landed=landed)
            gone = acked - remains.found - sum(revision <= acked for revision in remains.above)
            restored = EventStoreRestored(
                stream=queue.name,
                expected_revision=acked,
                found_revision=remains.found,
                sent_again=again,
                lost=max(0, gone - again),
            )
            log.error("event_store_restored", **json_of(restored))

            def move(cursors: Cursors) -> None:
                cursors.rewind(
                    queue.number,
                    revision=NO_STREAM if tail is None else tail.revision,
                    event_id=None if tail is None else tail.event_id,
                    position=remains.position,
                    count=again,
                    landed=landed,
                )
                if cursors is self.outbox.cursors:
                    # At once: the backlog head moves the cursor of an empty queue to where that is filled to.
                    self.queues.restart(queue, remains.position)

            await self.outbox.record_move(self.author.control(restored), move=move)
        self._begin_marks(queue)

    async def _remains(self, queue: StreamQueue, fallen: int) -> Remains:
        """Find the newest event of ours below `fallen`, and what of ours stands above it."""
        remains = Remains()
        cursor = self.outbox.cursors[queue.number]
        async for event in self._read_to_end(queue, from_revision=max(fallen, 0)):
            remains.tail = event
            position = await self._position_of_ours(queue, event)
            if position is not None:
                remains.above[event.revision] = position
        async for event in self._read_to_start(queue, from_revision=None if remains.tail is None else fallen - 1):
            remains.tail = remains.tail or event
            position = await self._position_of_ours(queue, event)
            if position is None:
                continue
            if not cursor.has_landed(position):
                remains.known, remains.position = event, position
                break
            remains.above[event.revision] = position
        return remains

    async def _position_of_ours(self, queue: StreamQueue, event: RecordedEvent) -> int | None:
        origin = await self._origin(queue, event)
        return origin.position if origin.kinship is Kinship.OURS else None

    async def _read_to_end(self, queue: StreamQueue, *, from_revision: int) -> AsyncIterator[RecordedEvent]:
        """Read a stream forward. One that is not there has no events."""
        page_size = PAGE_EVENTS
        while page_size == PAGE_EVENTS:
            try:
                page = await self.event_store.read_forward(queue.name, from_revision=from_revision, limit=PAGE_EVENTS)
            except StreamNotFound:
                return
            for event in page:
                yield event
                from_revision = event.revision + 1
            page_size = len(page)

    async def _read_to_start(self, queue: StreamQueue, *, from_revision: int | None) -> AsyncIterator[RecordedEvent]:
        """Read a stream backward, from its end where no revision is given. One that is not there has no events."""
        while from_revision is None or from_revision >= 0:
            try:
                page = await self.event_store.read_backward(queue.name, limit=PAGE_EVENTS, from_revision=from_revision)
            except StreamNotFound:
                return
            for event in page:
                yield event
                from_revision = event.revision - 1
            if not page:
                return

    async def _count_retained(self, queue: StreamQueue, *, after: int, landed: list[Span]) -> int:
        """Count the entries between a position and what was forwarded: they will be sent again."""
        forwarded = min(self.outbox.cursors[queue.number].forwarded_position, queue.last_position)
        count = 0
        async for positions in self.outbox.positions_of(queue.number, after=after, through=forwarded):
            count += sum(not covers(landed, position) for position in positions)
        return count


def _move(cursors: Cursors, queue: StreamQueue, landed: Landed) -> None:
    cursors.acknowledge(
        queue.number,
        revision=landed.revision,
        event_id=landed.event_id,
        position=landed.position,
        count=landed.count,
    )
    if landed.revision != NO_STREAM:
        # What was read may lie after the witness.
        cursors.witness = None


class ForwardingAlarms:
    """What stands, at first as earlier runs left it."""

    def __init__(self, outbox: Outbox, author: Author) -> None:
        self._outbox = outbox
        self._author = author
        now_s = author.clock.monotonic_s()
        # Stream -> when an event of somebody else was last found in it, or this run began.
        self._foreign_s = {
            alarm.identity.stream: now_s
            for alarm in outbox.alarms
            if alarm.identity.alarm == AlarmKind.FOREIGN_EVENT and alarm.identity.stream is not None
        }
        # An earlier run parked forwarding; that ended with it.
        self._was_cloned = OUTBOX_CLONED in outbox.alarms

    def begin(self) -> None:
        """Clear the alarms of streams that were parked in an earlier run and are parked no more."""
        streams = self._outbox.streams
        parked = {streams.name(number) for number in streams.parked()}
        for alarm in self._outbox.alarms:
            if alarm.identity.alarm == AlarmKind.STREAM_PARKED and alarm.identity.stream not in parked:
                self._outbox.offer(self._author.alarm_cleared(alarm.identity))

    def foreign_found(self, stream: str, event: RecordedEvent) -> None:
        """Note that somebody else writes into our stream: safe, but it costs a read each time."""
        if stream not in self._foreign_s:
            log.error("foreign_event_found", stream=stream, revision=event.revision, type=event.type)
        message = f"{stream} holds events that this gateway did not write, the first at revision {event.revision}"
        if self._outbox.offer(self._author.alarm_raised(_foreign(stream), message)):
            self._foreign_s[stream] = self._author.clock.monotonic_s()

    def forwarded(self) -> None:
        """Note that the event store answered: clear what is over. Costs nothing while nothing stands."""
        if self._was_cloned:
            self._was_cloned = not self._outbox.offer(self._author.alarm_cleared(OUTBOX_CLONED))
        now_s = self._author.clock.monotonic_s()
        for stream, found_s in list(self._foreign_s.items()):
            if now_s - found_s < FOREIGN_QUIET_S:
                continue
            if self._outbox.offer(self._author.alarm_cleared(_foreign(stream))):
                log.info("foreign_events_ended", stream=stream)
                del self._foreign_s[stream]


def _foreign(stream: str) -> AlarmIdentity:
    return AlarmIdentity(alarm=AlarmKind.FOREIGN_EVENT, stream=stream)
