"""One stream on its way into the event store: what is known of it, its entries in memory, and its next append."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import structlog

from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.author import Author
from edge.domain.event import NewEvent, RecordedEvent
from edge.domain.event_store import (
    AppendTooLarge,
    EventStore,
    EventStoreUnavailable,
    RequestRefused,
    StreamDeleted,
    WrongExpectedRevision,
)
from edge.forward.link import Trust
from edge.forward.reconcile import Mark, Marks
from edge.storage.cursors import Cursor
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# The server's default limit on an append. An event beyond it is too large for every server that has not been changed.
APPEND_BYTES_MAX = 1024 * 1024
# Half of it leaves room for what the server counts and we do not.
BATCH_BYTES_MAX = APPEND_BYTES_MAX // 2
BATCH_EVENTS_MAX = 500

# All streams together. At 600 bytes an event this is 12 seconds at 600 events/s; more would only be memory.
QUEUED_BYTES_MAX = 4 * 1024 * 1024
# One stream's share: two full appends, so that one can be prepared while the other is under way.
STREAM_BYTES_MAX = 1024 * 1024
# The backlog head goes on when this much has been forwarded.
REFILL_BYTES = QUEUED_BYTES_MAX // 2

# A refusal is followed by reading back, which explains it. So many in a row explain nothing: wait before going on.
CONFLICTS_MAX = 3


def size_of(entry: Entry) -> int:
    """Return an entry's size as the server counts it."""
    return len(entry.data) + len(entry.metadata) + 2 * len(entry.type)


def batch_length(sizes: Iterable[int], *, events_max: int = BATCH_EVENTS_MAX, bytes_max: int = BATCH_BYTES_MAX) -> int:
    """Count the entries from the front that one append may hold, by their sizes: at least one, however large."""
    length = total = 0
    for size in islice(sizes, events_max):
        total += size
        if total > bytes_max and length:
            break
        length += 1
    return length


def new_events(entries: Iterable[Entry]) -> list[NewEvent]:
    """Turn entries into what the event store takes. A list: a retry must find them again."""
    return [NewEvent(entry.event_id, entry.type, entry.data, entry.metadata) for entry in entries]


class Room:
    """The memory of all streams together, and what the backlog head waits for."""

    def __init__(self) -> None:
        self.size = 0
        # Streams that may lag; the backlog head drops those that do not when it looks.
        self.behind: set[int] = set()
        # There may be something to read, and room for it.
        self.changed = asyncio.Event()

    def free(self, size: int) -> None:
        """Note that entries of this size are no longer in memory."""
        self.size -= size
        if self.size <= REFILL_BYTES:
            self.changed.set()


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all streams share."""

    event_store: EventStore
    outbox: Outbox
    author: Author
    trust: Trust
    room: Room
    # The last position of the runs before this one: only entries up to here can have landed without us knowing.
    first_position: int
    # Called with each stream's first foreign event, to raise an alarm.
    on_foreign: Callable[[str, RecordedEvent], None]
    # Called when a stream shows that the event store was restored, and no other stream had shown it before.
    on_restored: Callable[[], None]


class RefusedEvent(NamedTuple):
    """A single event that the event store called too large or wrong."""

    entry: Entry
    error: AppendTooLarge | RequestRefused


class Stream:
    """One stream: its place, its entries in memory, and what this run knows of it.

    What always holds between two awaits; `tests/forward/test_stream.py` has a test for each:

    1. `entries` are in order and without a hole: all that comes after the forwarded position, up to `filled_to`, except
       what has landed.
    2. `size` is the size of `entries`, and `Room.size` that of all streams.
    3. An append begins only while the stream is verified, and names the revision that the cursor has.
    4. An entry leaves memory for good only when the cursor has passed it.
    5. A distrust outlasts the comparison that was under way when it came.
    6. `is_tail_seen` stays true once it is.
    7. `events_max` is halved by a refusal, down to 1, and doubled by a success, up to BATCH_EVENTS_MAX.
    8. After CONFLICTS_MAX refusals of a revision in a row the link is called lost.
    9. While `held_to` is not 0, no more than so many entries are in memory.
    """

    def __init__(self, number: int, shared: Shared) -> None:
        self.number = number
        self.name = shared.outbox.streams.name(number)
        self.shared = shared
        cursor = self.cursor
        # Everything of the stream up to here is forwarded or in `entries`.
        self.filled_to = cursor.forwarded_position
        # The stream's newest entry on disk.
        self.last_position = max(cursor.last_position, cursor.forwarded_position)
        self.entries: deque[Entry] = deque()
        self.size = 0
        # How often the stream was distrusted, and after how many of these times it was compared with the event store.
        self.distrusted = 1
        self.compared = 0
        # The event store may have been restored: older events than the newest acknowledged one are compared as well.
        self.is_suspect = False
        self.marks = Marks()
        # This run has read the stream's tail or appended to it: whatever of ours appears beyond has another author.
        self.is_tail_seen = False
        # The next append's limit. Halved when an append is too large or refused, until the single event is found.
        self.events_max = BATCH_EVENTS_MAX
        # The revision that the last refusal told.
        self.refused_at: int | None = None
        # The stream is refused: it keeps so many entries to try again with, and takes no memory from the others.
        self.held_to = 0
        # Refusals in a row without anything learned in between.
        self._conflicts = 0
        self._sizes: deque[int] = deque()

    @property
    def cursor(self) -> Cursor:
        """How far the stream has been forwarded."""
        return self.shared.outbox.cursors[self.number]

    @property
    def is_verified(self) -> bool:
        """Whether the stream was compared since it was last distrusted."""
        return self.compared == self.distrusted

    @property
    def lags(self) -> bool:
        """Whether there is more on disk than in memory."""
        return self.filled_to < self.last_position

    @property
    def has_more(self) -> bool:
        """Whether the stream has more entries than the first."""
        return len(self.entries) > 1 or self.lags

    @property
    def is_full(self) -> bool:
        """Whether the stream is held, and has the entries that it keeps then."""
        return 0 < self.held_to <= len(self.entries)

    def distrust(self, *, is_suspect: bool = False) -> None:
        """Have the stream compared before its next append. A comparison that is under way comes too early."""
        self.distrusted += 1
        self.is_suspect |= is_suspect

    def offer(self, entry: Entry) -> bool:
        """Take in the next entry if there is room for it; one larger than everything goes alone."""
        size, room = size_of(entry), self.shared.room
        if self.entries and (
            self.is_full or self.size + size > STREAM_BYTES_MAX or room.size + size > QUEUED_BYTES_MAX
        ):
            return False
        self.entries.append(entry)
        self._sizes.append(size)
        self.size += size
        room.size += size
        self.filled_to = entry.position
        return True

    def forwarded(self, position: int) -> None:
        """Let go of what is forwarded up to a position, or set aside."""
        freed = 0
        while self.entries and self.entries[0].position <= position:
            self.entries.popleft()
            freed += self._sizes.popleft()
        self._free(freed)
        self.filled_to = max(self.filled_to, position)

    def hold(self, *, to: int) -> None:
        """Keep so many entries of a stream that is refused; the others stay on disk until `resume`."""
        self.held_to = to
        freed = 0
        while len(self.entries) > to:
            self.entries.pop()
            freed += self._sizes.pop()
            self.filled_to = self.entries[-1].position
        self._free(freed)
        self.ask_for_backlog()

    def resume(self) -> None:
        """Let a stream that was held take part again: called when its entry went, which makes room."""
        self.held_to = 0

    def restart(self, position: int) -> None:
        """Forget everything in memory and begin again after a position."""
        self.entries.clear()
        self._sizes.clear()
        self._free(self.size)
        self.filled_to = position
        self.ask_for_backlog()
        self.shared.room.changed.set()

    def ask_for_backlog(self) -> None:
        """Have the backlog head read the stream if it lags; also at start, when nothing else may happen for hours."""
        if self.lags:
            self.shared.room.behind.add(self.number)
            self.shared.room.changed.set()

    def _free(self, size: int) -> None:
        self.size -= size
        self.shared.room.free(size)

    async def append(self) -> int | RefusedEvent:
        """Append what comes first; return how many events that were, or the one that is refused.

        Raises AccessRefused and StreamDeleted for what concerns the stream, other EventStoreErrors for the link.
        """
        batch = list(islice(self.entries, batch_length(self._sizes, events_max=self.events_max)))
        if not batch:
            return 0
        cursors, trust = self.shared.outbox.cursors, self.shared.trust
        revision = self.cursor.acked_revision
        assert self.is_verified
        assert revision is not None, "verified streams have a revision"
        outlook = trust.begin()
        try:
            position = await self.shared.event_store.append(self.name, new_events(batch), expected_revision=revision)
        except WrongExpectedRevision as error:
            self._conflict(error)
            return 0
        except (AppendTooLarge, RequestRefused) as error:
            return self._split(batch, error)
        # The revision is computed: what the server answers may be that of an earlier try.
        last = Mark(revision + len(batch), batch[-1].event_id)
        cursors.acknowledge(
            self.number,
            revision=last.revision,
            event_id=last.event_id,
            position=batch[-1].position,
            count=len(batch),
        )
        trust.acknowledge(outlook, self.number, *last, position)
        self.marks.note(last)
        self.forwarded(batch[-1].position)
        self.is_tail_seen, self._conflicts = True, 0
        self.events_max = min(BATCH_EVENTS_MAX, self.events_max * 2)
        return len(batch)

    def _conflict(self, error: WrongExpectedRevision) -> None:
        self.distrust()
        self.refused_at = error.actual
        self._conflicts += 1
        if self._conflicts >= CONFLICTS_MAX:
            self._conflicts = 0
            raise EventStoreUnavailable(f"{self.name} refuses appends that reading it back does not explain") from error

    def _split(self, batch: list[Entry], error: AppendTooLarge | RequestRefused) -> int | RefusedEvent:
        """Halve what is too large or wrong until it is one event."""
        if len(batch) == 1:
            return RefusedEvent(batch[0], error)
        self.events_max = len(batch) // 2
        return 0

    async def park(self, error: StreamDeleted) -> None:
        """Never re-create a stream with a tombstone; the entries stay until an operator decides."""
        log.error("stream_parked", stream=self.name, error=str(error))
        message = f"{self.name} was deleted in the event store; its events are kept here until somebody decides"
        alarm = AlarmIdentity(alarm=AlarmKind.STREAM_PARKED, stream=self.name)
        raised = self.shared.author.alarm_raised(alarm, message)
        await self.shared.outbox.park(self.number, "deleted in the event store", raised)
        self.restart(self.cursor.forwarded_position)
