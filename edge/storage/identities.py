"""Which entries the blocks hold that were decoded last, without their data.

Reading a stream back asks for one entry after the other, and the next stream asks for entries of the same blocks. With a
thousand devices each block would be decoded a thousand times.
"""

from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from edge.storage.entry import Entry

# After a kill at most ten seconds of forwarding are read back: on a small box 100,000 entries or so. An entry takes 28
# bytes here, so this is 4 MiB. Beyond it blocks are decoded again.
ENTRIES_MAX = 150_000

_ID_SIZE = 16


class Identity(NamedTuple):
    """Which event stands at a position."""

    position: int
    # The local number of the stream.
    stream: int
    event_id: UUID


class _Block(NamedTuple):
    positions: "array[int]"
    streams: "array[int]"
    event_ids: bytes


class Identities:
    """Blocks by their last positions; those not asked for longest are forgotten first."""

    def __init__(self, *, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._count = 0
        # In the order in which they were last asked for.
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        # Their keys, sorted.
        self._last_positions: list[int] = []

    def __len__(self) -> int:
        return self._count

    def add(self, entries: Sequence[Entry]) -> None:
        """Remember the entries of one block, in the order of their positions; there is at least one."""
        block = _Block(
            array("q", [entry.position for entry in entries]),
            array("I", [entry.stream for entry in entries]),
            b"".join([entry.event_id.bytes for entry in entries]),
        )
        last = entries[-1].position
        if last in self._blocks:
            return
        self._blocks[last] = block
        insort(self._last_positions, last)
        self._count += len(entries)
        while self._count > self._entries_max and len(self._blocks) > 1:
            oldest, forgotten = self._blocks.popitem(last=False)
            del self._last_positions[bisect_left(self._last_positions, oldest)]
            self._count -= len(forgotten.positions)

    def find(self, position: int) -> Identity | None:
        """Return which entry stands at a position; None if no block that is remembered holds it."""
        at = bisect_left(self._last_positions, position)
        if at == len(self._last_positions):
            return None
        last = self._last_positions[at]
        block = self._blocks[last]
        index = bisect_left(block.positions, position)
        if block.positions[index] != position:
            return None
        self._blocks.move_to_end(last)
        event_id = block.event_ids[index * _ID_SIZE : (index + 1) * _ID_SIZE]
        return Identity(position, block.streams[index], UUID(bytes=event_id))

    def positions_of(self, last_position: int, stream: int) -> list[int] | None:
        """Return where a stream's entries stand in the block that ends at a position; None if it is not remembered."""
        block = self._blocks.get(last_position)
        if block is None:
            return None
        self._blocks.move_to_end(last_position)
        return [at for at, number in zip(block.positions, block.streams, strict=True) if number == stream]
