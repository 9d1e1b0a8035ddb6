"""Reads entries back from the file, between the writer's commits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from heapq import merge
from operator import attrgetter

import structlog

from edge.storage import control_entry
from edge.storage.block import Block, decode_block
from edge.storage.connection import Row
from edge.storage.database import Reader
from edge.storage.entry import Entry, Page
from edge.storage.errors import BlockDamaged
from edge.storage.identities import Identities, Identity

log = structlog.get_logger()

# One read takes some 64 KiB of blocks (half a MiB when decoded): a millisecond in SQLite's thread, so that no commit waits
# long for it. Each block is decoded outside the lock, the largest in 2 ms.
BLOCK_BYTES_PER_READ = 64 * 1024
BLOCKS_PER_READ_MAX = 256
# More than one commit can have (`ENTRIES_MAX` of the outbox).
CONTROL_ENTRIES_PER_READ = 1000

_BLOCKS = (
    "SELECT last_position, first_position, entry_count, committed_at_ms, checksum, body FROM blocks"
    " WHERE last_position > ? AND first_position <= ? ORDER BY last_position LIMIT ?"
)
# No bound on `first_position`: for a position in a gap SQLite would look through all later blocks for one that holds it.
_BLOCK_OF = (
    "SELECT last_position, first_position, entry_count, committed_at_ms, checksum, body FROM blocks"
    " WHERE last_position >= ? ORDER BY last_position LIMIT 1"
)
_BLOCK_KEYS = (
    "SELECT last_position FROM blocks WHERE last_position > ? AND first_position <= ? ORDER BY last_position LIMIT ?"
)
_CONTROL_OF = (
    f"SELECT {control_entry.COLUMNS} FROM control_entries"  # noqa: S608 - a constant of ours
    " WHERE position > ? AND position <= ? AND stream = ? ORDER BY position LIMIT ?"
)
_CONTROL = (
    f"SELECT {control_entry.COLUMNS} FROM control_entries"  # noqa: S608 - a constant of ours
    " WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
)

_QUARANTINED = "SELECT position FROM quarantine WHERE position > ? AND position <= ?"

_position = attrgetter("position")


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
                return Page(entries, scanned_to, at_end=scanned_to >= through)
            position = scanned_to
            # A page may be many blocks; the wires are served in between.
            await asyncio.sleep(0)
        return Page(entries, max(position, through), at_end=True)

    async def find(self, position: int) -> Identity | None:
        """Find which entry stands at a position, quarantined or not; None if it is not retained (or is damaged).

        Entries of one block cost one decoding, in whatever order they are asked for.
        """
        known = self._identities.find(position)
        if known is not None:
            return known
        for row in await self._reader.fetch_all(_CONTROL, (position - 1, position, 1)):
            return next((_identity(entry) for entry in self._control_entry(row)), None)
        entries = await self._remembered_block(position)
        return next((_identity(entry) for entry in entries if entry.position == position), None)

    async def _remembered_block(self, position: int) -> list[Entry]:
        for row in await self._reader.fetch_all(_BLOCK_OF, (position,)):
            entries = self._block(row) if row[1] <= position else []
            if entries:
                self._identities.add(entries)
            return entries
        return []

    async def positions_of(self, stream: int, *, after: int, through: int) -> AsyncIterator[Sequence[int]]:
        """Yield where a stream's entries stand that `read_after` would give, block by block, then the control entries.

        Blocks that were decoded lately are not decoded again: a thousand streams ask one after the other.
        """
        quarantined = {row[0] for row in await self._reader.fetch_all(_QUARANTINED, (after, through))}
        last = after
        while keys := await self._reader.fetch_all(_BLOCK_KEYS, (last, through, BLOCKS_PER_READ_MAX)):
            for (last,) in keys:
                positions = self._identities.positions_of(last, stream)
                if positions is None:
                    entries = await self._remembered_block(last)
                    positions = [entry.position for entry in entries if entry.stream == stream]
                yield [each for each in positions if after < each <= through and each not in quarantined]
            await asyncio.sleep(0)
        last = after
        while rows := await self._reader.fetch_all(_CONTROL_OF, (last, through, stream, CONTROL_ENTRIES_PER_READ)):
            entries = [entry for row in rows for entry in self._control_entry(row)]
            yield [entry.position for entry in entries if entry.position not in quarantined]
            last = rows[-1][0]

    async def oldest_position(self) -> int | None:
        """Return the position of the oldest entry that is retained; None if there is none at all."""
        row = await self._reader.fetch_one(
            "SELECT min(position) FROM (SELECT min(position) AS position FROM control_entries"
            " UNION ALL SELECT * FROM (SELECT first_position FROM blocks ORDER BY last_position LIMIT 1))"
        )
        return None if row is None or row[0] is None else int(row[0])

    async def _pieces(self, position: int, through: int) -> AsyncIterator[tuple[list[Entry], int]]:
        """Yield the entries of one block after the other, with the control entries that come before or among them."""
        while position < through:
            limit = self._blocks_per_read
            rows = await self._reader.fetch_all(_BLOCKS, (position, through, limit))
            # All blocks that begin up to here have been read, so that control entries can be merged with them.
            horizon = rows[-1][0] if len(rows) == limit else through
            self._learn_block_size(rows)
            control = await self._reader.fetch_all(_CONTROL, (position, horizon, CONTROL_ENTRIES_PER_READ))
            if len(control) == CONTROL_ENTRIES_PER_READ:
                horizon = _before_blocks(rows, control[-1][0])
            assert horizon > position, "a commit has fewer entries than one read takes"
            # Asked for each time: a set of all of them would grow without end.
            quarantined = {row[0] for row in await self._reader.fetch_all(_QUARANTINED, (position, horizon))}
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
            return [control_entry.control_entry(row)]
        except BlockDamaged as error:
            self._pass_over(error)
            return []

    def _pass_over(self, damage: BlockDamaged) -> None:
        if damage.position not in self._damaged:
            self._damaged.add(damage.position)
            log.error("block_damaged", position=damage.position, problem=str(damage))


def _identity(entry: Entry) -> Identity:
    return Identity(entry.position, entry.stream, entry.event_id)


def _before_blocks(rows: list[Row], position: int) -> int:
    """Move a horizon that falls into a block back to before it: its entries and the control entries among them go together."""
    return next((row[1] - 1 for row in rows if row[1] <= position < row[0]), position)
