"""What is on disk, as memory knows it: read when the file is opened, changed only when a commit has succeeded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

import structlog

from edge.storage import sql
from edge.storage.backlog import Backlog, count_quarantined
from edge.storage.batch import Batch, Numbering, StreamNames, load_streams
from edge.storage.cursors import CursorRow, CursorRowDamaged, Cursors, LastSample, cursor_statement, decode_cursor_row
from edge.storage.database import Database, Reader, Statement
from edge.storage.entries import Entry, sampled
from edge.storage.placement import newest_control_places
from edge.storage.remembered import OpenAlarms, load_open_alarms

log = structlog.get_logger()

# Two starts a day for three years; 400 KB of memory. A daemon that is restarted every ten seconds keeps six hours.
RUNS_KEPT = 2000
# The row of the older runs together: no start has this number, and no run its id (16 zero bytes).
_OLDER_NUMBER = 0
# So many older rows go at one start, so that no start waits long for a file that an earlier release filled.
ROWS_PER_START = 20_000

# A page of the replay; bounds memory.
REPLAY_BYTES_MAX = 1024 * 1024

Listener: TypeAlias = Callable[[Sequence[Entry]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The starts of the daemon that used this file, and the last position that each of them gave.

    An event with our gateway id is ours if its run is known here and its position is not above the last one of that
    run. The newest runs are kept one by one. Older ones are kept as one bound: a run that is not known and a position
    up to the bound mean an event of a time of which nothing is kept any more. That is safe: entries up to the bound
    that are still retained are known by their ids, and of the others none is pending.
    """

    # Runs that wrote something, the oldest first, with the last position of each.
    last_positions: Mapping[UUID, int]
    # The last position of the runs before these; 0 if there are none.
    older_through: int = 0

    def is_known(self, run: UUID, position: int) -> bool:
        """Whether this file gave that position in that run, as far as it remembers."""
        return 0 < position <= self.last_positions.get(run, self.older_through)


async def load_runs(reader: Reader, last_position: int) -> Runs:
    """Return the newest runs. `last_position` is the file's: the newest run's row may be older than its last blocks."""
    rows = await reader.fetch_all(sql.NEWEST_RUNS, (RUNS_KEPT + 1,))
    if rows and rows[0][0] != _OLDER_NUMBER:
        rows[0] = (*rows[0][:2], last_position)
    older = rows.pop() if rows and (len(rows) > RUNS_KEPT or rows[-1][0] == _OLDER_NUMBER) else None
    older_through = 0 if older is None else int(older[2])
    positions: dict[UUID, int] = {}
    before = older_through
    for _, run, last in reversed(rows):
        if last > before:
            positions[UUID(bytes=run)] = before = int(last)
    return Runs(last_positions=positions, older_through=older_through)


def begin_statements(run: UUID, *, now_ms: int, last_position: int) -> list[Statement]:
    """Say what writes down that a run begins at a position, and what forgets the runs that are needless.

    A run that gave no position has no event anywhere. The oldest runs of many become one row.
    """
    return [
        Statement(sql.END_LAST_RUN, [(last_position,)]),
        Statement(sql.FORGET_LAST_RUN_IF_EMPTY),
        Statement(sql.BEGIN_RUN, [(run.bytes, now_ms, last_position)]),
        Statement(sql.JOIN_OLDER_RUNS, [(RUNS_KEPT, ROWS_PER_START)]),
        Statement(sql.FORGET_OLDER_RUNS, [(RUNS_KEPT, ROWS_PER_START)]),
    ]


class Ledger:
    """Streams, cursors, counters and runs, and the listeners to commits."""

    def __init__(
        self,
        *,
        run: UUID,
        last_position: int,
        streams: StreamNames,
        cursors: Cursors,
        last_samples: Mapping[str, LastSample],
        alarms: OpenAlarms,
        # Earlier runs only.
        runs: Runs,
        quarantined: int,
        blocks_replayed: int,
    ) -> None:
        self.run = run
        self.streams = streams
        self.cursors = cursors
        self.alarms = alarms
        # How many entries are set aside; their positions stay in the file.
        self.quarantined = quarantined
        self.numbering = Numbering(run=run, last_position=last_position, last_samples=last_samples, streams=streams)
        # Everything up to here is on disk and may be read.
        self.last_position = last_position
        # How many blocks had to be decoded at start.
        self.blocks_replayed = blocks_replayed
        self.entries_committed = 0
        self.commits = 0
        # The last run before this one that wrote something; None in a new file.
        self.previous_run = next(reversed([*runs.last_positions]), None)
        self._runs = runs
        self._last_samples = dict(last_samples)
        self._listeners: list[Listener] = []

    def attach(self, listener: Listener) -> None:
        """Have a listener called after each commit, with its entries in the order of their positions."""
        self._listeners.append(listener)

    def publish(self, batch: Batch) -> None:
        """Take in a batch that is on disk, then tell it: first to the authors of its events, then to the listeners."""
        self.commits += 1
        if batch.entries:
            self.last_position = batch.entries[-1].position
            self.entries_committed += len(batch.entries)
            self._last_samples.update(batch.samples)
            self.streams.mark_written(batch.streams)
            self.cursors.note_committed(batch.entries)
        for accepted in batch.on_committed:
            accepted()
        if batch.entries:
            for listener in self._listeners:
                listener(batch.entries)

    def note_quarantined(self) -> None:
        """Take in that another entry was set aside."""
        self.quarantined += 1

    def last_samples(self) -> Mapping[str, LastSample]:
        """The last committed sample of each device."""
        return dict(self._last_samples)

    def cursor_row(self, cursors: Cursors) -> CursorRow:
        """Return what start must know, with these cursors."""
        return CursorRow(
            position=self.last_position,
            streams=cursors.all(),
            devices=self.last_samples(),
            witness=cursors.witness,
        )

    def is_known(self, run: UUID, position: int) -> bool:
        """Whether this file gave that position in that run."""
        return 0 < position <= self.last_position if run == self.run else self._runs.is_known(run, position)


async def recover(database: Database, *, run: UUID) -> Ledger:
    """Read the cursors' row, then the entries that were committed after it was written.

    If the row is lost, every retained block is decoded first (15 s a million entries, more on a Pi), and no stream has
    a known revision: the forwarder adopts each and finds by the tail's metadata what had landed.
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
    return Ledger(
        run=run,
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


async def begin_run(database: Database, ledger: Ledger, *, now_ms: int) -> None:
    """Write down that a run has begun, and where the one before it ended: its last blocks say so only until they go."""
    begin = begin_statements(ledger.run, now_ms=now_ms, last_position=ledger.last_position)
    await database.write([*begin, cursor_statement(ledger.cursor_row(ledger.cursors))])


async def newest_position(reader: Reader) -> int:
    """Return the highest position the tables know of. Retention may have taken its entry; the number stays used."""
    found = await reader.fetch_one(sql.NEWEST_POSITION)
    assert found is not None, "an aggregate gives one row"
    return int(found[0])


async def _cursor_row(reader: Reader) -> CursorRow:
    row = await reader.fetch_one(sql.CURSORS)
    problem = "the row is missing"
    if row is not None:
        try:
            return decode_cursor_row(*row)
        except CursorRowDamaged as error:
            problem = str(error)
    if await reader.fetch_one(sql.ANY_RUN) is not None:
        log.warning("cursors_lost", problem=problem)
    return CursorRow()
