"""Reads entries back from the file, between the writer's commits; what is set aside in quarantine is passed over."""

import asyncio
import sys
from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from heapq import merge
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

import structlog

from edge.storage import sql
from edge.storage.connection import Row
from edge.storage.database import OpenTransaction, Reader
from edge.storage.entries import Block, Entry, Keyed, Page, control_entry, decode_block
from edge.storage.errors import BlockDamaged

log = structlog.get_logger()

# One read takes some 64 KiB of blocks (half a MiB when decoded): a millisecond in SQLite's thread, so that no commit
# waits long for it. Each block is decoded outside the lock, the largest in 2 ms.
BLOCK_BYTES_PER_READ = 64 * 1024
BLOCKS_PER_READ_MAX = 256
# More than one commit can have (`ENTRIES_MAX` of the writer).
CONTROL_ENTRIES_PER_READ = 1000

# Source keys are looked for in so many of the newest blocks, a few at a time: with one message in each commit, more
# than any broker has in flight; decoded in less than a tenth of a second.
KEY_BLOCKS_MAX = 512
KEY_BLOCKS_PER_READ = 16

# After a kill at most ten seconds of forwarding are read back: on a small box 100,000 entries or so. An entry takes 28
# bytes here, so this is 4 MiB. Beyond it blocks are decoded again.
IDENTITIES_MAX = 150_000

_ID_SIZE = 16

_position = attrgetter("position")


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
    """Which entries the blocks hold that were decoded last, without their data.

    Reading a stream back asks for one entry after the other, and the next stream asks for entries of the same blocks.
    With a thousand devices each block would be decoded a thousand times. Blocks not asked for longest are forgotten
    first.
    """

    def __init__(self, *, entries_max: int = IDENTITIES_MAX) -> None:
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


class Backlog:
    """The committed entries, in the order of their positions."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._identities = Identities()
        self._damaged: set[int] = set()
        self._blocks_per_read = 4
        # How many blocks were decompressed since start.
        self.blocks_decoded = 0

    @property
    def blocks_damaged(self) -> int:
        """How many blocks and control entries could not be read."""
        return len(self._damaged)

    async def read_after(self, position: int, *, through: int, bytes_max: int) -> Page:
        """Read entries with positions above `position` and up to `through`, all of which must be committed.

        A page holds whole blocks: it goes beyond `bytes_max` by at most one. What is quarantined is left out, and what
        is damaged is passed over.
        """
        entries: list[Entry] = []
        size = 0
        async for piece, scanned_to in self._pieces(position, through):
            entries += piece
            size += sum(len(entry.data) + len(entry.metadata) for entry in piece)
            if size >= bytes_max:
                return Page(entries, scanned_to)
            position = scanned_to
            # A page may be many blocks; the wires are served in between.
            await asyncio.sleep(0)
        return Page(entries, max(position, through))

    async def find(self, position: int) -> Identity | None:
        """Find which entry stands at a position, quarantined or not; None if it is not retained (or is damaged).

        Entries of one block cost one decoding, in whatever order they are asked for.
        """
        known = self._identities.find(position)
        if known is not None:
            return known
        for row in await self._reader.fetch_all(sql.CONTROL_AFTER, (position - 1, position, 1)):
            return next((_identity(entry) for entry in self._control_entry(row)), None)
        entries = await self._remembered_block(position)
        return next((_identity(entry) for entry in entries if entry.position == position), None)

    async def _remembered_block(self, position: int) -> list[Entry]:
        for row in await self._reader.fetch_all(sql.BLOCK_OF, (position,)):
            entries = self._block(row) if row[1] <= position else []
            if entries:
                self._identities.add(entries)
            return entries
        return []

    async def positions_of(self, stream: int, *, after: int, through: int) -> AsyncIterator[Sequence[int]]:
        """Yield where a stream's entries stand that `read_after` would give, block by block, then the control entries.

        Blocks that were decoded lately are not decoded again: a thousand streams ask one after the other.
        """
        quarantined = {row[0] for row in await self._reader.fetch_all(sql.QUARANTINED_POSITIONS, (after, through))}
        last = after
        while keys := await self._reader.fetch_all(sql.BLOCK_KEYS, (last, through, BLOCKS_PER_READ_MAX)):
            for (last,) in keys:
                positions = self._identities.positions_of(last, stream)
                if positions is None:
                    entries = await self._remembered_block(last)
                    positions = [entry.position for entry in entries if entry.stream == stream]
                yield [each for each in positions if after < each <= through and each not in quarantined]
            await asyncio.sleep(0)
        last = after
        while rows := await self._reader.fetch_all(
            sql.CONTROL_OF_STREAM, (last, through, stream, CONTROL_ENTRIES_PER_READ)
        ):
            entries = [entry for row in rows for entry in self._control_entry(row)]
            yield [entry.position for entry in entries if entry.position not in quarantined]
            last = rows[-1][0]

    async def _pieces(self, position: int, through: int) -> AsyncIterator[tuple[list[Entry], int]]:
        """Yield the entries of one block after the other, with the control entries that come before or among them."""
        while position < through:
            limit = self._blocks_per_read
            rows = await self._reader.fetch_all(sql.BLOCKS_AFTER, (position, through, limit))
            # All blocks that begin up to here have been read, so that control entries can be merged with them.
            horizon = rows[-1][0] if len(rows) == limit else through
            self._learn_block_size(rows)
            control = await self._reader.fetch_all(sql.CONTROL_AFTER, (position, horizon, CONTROL_ENTRIES_PER_READ))
            if len(control) == CONTROL_ENTRIES_PER_READ:
                horizon = _before_blocks(rows, control[-1][0])
            assert horizon > position, "a commit has fewer entries than one read takes"
            # Asked for each time: a set of all of them would grow without end.
            quarantined = {
                row[0] for row in await self._reader.fetch_all(sql.QUARANTINED_POSITIONS, (position, horizon))
            }
            for upto, row in [*((row[0], row) for row in rows if row[0] <= horizon), (horizon, None)]:
                if position < upto:
                    block = [] if row is None else self._block(row)
                    merged = self._merged(block, control, position, upto)
                    yield [entry for entry in merged if entry.position not in quarantined], upto
                    position = upto

    def _learn_block_size(self, rows: list[Row]) -> None:
        if rows:
            size = sum(len(row[-1]) for row in rows) // len(rows)
            self._blocks_per_read = max(1, min(BLOCKS_PER_READ_MAX, BLOCK_BYTES_PER_READ // size))

    def _merged(self, block: list[Entry], control: list[Row], after: int, upto: int) -> list[Entry]:
        among = [entry for row in control if after < row[0] <= upto for entry in self._control_entry(row)]
        return [entry for entry in (merge(block, among, key=_position) if among else block) if entry.position > after]

    def _block(self, row: Row) -> list[Entry]:
        block = Block(*row)
        self.blocks_decoded += 1
        try:
            return decode_block(block)
        except BlockDamaged as error:
            self._pass_over(error)
            return []

    def _control_entry(self, row: Row) -> list[Entry]:
        try:
            return [control_entry(row)]
        except BlockDamaged as error:
            self._pass_over(error)
            return []

    def _pass_over(self, damage: BlockDamaged) -> None:
        if damage.position not in self._damaged:
            self._damaged.add(damage.position)
            log.error("block_damaged", position=damage.position, problem=str(damage))


async def newest_keyed(reader: Reader, *, count_max: int) -> list[Keyed]:
    """Return the newest samples with source keys that the file retains, the oldest first: what may be sent again.

    They are in forwarded blocks as well; a damaged block is passed over (the backlog tells of it).
    """
    keyed: list[Keyed] = []
    before, blocks = sys.maxsize, 0
    while len(keyed) < count_max and blocks < KEY_BLOCKS_MAX:
        rows = await reader.fetch_all(sql.BLOCKS_BEFORE, (before, KEY_BLOCKS_PER_READ))
        for row in rows:
            with suppress(BlockDamaged):
                keyed += [
                    Keyed(entry.source_key, entry.delivery, entry.event_id)
                    for entry in reversed(decode_block(Block(*row)))
                    if entry.source_key
                ]
        if len(rows) < KEY_BLOCKS_PER_READ:
            break
        before, blocks = rows[-1][0], blocks + len(rows)
    return keyed[count_max - 1 :: -1] if len(keyed) > count_max else keyed[::-1]


class Quarantined(NamedTuple):
    """An entry that the event store does not take: copied aside with the reason, so that its stream can go on."""

    entry: Entry
    reason: str
    quarantined_at_ms: int


async def add_quarantined(transaction: OpenTransaction, entry: Entry, *, reason: str, now_ms: int) -> bool:
    """Set an entry aside. False: it was set aside already."""
    if await transaction.fetch_one(sql.IS_QUARANTINED, (entry.position,)) is not None:
        return False
    row = (
        entry.position,
        entry.stream,
        entry.event_id.bytes,
        entry.type,
        entry.data,
        entry.metadata,
        entry.source_key,
        reason,
        now_ms,
    )
    await transaction.execute(sql.INSERT_QUARANTINED, row)
    return True


async def count_quarantined(reader: Reader) -> int:
    """Return how many entries are set aside."""
    row = await reader.fetch_one(sql.COUNT_QUARANTINED)
    assert row is not None, "an aggregate gives one row"
    return int(row[0])


async def load_quarantined(reader: Reader) -> list[Quarantined]:
    """Return what was set aside, oldest first."""
    return [
        Quarantined(
            Entry(position, stream, UUID(bytes=event_id), event_type, data, metadata, source_key),
            reason,
            quarantined_at_ms,
        )
        for position, stream, event_id, event_type, data, metadata, source_key, reason, quarantined_at_ms in (
            await reader.fetch_all(sql.QUARANTINED)
        )
    ]


def _identity(entry: Entry) -> Identity:
    return Identity(entry.position, entry.stream, entry.event_id)


def _before_blocks(rows: list[Row], position: int) -> int:
    """Move a horizon within a block back to before it: its entries and the control entries among them go together."""
    return next((row[1] - 1 for row in rows if row[1] <= position < row[0]), position)
