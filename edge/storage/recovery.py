"""What the file says when it is opened: where every stream and device stood, and what was written since then."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from edge.storage.alarms import OpenAlarms, load_open_alarms
from edge.storage.backlog import Backlog
from edge.storage.block import Block, decode_block
from edge.storage.cursor_row import CursorRow, CursorRowDamaged, LastSample, decode_cursor_row, encode_cursor_row
from edge.storage.cursors import Cursors
from edge.storage.database import Database, Reader, Statement
from edge.storage.entry import Keyed
from edge.storage.errors import BlockDamaged
from edge.storage.placement import newest_control_places
from edge.storage.quarantine import count_quarantined
from edge.storage.runs import Runs, begin_statements, load_runs
from edge.storage.streams import StreamNames, load_streams
from edge.storage.telemetry import sampled

_BLOCKS_BEFORE = (
    "SELECT last_position, first_position, entry_count, committed_at_ms, checksum, body FROM blocks"
    " WHERE last_position < ? ORDER BY last_position DESC LIMIT ?"
)

log = structlog.get_logger()

# A page of the replay; bounds memory.
REPLAY_BYTES_MAX = 1024 * 1024
# Source keys are looked for in so many of the newest blocks, a few at a time: with one message in each commit, more than
# any broker has in flight; decoded in less than a tenth of a second.
KEY_BLOCKS_MAX = 512
KEY_BLOCKS_PER_READ = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The file's state at start, complete."""

    last_position: int
    streams: StreamNames
    cursors: Cursors
    last_samples: Mapping[str, LastSample]
    alarms: OpenAlarms
    # Earlier runs only.
    runs: Runs
    # How many entries are set aside.
    quarantined: int
    # How many blocks had to be decoded to know all this.
    blocks_replayed: int


async def recover(database: Database) -> Recovered:
    """Read the cursors' row, then the entries that were committed after it was written.

    If the row is lost, every retained block is decoded first (15 s a million entries, more on a Pi), and no stream has a
    known revision: the forwarder adopts each and finds by the tail's metadata what had landed.
    """
    row = await _cursor_row(database)
    cursors = Cursors(dict(row.streams), witness=row.witness)
    samples = dict(row.devices)
    last_position = max(row.position, await newest_position(database))
    backlog = Backlog(database)
    position = row.position
    while position < last_position:
        page = await backlog.read_after(position, through=last_position, bytes_max=REPLAY_BYTES_MAX)
        cursors.note_committed(page.entries)
        for entry in page.entries:
            sample = sampled(entry)
            if sample is not None:
                samples[sample.device_id] = (sample.run, sample.sequence)
        position = page.scanned_to
    return Recovered(
        last_position=last_position,
        streams=StreamNames(
            await load_streams(database),
            named_elsewhere={*cursors.all(), *(number for number, *_ in await newest_control_places(database))},
        ),
        cursors=cursors,
        last_samples=samples,
        alarms=OpenAlarms(await load_open_alarms(database)),
        runs=await load_runs(database, last_position),
        quarantined=await count_quarantined(database),
        blocks_replayed=backlog.blocks_decoded,
    )


async def begin_run(database: Database, recovered: Recovered, *, run: UUID, now_ms: int) -> None:
    """Write down that a run has begun, and where the one before it ended: its last blocks say so only until they go."""
    position = recovered.last_position
    cursors = recovered.cursors
    row = CursorRow(position=position, streams=cursors.all(), devices=recovered.last_samples, witness=cursors.witness)
    await database.write(
        [
            *begin_statements(run, now_ms=now_ms, last_position=position),
            cursor_statement(row),
        ]
    )


async def newest_keyed(reader: Reader, *, count_max: int) -> list[Keyed]:
    """Return the newest samples with source keys that the file retains, the oldest first: what may be sent again.

    They are in forwarded blocks as well; a damaged block is passed over (the backlog tells of it).
    """
    keyed: list[Keyed] = []
    before, blocks = sys.maxsize, 0
    while len(keyed) < count_max and blocks < KEY_BLOCKS_MAX:
        rows = await reader.fetch_all(_BLOCKS_BEFORE, (before, KEY_BLOCKS_PER_READ))
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


def cursor_statement(row: CursorRow) -> Statement:
    """Say what writes the cursors' row."""
    return Statement("REPLACE INTO cursors (id, checksum, body) VALUES (1, ?, ?)", [encode_cursor_row(row)])


async def _cursor_row(reader: Reader) -> CursorRow:
    row = await reader.fetch_one("SELECT checksum, body FROM cursors")
    problem = "the row is missing"
    if row is not None:
        try:
            return decode_cursor_row(*row)
        except CursorRowDamaged as error:
            problem = str(error)
    if await reader.fetch_one("SELECT 1 FROM runs LIMIT 1") is not None:
        log.warning("cursors_lost", problem=problem)
    return CursorRow()


async def newest_position(reader: Reader) -> int:
    """Return the highest position the tables know of. Retention may have taken its entry; the number stays used."""
    found = await reader.fetch_one(
        "SELECT max((SELECT ifnull(max(last_position), 0) FROM blocks),"
        " (SELECT ifnull(max(position), 0) FROM control_entries),"
        " ifnull((SELECT last_position FROM runs ORDER BY number DESC LIMIT 1), 0))"
    )
    assert found is not None, "an aggregate gives one row"
    return int(found[0])
