"""The starts of the daemon that used this file, and the last position that each of them gave.

An event with our gateway id is ours if its run is known here and its position is not above the last one of that run. The
newest runs are kept one by one. Older ones are kept as one bound: a run that is not known and a position up to the bound
mean an event of a time of which nothing is kept any more. That is safe: entries up to the bound that are still retained are
known by their ids, and of the others none is pending.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from edge.storage.database import Reader, Statement

# Two starts a day for three years; 400 KB of memory. A daemon that is restarted every ten seconds keeps six hours.
RUNS_KEPT = 2000
# The row of the older runs together: no start has this number, and no run its id (16 zero bytes).
_OLDER_NUMBER = 0
# So many older rows go at one start, so that no start waits long for a file that an earlier release filled.
ROWS_PER_START = 20_000

_END_LAST = "UPDATE runs SET last_position = ? WHERE number > 0 AND number = (SELECT max(number) FROM runs)"
_FORGET_LAST_IF_EMPTY = (
    "DELETE FROM runs WHERE number > 0 AND number = (SELECT max(number) FROM runs) AND last_position <="
    " ifnull((SELECT last_position FROM runs ORDER BY number DESC LIMIT 1 OFFSET 1), 0)"
)
_BEGIN = "INSERT INTO runs (run, started_at_ms, last_position) VALUES (?, ?, ?)"
# The first value is RUNS_KEPT, the second ROWS_PER_START.
_JOIN_OLDER = (
    "REPLACE INTO runs (number, run, started_at_ms, last_position)"
    " SELECT 0, zeroblob(16), 0, last_position FROM runs WHERE number > 0 AND number <="
    " (SELECT min(max(number) - ?, (SELECT min(number) FROM runs WHERE number > 0) + ? - 1) FROM runs)"
    " ORDER BY number DESC LIMIT 1"
)
_FORGET_OLDER = (
    "DELETE FROM runs WHERE number > 0 AND number <="
    " (SELECT min(max(number) - ?, (SELECT min(number) FROM runs WHERE number > 0) + ? - 1) FROM runs)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What this file knows of earlier runs."""

    # Runs that wrote something, the oldest first, with the last position of each.
    last_positions: Mapping[UUID, int]
    # The last position of the runs before these; 0 if there are none.
    older_through: int = 0

    def is_known(self, run: UUID, position: int) -> bool:
        """Whether this file gave that position in that run, as far as it remembers."""
        return 0 < position <= self.last_positions.get(run, self.older_through)


async def load_runs(reader: Reader, last_position: int) -> Runs:
    """Return the newest runs. `last_position` is the file's: the newest run's row may be older than its last blocks."""
    rows = await reader.fetch_all(
        "SELECT number, run, last_position FROM runs ORDER BY number DESC LIMIT ?", (RUNS_KEPT + 1,)
    )
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
        Statement(_END_LAST, [(last_position,)]),
        Statement(_FORGET_LAST_IF_EMPTY),
        Statement(_BEGIN, [(run.bytes, now_ms, last_position)]),
        Statement(_JOIN_OLDER, [(RUNS_KEPT, ROWS_PER_START)]),
        Statement(_FORGET_OLDER, [(RUNS_KEPT, ROWS_PER_START)]),
    ]
