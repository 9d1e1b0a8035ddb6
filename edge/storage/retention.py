"""What goes from the file: forwarded entries that a restored event store would hardly ask for again."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import takewhile

from edge.domain.clock import Clock
from edge.domain.settings import OutboxSettings
from edge.storage.database import Reader, Statement

# A range of a hundred rows costs a third less to delete than rows one by one, and nobody waits for the room.
ROWS_MIN = 100
# At 20 blocks a second and a look every 10 s this keeps up five times over; the delete takes some 10 ms.
ROWS_MAX = 1000

HOUR_MS = 3_600_000


class Retention:
    """The only owner of deletion: every `DELETE` of entries comes from `expired`.

    - An entry that some stream has still to forward stays.
    - An entry that is held stays. What is counted under a hold is still there when the hold ends.
    """

    def __init__(self, *, clock: Clock, settings: OutboxSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._held: list[int] = []
        # Taken from the decision what goes until it is gone: a hold that begins later would come too late for it.
        self._deleting = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, *, after: int) -> AsyncIterator[None]:
        """Keep all entries above a position for the length of the context; a delete under way is awaited first."""
        async with self._deleting:
            self._held.append(after)
        try:
            yield
        finally:
            self._held.remove(after)

    @asynccontextmanager
    async def expired(self, reader: Reader, *, through: int, everything: bool) -> AsyncIterator[list[Statement]]:
        """Say what deletes the entries up to `through` that are old enough; run it within the context.

        `everything`: they go whatever their age, because the file is full.
        """
        before_ms = (
            # The end of time, where there is no room for waiting.
            sys.maxsize if everything else self._clock.unix_ms() - int(self._settings.keep_forwarded_h * HOUR_MS)
        )
        async with self._deleting:
            yield await _expired_ranges(
                reader,
                through=min([through, *self._held]),
                before_ms=before_ms,
                rows_min=1 if everything else ROWS_MIN,
            )


async def _expired_ranges(reader: Reader, *, through: int, before_ms: int, rows_min: int) -> list[Statement]:
    """Say what deletes entries with positions up to `through` that were committed before a time, oldest first.

    Time only delays: nothing beyond `through` ever goes, whatever the clock says.
    """
    ranges = []
    for table, key in (("blocks", "last_position"), ("control_entries", "position")):
        query = f"SELECT {key}, committed_at_ms FROM {table} WHERE {key} <= ? ORDER BY {key} LIMIT ?"  # noqa: S608
        # Most looks find nothing to do: one row decides.
        row = await reader.fetch_one(f"{query} OFFSET ?", (through, 1, rows_min - 1))
        if row is None or row[1] >= before_ms:
            continue
        rows = await reader.fetch_all(query, (through, ROWS_MAX))
        expired = [position for position, _ in takewhile(lambda row: row[1] < before_ms, rows)]
        if expired:
            ranges.append(Statement(f"DELETE FROM {table} WHERE {key} <= ?", [(expired[-1],)]))  # noqa: S608
    return ranges
