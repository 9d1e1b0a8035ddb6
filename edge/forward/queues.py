"""Two read heads fill the streams' entries in memory: the writer's live one, and one that reads the backlog.

What does not fit into memory is not lost: the stream then lags, and the backlog head brings it later from the file.
Streams with work wait for a turn.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from edge.forward.stream import REFILL_BYTES, STREAM_BYTES_MAX, Shared, Stream
from edge.storage.cursors import covers
from edge.storage.entries import Entry
from edge.storage.errors import CommitFailed

log = structlog.get_logger()

PAGE_BYTES = 512 * 1024
# A disk that does not give the backlog is asked again this often.
REREAD_S = 1.0


class Queues:
    """All streams and the two heads."""

    def __init__(self, shared: Shared, *, on_filled: Callable[[int], None]) -> None:
        self._shared = shared
        self._outbox = shared.outbox
        self._room = shared.room
        self._on_filled = on_filled
        # The disk did not give the backlog when it was last asked.
        self._is_unreadable = False
        self.by_stream: dict[int, Stream] = {}
        for number in self._outbox.streams.numbers():
            self._open(number).ask_for_backlog()
        self._outbox.attach(self._take_live)

    def _open(self, number: int) -> Stream:
        stream = self.by_stream[number] = Stream(number, self._shared)
        return stream

    def _take_live(self, entries: Sequence[Entry]) -> None:
        """The live head: called right after each commit. A stream whose entries do not fit lags."""
        streams = self._outbox.streams
        filled: dict[int, None] = {}
        for entry in entries:
            stream = self.by_stream.get(entry.stream)
            if stream is None:
                stream = self._open(entry.stream)
                stream.filled_to = min(stream.filled_to, entry.position - 1)
                stream.last_position = stream.filled_to
            is_next = not stream.lags
            stream.last_position = entry.position
            if is_next and not streams.is_parked(stream.number) and stream.offer(entry):
                filled[stream.number] = None
            stream.ask_for_backlog()
        self._tell(filled)
        if self._room.behind:
            # An operator may have let a parked stream go on.
            self._room.changed.set()

    def _tell(self, filled: Iterable[int]) -> None:
        for number in filled:
            self._on_filled(number)

    async def run(self) -> None:
        """The backlog head: while streams lag, read from the oldest of their places, as long as there is room."""
        # What earlier runs left waits for no commit of this one.
        self._room.changed.set()
        while True:
            await self._room.changed.wait()
            self._room.changed.clear()
            while True:
                lagging = self._lagging()
                if not lagging or self._room.size > REFILL_BYTES or not await self._filled(lagging):
                    break

    async def _filled(self, lagging: Mapping[int, Stream]) -> bool:
        try:
            progressed = await self._fill(lagging)
        except CommitFailed as error:
            if not self._is_unreadable:
                log.warning("backlog_not_read", problem=str(error))
            self._is_unreadable = True
            # The trouble of a disk ends by itself or never; no other task waits for this one.
            await asyncio.sleep(REREAD_S)
            return True
        if self._is_unreadable:
            log.info("backlog_read_again")
        self._is_unreadable = False
        return progressed

    def _lagging(self) -> dict[int, Stream]:
        """Streams with more on disk and room in memory; a parked one takes no part."""
        room = self._room
        room.behind = {number for number in room.behind if self.by_stream[number].lags}
        parked = self._outbox.streams.parked() if room.behind else {}
        return {
            number: stream
            for number in room.behind
            if number not in parked
            and (stream := self.by_stream[number]).size <= STREAM_BYTES_MAX // 2
            and not stream.is_full
        }

    async def _fill(self, lagging: Mapping[int, Stream]) -> bool:
        """Read one page into the streams; whether any of them came further."""
        start = {number: stream.filled_to for number, stream in lagging.items()}
        page = await self._outbox.read_after(min(start.values()), bytes_max=PAGE_BYTES)
        # What was restarted, parked or caught up while the page was read starts over.
        going = {
            number: stream
            for number, stream in lagging.items()
            if stream.filled_to == start[number] and not self._outbox.streams.is_parked(number)
        }
        self._take_page(page.entries, going)
        for number, stream in going.items():
            stream.filled_to = max(stream.filled_to, page.scanned_to)
            if not stream.entries:
                # Nothing of the stream is left up to here: it was damaged, or retention had it before the store went
                # back.
                self._outbox.cursors.advance(number, position=stream.filled_to)
        return any(stream.filled_to > start[number] for number, stream in lagging.items())

    def _take_page(self, entries: Sequence[Entry], going: dict[int, Stream]) -> None:
        """Give each entry to its stream; a stream whose entry does not fit goes no further."""
        landed = {number: spans for number, stream in going.items() if (spans := stream.cursor.landed)}
        filled: dict[int, None] = {}
        for entry in entries:
            stream = going.get(entry.stream)
            if stream is None or entry.position <= stream.filled_to:
                continue
            if entry.stream in landed and covers(landed[entry.stream], entry.position):
                continue
            if stream.offer(entry):
                filled[entry.stream] = None
            else:
                del going[entry.stream]
        self._tell(filled)


class Turns:
    """Hands out streams to the workers: control streams first, each at most once in flight.

    Whatever the number of streams and of workers, each call costs the same: work that comes up wakes one worker.
    """

    def __init__(self, *, is_control: Callable[[int], bool]) -> None:
        self._is_control = is_control
        # Streams that can be taken, in the order in which their work came up. A dict would look at all that were taken
        # from its front before.
        self._control: OrderedDict[int, None] = OrderedDict()
        self._telemetry: OrderedDict[int, None] = OrderedDict()
        # A stream in flight, and whether something came up for it meanwhile: then its next turn begins at `release`.
        self._in_flight: dict[int, bool] = {}
        # As many as there are streams that can be taken.
        self._waiting = asyncio.Semaphore(0)

    def add(self, stream: int) -> None:
        """Something is to be done for a stream."""
        if stream in self._in_flight:
            self._in_flight[stream] = True
            return
        waiting = self._control if self._is_control(stream) else self._telemetry
        if stream not in waiting:
            waiting[stream] = None
            self._waiting.release()

    async def take(self) -> int:
        """Wait for the next stream; it is in flight until `release`."""
        await self._waiting.acquire()
        stream, _ = (self._control or self._telemetry).popitem(last=False)
        self._in_flight[stream] = False
        return stream

    def release(self, stream: int) -> None:
        """A worker is done with a stream for now."""
        if self._in_flight.pop(stream):
            self.add(stream)
