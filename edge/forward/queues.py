"""The entries on their way, by stream, filled by two read heads: the writer's live one, and one that reads the backlog.

A stream's queue holds, without a hole, what comes after its forwarded position. What does not fit is not lost: the
stream then lags, and the backlog head brings it later from the file. Whoever has something to do waits for its turn.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from edge.forward.batch import BATCH_EVENTS_MAX, size_of
from edge.forward.reconcile import Marks
from edge.storage.entries import Entry
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# All queues together. At 600 bytes an event this is 12 seconds at 600 events/s; more would only be memory.
QUEUED_BYTES_MAX = 4 * 1024 * 1024
# One stream's share: two full appends, so that one can be prepared while the other is under way.
STREAM_BYTES_MAX = 1024 * 1024
# The backlog head goes on when this much has been forwarded.
REFILL_BYTES = QUEUED_BYTES_MAX // 2
PAGE_BYTES = 512 * 1024
# A disk that does not give the backlog is asked again this often.
REREAD_S = 1.0


@dataclass(kw_only=True)
class StreamQueue:
    """One stream's entries in memory, and what this run knows of the stream."""

    number: int
    name: str
    # Everything of the stream up to here is forwarded or in `entries`.
    filled_to: int
    # The stream's newest entry on disk.
    last_position: int
    entries: deque[Entry] = field(default_factory=deque)
    size: int = 0
    # How often the stream was distrusted, and after how many of these times it was compared with the event store.
    distrusted: int = 1
    compared: int = 0
    # The event store may have been restored: older events than the newest acknowledged one are compared as well.
    is_suspect: bool = False
    marks: Marks = field(default_factory=Marks)
    # This run has read the stream's tail or appended to it: whatever of ours appears beyond has another author.
    is_tail_seen: bool = False
    # Halved when an append is too large or refused, until the single event is found.
    events_max: int = BATCH_EVENTS_MAX
    # Refusals in a row without anything learned in between.
    conflicts: int = 0
    # The revision that the last refusal told.
    refused_at: int | None = None
    # The stream is refused: it keeps so many entries to try again with, and takes no memory from the others. 0 = it is not.
    held_to: int = 0

    @property
    def is_verified(self) -> bool:
        """Whether the stream was compared since it was last distrusted."""
        return self.compared == self.distrusted

    def distrust(self, *, is_suspect: bool = False) -> None:
        """Have the stream compared before its next append. A comparison that is under way comes too early."""
        self.distrusted += 1
        self.is_suspect |= is_suspect

    @property
    def lags(self) -> bool:
        """Whether there is more on disk than in memory."""
        return self.filled_to < self.last_position

    def put(self, entry: Entry) -> None:
        """Add the next entry."""
        self.entries.append(entry)
        self.size += size_of(entry)
        self.filled_to = entry.position

    def drop_through(self, position: int) -> int:
        """Forget entries up to a position; return how many bytes that freed."""
        before = self.size
        while self.entries and self.entries[0].position <= position:
            self.size -= size_of(self.entries.popleft())
        return before - self.size

    @property
    def has_more(self) -> bool:
        """Whether the stream has more entries than the first."""
        return len(self.entries) > 1 or self.lags

    @property
    def is_full(self) -> bool:
        """Whether the stream is held, and has the entries that it keeps then."""
        return 0 < self.held_to <= len(self.entries)

    def keep_first(self, count: int) -> int:
        """Forget everything but the first entries; return how many bytes that freed."""
        before = self.size
        while len(self.entries) > count:
            self.size -= size_of(self.entries.pop())
            self.filled_to = self.entries[-1].position
        return before - self.size

    def restart(self, position: int) -> int:
        """Forget everything and begin after a position; return how many bytes that freed."""
        freed, self.size = self.size, 0
        self.entries.clear()
        self.filled_to = position
        return freed


class Queues:
    """All streams' queues and the two heads."""

    def __init__(self, outbox: Outbox, *, on_filled: Callable[[StreamQueue], None]) -> None:
        self._outbox = outbox
        self._on_filled = on_filled
        self._room = asyncio.Event()
        # The disk did not give the backlog when it was last asked.
        self._is_unreadable = False
        self.size = 0
        self.by_stream: dict[int, StreamQueue] = {}
        # Streams that may lag; who does not is dropped when the backlog head looks.
        self._behind: set[int] = set()
        for number in outbox.streams.numbers():
            self._open(number)
        outbox.attach(self._take_live)

    def _open(self, number: int) -> StreamQueue:
        cursor = self._outbox.cursors[number]
        queue = StreamQueue(
            number=number,
            name=self._outbox.streams.name(number),
            filled_to=cursor.forwarded_position,
            last_position=max(cursor.last_position, cursor.forwarded_position),
        )
        self.by_stream[number] = queue
        self._note_lag(queue)
        return queue

    def _note_lag(self, queue: StreamQueue) -> None:
        if queue.lags:
            self._behind.add(queue.number)
            # At start as well, where nothing else may happen for hours.
            self._room.set()

    def _take_live(self, entries: Sequence[Entry]) -> None:
        """The live head: called right after each commit. A queue that is full makes its stream lag."""
        for entry in entries:
            queue = self.by_stream.get(entry.stream)
            if queue is None:
                queue = self._open(entry.stream)
                queue.filled_to = min(queue.filled_to, entry.position - 1)
                queue.last_position = queue.filled_to
            contiguous = not queue.lags
            queue.last_position = entry.position
            if contiguous and self._fits(queue, entry):
                self._put(queue, entry)
            self._note_lag(queue)
        self._room.set()

    def _fits(self, queue: StreamQueue, entry: Entry) -> bool:
        if self._outbox.streams.is_parked(queue.number):
            return False
        if queue.is_full:
            return False
        size = size_of(entry)
        # An entry larger than everything goes alone.
        return not queue.entries or (queue.size + size <= STREAM_BYTES_MAX and self.size + size <= QUEUED_BYTES_MAX)

    def _put(self, queue: StreamQueue, entry: Entry) -> None:
        queue.put(entry)
        self.size += size_of(entry)
        self._on_filled(queue)

    def forwarded(self, queue: StreamQueue, position: int) -> None:
        """Let go of what is forwarded."""
        self._freed(queue.drop_through(position))
        queue.filled_to = max(queue.filled_to, position)

    def hold(self, queue: StreamQueue, *, to: int) -> None:
        """Keep so many entries of a stream that is refused; the others stay on disk until `resume`."""
        queue.held_to = to
        self._freed(queue.keep_first(to))
        self._note_lag(queue)

    def resume(self, queue: StreamQueue) -> None:
        """Let a stream that was held take part again: called when its entry went, which makes room."""
        queue.held_to = 0

    def restart(self, queue: StreamQueue, position: int) -> None:
        """Begin a stream again after a position."""
        self._freed(queue.restart(position))
        self._note_lag(queue)
        self._room.set()

    def _freed(self, size: int) -> None:
        self.size -= size
        if self.size <= REFILL_BYTES:
            self._room.set()

    async def run(self) -> None:
        """The backlog head: while streams lag, read from the oldest of their places, as long as there is room."""
        # What earlier runs left waits for no commit of this one.
        self._room.set()
        while True:
            await self._room.wait()
            self._room.clear()
            while True:
                lagging = self._lagging()
                if not lagging or self.size > REFILL_BYTES or not await self._filled(lagging):
                    break

    async def _filled(self, lagging: dict[int, StreamQueue]) -> bool:
        try:
            progressed = await self._fill(lagging)
        except CommitFailed as error:
            if not self._is_unreadable:
                log.warning("backlog_not_read", problem=str(error))
            self._is_unreadable = True
            # The disk passes by itself or not at all; nobody else waits for this task.
            await asyncio.sleep(REREAD_S)
            return True
        if self._is_unreadable:
            log.info("backlog_read_again")
        self._is_unreadable = False
        return progressed

    def _lagging(self) -> dict[int, StreamQueue]:
        """Streams with more on disk and room in memory; a parked one takes no part."""
        self._behind = {number for number in self._behind if self.by_stream[number].lags}
        parked = self._outbox.streams.parked() if self._behind else {}
        return {
            number: queue
            for number in self._behind
            if number not in parked
            and (queue := self.by_stream[number]).size <= STREAM_BYTES_MAX // 2
            and not queue.is_full
        }

    def _has_landed(self, entry: Entry) -> bool:
        return self._outbox.cursors[entry.stream].has_landed(entry.position)

    async def _fill(self, lagging: dict[int, StreamQueue]) -> bool:
        """Read one page into the queues; whether any of them came further."""
        start = {number: queue.filled_to for number, queue in lagging.items()}
        page = await self._outbox.read_after(min(start.values()), bytes_max=PAGE_BYTES)
        # What was restarted or caught up while the page was read starts over.
        going = {number: queue for number, queue in lagging.items() if queue.filled_to == start[number]}
        for entry in page.entries:
            queue = going.get(entry.stream)
            if queue is None or entry.position <= queue.filled_to or self._has_landed(entry):
                continue
            if self._fits(queue, entry):
                self._put(queue, entry)
            else:
                del going[entry.stream]
        for queue in going.values():
            queue.filled_to = max(queue.filled_to, page.scanned_to)
            if not queue.entries:
                # Nothing of the stream is left up to here: it was damaged, or retention had it before the store went back.
                self._outbox.cursors.advance(queue.number, position=queue.filled_to)
        return any(queue.filled_to > start[number] for number, queue in lagging.items())


class Turns:
    """Hands out streams to the workers. Whatever the number of streams, each call costs the same."""

    def __init__(self, *, is_control: Callable[[int], bool]) -> None:
        self._is_control = is_control
        # Streams that can be taken, in the order in which their work came up. A dict would look at all that were taken
        # from its front before.
        self._control: OrderedDict[int, None] = OrderedDict()
        self._telemetry: OrderedDict[int, None] = OrderedDict()
        # A stream in flight, and whether something came up for it meanwhile: then its next turn begins at `release`.
        self._in_flight: dict[int, bool] = {}
        self._stirred = asyncio.Event()

    def add(self, stream: int) -> None:
        """Something is to be done for a stream."""
        if stream in self._in_flight:
            self._in_flight[stream] = True
            return
        waiting = self._control if self._is_control(stream) else self._telemetry
        waiting[stream] = None
        self._stirred.set()

    async def take(self) -> int:
        """Wait for the next stream; it is in flight until `release`."""
        while not (waiting := self._control or self._telemetry):
            self._stirred.clear()
            await self._stirred.wait()
        stream, _ = waiting.popitem(last=False)
        self._in_flight[stream] = False
        return stream

    def release(self, stream: int) -> None:
        """A worker is done with a stream for now."""
        if self._in_flight.pop(stream):
            self.add(stream)
