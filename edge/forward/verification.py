"""Compares the cursor of a stream with the event store, and moves it (DESIGN "Exactly once, precisely").

Done for each stream when a run first uses it, after each loss of the link, and after each refusal or unknown outcome.
"""

from collections.abc import AsyncIterator
from uuid import UUID

import structlog

from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.author import Author
from edge.domain.event import RecordedEvent
from edge.domain.event_store import NO_STREAM, EventStoreUnavailable, StreamNotFound
from edge.domain.facts import EventStoreRestored, OutboxCloneDetected, OutboxRestored
from edge.domain.json_form import json_of
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
from edge.forward.stream import Stream
from edge.storage.cursors import Cursors, Span, covers
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# Events of one read. A reconcile after a lost answer reads one batch; reading is slow in the client (5,000 events/s).
PAGE_EVENTS = 200
# A person removes another writer; one that stays comes back within minutes.
FOREIGN_QUIET_S = 3600.0

OUTBOX_CLONED = AlarmIdentity(alarm=AlarmKind.OUTBOX_CLONED)


class CloneDetected(Exception):  # noqa: N818 - the vocabulary's word
    """Another daemon with a copy of this database forwards into the same streams. Remedy: a person decides."""


async def verify(stream: Stream) -> None:
    """Read the stream back and move its cursor to where it really is. Raises EventStoreError, CloneDetected."""
    distrusted, is_suspect = stream.distrusted, stream.is_suspect
    cursor = stream.cursor
    if cursor.acked_revision is None:
        await _adopt(stream)
    else:
        await _continue(stream, cursor.acked_revision, cursor.acked_event_id)
    stream.compared, stream.is_tail_seen = distrusted, True
    stream.refused_at = None
    if stream.is_verified and (is_suspect or stream.marks.is_empty):
        stream.is_suspect = False
        _begin_marks(stream)


async def _origin(stream: Stream, event: RecordedEvent) -> Origin:
    origin = origin_of(event, gateway_id=stream.shared.author.gateway_id, is_known=stream.shared.outbox.is_known)
    if origin.kinship is not Kinship.OURS or origin.position is None:
        return origin
    entry = await stream.shared.outbox.find_entry(origin.position)
    if entry is not None and (entry.stream, entry.event_id) != (stream.number, event.event_id):
        # A tool copied an event with its metadata: taking its position for ours would lose what is pending.
        return Origin(kinship=Kinship.FOREIGN)
    return origin


async def _adopt(stream: Stream) -> None:
    """Take over a stream that this file, as far as it knows, never appended to. Never reads its history."""
    try:
        tail = await stream.shared.event_store.read_backward(stream.name, limit=1)
    except StreamNotFound:
        tail = []
    if not tail:
        # Nothing there, or all of it truncated: a refusal tells the revision then.
        revision = NO_STREAM if stream.refused_at is None else stream.refused_at
        _acknowledge(stream, Landed(revision=revision, event_id=None))
        return
    landed = Landed(revision=tail[0].revision, event_id=tail[0].event_id)
    landed.add(tail[0], await _origin(stream, tail[0]))
    cursor = stream.cursor
    has_older_entries = cursor.is_lagging and cursor.forwarded_position < stream.shared.first_position
    if landed.position == 0 and has_older_entries:
        # A database that was restored: entries of its earlier runs may have landed before the tail.
        landed.position = await _newest_known_position(stream, before=tail[0].revision)
    await _take_over(stream, landed)


async def _newest_known_position(stream: Stream, *, before: int) -> int:
    """Read backward to the newest event of ours. Ends at the latest where the lost runs began."""
    async for event in _read_to_start(stream, from_revision=before - 1):
        position = await _position_of_ours(stream, event)
        if position is not None:
            return position
    return 0


async def _continue(stream: Stream, acked: int, acked_event_id: UUID | None) -> None:
    try:
        page = await stream.shared.event_store.read_forward(stream.name, from_revision=max(acked, 0), limit=PAGE_EVENTS)
    except StreamNotFound:
        # Softly deleted, or a store that was replaced: an append after the exact revision tells which.
        is_pending = stream.cursor.is_lagging
        if acked != NO_STREAM and (stream.refused_at == NO_STREAM or not is_pending):
            await _went_back(stream, acked, fallen=acked)
        return
    found = standing(acked, acked_event_id, page)
    if found is Standing.UNSEEN:
        tail = await stream.shared.event_store.read_backward(stream.name, limit=1)
        found = standing_at_end(acked, acked_event_id, tail)
        if found is Standing.UNSEEN:
            raise EventStoreUnavailable(f"{stream.name} changes while it is read back")
    fallen = await _fallen_mark(stream, acked)
    if found is Standing.WENT_BACK or fallen is not None:
        await _went_back(stream, acked, fallen=acked if fallen is None else fallen)
    elif not page and stream.refused_at is not None:
        _settle_unseen(stream, acked, stream.refused_at)
    else:
        await _read_on(stream, acked, acked_event_id, page)


async def _fallen_mark(stream: Stream, acked: int) -> int | None:
    """Return the revision of the oldest acknowledged event in whose place another one stands; None: all hold."""
    for mark in stream.marks.before(acked) if stream.is_suspect else ():
        page = await stream.shared.event_store.read_forward(stream.name, from_revision=mark.revision, limit=1)
        if standing(mark.revision, mark.event_id, page) is Standing.WENT_BACK:
            return mark.revision
    return None


def _begin_marks(stream: Stream) -> None:
    cursor = stream.cursor
    if cursor.acked_revision is None or cursor.acked_event_id is None:
        stream.marks.begin(None)
    else:
        stream.marks.begin(Mark(cursor.acked_revision, cursor.acked_event_id))


def _settle_unseen(stream: Stream, acked: int, revision: int) -> None:
    """All events are truncated, yet the revision is another: there was one writer, so the difference is ours."""
    log.warning("stream_read_truncated", stream=stream.name, acked_revision=acked, revision=revision)
    # A stream adopted just now holds nothing of ours.
    landed = [] if acked == NO_STREAM else list(stream.entries)[: max(0, revision - acked)]
    position = landed[-1].position if landed else 0
    _acknowledge(stream, Landed(revision=revision, event_id=None, position=position, count=len(landed)))


async def _read_on(stream: Stream, acked: int, acked_event_id: UUID | None, page: list[RecordedEvent]) -> None:
    landed = Landed(revision=acked, event_id=acked_event_id)
    while page:
        for event in page:
            if event.revision > acked:
                landed.add(event, await _origin(stream, event))
        if len(page) < PAGE_EVENTS:
            break
        page = await stream.shared.event_store.read_forward(
            stream.name, from_revision=page[-1].revision + 1, limit=PAGE_EVENTS
        )
    if landed.revision > acked:
        await _take_over(stream, landed)
        log.info("stream_reconciled", stream=stream.name, revision=landed.revision, landed=landed.count)


def _acknowledge(stream: Stream, landed: Landed) -> None:
    _move(stream.shared.outbox.cursors, stream, landed)
    _acknowledged(stream, landed)


def _acknowledged(stream: Stream, landed: Landed) -> None:
    if landed.revision != NO_STREAM:
        stream.shared.trust.acknowledge_unplaced()
    if landed.event_id is not None:
        stream.marks.note(Mark(landed.revision, landed.event_id))
    stream.forwarded(landed.position)


async def _take_over(stream: Stream, landed: Landed) -> None:
    """Acknowledge what was read, and tell of what is not ours."""
    shared = stream.shared
    if landed.foreign is not None:
        shared.on_foreign(stream.name, landed.foreign)
    if landed.of_unknown_run is None:
        _acknowledge(stream, landed)
        return
    event, origin = landed.of_unknown_run
    assert origin.run is not None, "an event of an unknown run has one"
    assert origin.position is not None, "an event of an unknown run has a position"
    if stream.is_tail_seen:
        clone = OutboxCloneDetected(
            stream=stream.name,
            revision=landed.revision,
            event_id=event.event_id,
            run=origin.run,
            position=origin.position,
        )
        message = "another daemon with a copy of this database forwards, too; nothing more is forwarded from here"
        await shared.outbox.record(shared.author.control(clone), shared.author.alarm_raised(OUTBOX_CLONED, message))
        raise CloneDetected(
            f"{stream.name} has events of ours that this database does not know, from revision {event.revision}"
        )
    log.error("outbox_restored", stream=stream.name, revision=landed.revision, run=str(origin.run))
    restored = OutboxRestored(
        stream=stream.name,
        revision=landed.revision,
        event_id=event.event_id,
        run=origin.run,
        position=origin.position,
        reason="unknown_run",
    )
    await shared.outbox.record_move(
        shared.author.control(restored), move=lambda cursors: _move(cursors, stream, landed)
    )
    _acknowledged(stream, landed)


async def _went_back(stream: Stream, acked: int, *, fallen: int) -> None:
    """The store was restored or replaced: what it lost is pending again, as far as it is retained.

    `fallen` is the oldest revision known to hold another event, or none, where one of ours was acknowledged.
    """
    shared = stream.shared
    if not stream.is_suspect:
        shared.on_restored()
    shared.trust.forget()
    remains = await _remains(stream, fallen)
    landed = remains.landed(stream.cursor.landed)
    tail = remains.tail
    async with shared.outbox.hold(after=remains.position):
        again = await _count_retained(stream, after=remains.position, landed=landed)
        gone = acked - remains.found - sum(revision <= acked for revision in remains.above)
        restored = EventStoreRestored(
            stream=stream.name,
            expected_revision=acked,
            found_revision=remains.found,
            sent_again=again,
            lost=max(0, gone - again),
        )
        log.error("event_store_restored", **json_of(restored))

        def move(cursors: Cursors) -> None:
            cursors.rewind(
                stream.number,
                revision=NO_STREAM if tail is None else tail.revision,
                event_id=None if tail is None else tail.event_id,
                position=remains.position,
                count=again,
                landed=landed,
            )
            if cursors is shared.outbox.cursors:
                # At once: the backlog head moves the cursor of a stream without entries to where that is filled to.
                stream.restart(remains.position)

        await shared.outbox.record_move(shared.author.control(restored), move=move)
    _begin_marks(stream)


async def _remains(stream: Stream, fallen: int) -> Remains:
    """Find the newest event of ours below `fallen`, and what of ours stands above it."""
    remains = Remains()
    cursor = stream.cursor
    async for event in _read_to_end(stream, from_revision=max(fallen, 0)):
        remains.tail = event
        position = await _position_of_ours(stream, event)
        if position is not None:
            remains.above[event.revision] = position
    async for event in _read_to_start(stream, from_revision=None if remains.tail is None else fallen - 1):
        remains.tail = remains.tail or event
        position = await _position_of_ours(stream, event)
        if position is None:
            continue
        if not cursor.has_landed(position):
            remains.known, remains.position = event, position
            break
        remains.above[event.revision] = position
    return remains


async def _position_of_ours(stream: Stream, event: RecordedEvent) -> int | None:
    origin = await _origin(stream, event)
    return origin.position if origin.kinship is Kinship.OURS else None


async def _read_to_end(stream: Stream, *, from_revision: int) -> AsyncIterator[RecordedEvent]:
    """Read a stream forward. One that is not there has no events."""
    page_size = PAGE_EVENTS
    while page_size == PAGE_EVENTS:
        try:
            page = await stream.shared.event_store.read_forward(
                stream.name, from_revision=from_revision, limit=PAGE_EVENTS
            )
        except StreamNotFound:
            return
        for event in page:
            yield event
            from_revision = event.revision + 1
        page_size = len(page)


async def _read_to_start(stream: Stream, *, from_revision: int | None) -> AsyncIterator[RecordedEvent]:
    """Read a stream backward, from its end where no revision is given. One that is not there has no events."""
    while from_revision is None or from_revision >= 0:
        try:
            page = await stream.shared.event_store.read_backward(
                stream.name, limit=PAGE_EVENTS, from_revision=from_revision
            )
        except StreamNotFound:
            return
        for event in page:
            yield event
            from_revision = event.revision - 1
        if not page:
            return


async def _count_retained(stream: Stream, *, after: int, landed: list[Span]) -> int:
    """Count the entries between a position and what was forwarded: they will be sent again."""
    forwarded = min(stream.cursor.forwarded_position, stream.last_position)
    count = 0
    async for positions in stream.shared.outbox.positions_of(stream.number, after=after, through=forwarded):
        count += sum(not covers(landed, position) for position in positions)
    return count


def _move(cursors: Cursors, stream: Stream, landed: Landed) -> None:
    cursors.acknowledge(
        stream.number,
        revision=landed.revision,
        event_id=landed.event_id,
        position=landed.position,
        count=landed.count,
    )
    if landed.revision != NO_STREAM:
        # What was read may lie after the witness.
        cursors.witness = None


class ForeignWriterAlarms:
    """The alarms about others that write into our streams, at first as earlier runs left them."""

    def __init__(self, outbox: Outbox, author: Author) -> None:
        self._outbox = outbox
        self._author = author
        now_s = author.clock.monotonic_s()
        # Stream -> when a foreign event was last found in it, or this run began.
        self._foreign_s = {
            alarm.identity.stream: now_s
            for alarm in outbox.alarms
            if alarm.identity.alarm == AlarmKind.FOREIGN_EVENT and alarm.identity.stream is not None
        }
        # An earlier run parked forwarding; that ended with it.
        self._was_cloned = OUTBOX_CLONED in outbox.alarms

    def found(self, stream: str, event: RecordedEvent) -> None:
        """Note that another writer writes into our stream: safe, but it costs a read each time."""
        if stream not in self._foreign_s:
            log.error("foreign_event_found", stream=stream, revision=event.revision, type=event.type)
        message = f"{stream} holds events that this gateway did not write, the first at revision {event.revision}"
        if self._outbox.offer(self._author.alarm_raised(_foreign(stream), message)):
            self._foreign_s[stream] = self._author.clock.monotonic_s()

    def clear(self) -> None:
        """Clear what is over, since the event store answered. Costs nothing while nothing stands."""
        if self._was_cloned:
            self._was_cloned = not self._outbox.offer(self._author.alarm_cleared(OUTBOX_CLONED))
        if not self._foreign_s:
            return
        now_s = self._author.clock.monotonic_s()
        for stream, found_s in list(self._foreign_s.items()):
            if now_s - found_s < FOREIGN_QUIET_S:
                continue
            if self._outbox.offer(self._author.alarm_cleared(_foreign(stream))):
                log.info("foreign_events_ended", stream=stream)
                del self._foreign_s[stream]


def _foreign(stream: str) -> AlarmIdentity:
    return AlarmIdentity(alarm=AlarmKind.FOREIGN_EVENT, stream=stream)
