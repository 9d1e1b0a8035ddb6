"""What a commit takes along now and then: the cursors' row, where the run is, and the deletes of what has expired."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import takewhile
from uuid import UUID

from edge.domain.clock import Clock
from edge.domain.settings import OutboxSettings
from edge.storage import sql
from edge.storage.cursors import CursorRow, cursor_statement
from edge.storage.database import Reader, Statement

# A range of a hundred rows costs a third less to delete than rows one by one, and the room is not needed sooner.
ROWS_MIN = 100
# At 20 blocks a second and a look every 10 s this keeps up five times over; the delete takes some 10 ms.
ROWS_MAX = 1000

HOUR_MS = 3_600_000

# How late the cursors may be: start decodes what was committed since, and reconciles what was forwarded since.
CURSORS_LATE_MAX_S = 10.0
# From then on any commit takes them along, so that only an idle outbox pays a sync for them alone.
CURSORS_LATE_S = 8.0

# Timers are not finer.
TICK_S = 0.001


class Retention:
    """The only owner of deletion: every `DELETE` of entries comes from `expired`.

    What goes are forwarded entries that a restored event store would hardly ask for again. What holds, and the test of
    each:

    - No other file deletes entries. `test_only_the_owner_of_deletion_deletes_entries`
    - An entry that some stream has still to forward stays. `test_nothing_goes_that_any_stream_has_still_to_forward`
    - An entry that is held stays until the hold ends. `test_nothing_goes_that_is_held_and_all_goes_afterwards`
    - A hold begins after the delete that was decided before it.
      `test_a_hold_waits_for_the_delete_that_was_decided_before_it`
    - The oldest go first, and none before its time, but in a full file. `test_an_entry_is_kept_for_its_whole_time`
    - In a full file forwarded entries go whatever their age.
      `test_a_full_file_gives_up_forwarded_entries_whatever_their_age`
    - The commit that deletes holds the cursors that allow it.
      `test_what_was_deleted_is_never_still_owed_after_a_crash`
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
    for oldest, delete in ((sql.OLDEST_BLOCKS, sql.DELETE_BLOCKS), (sql.OLDEST_CONTROL, sql.DELETE_CONTROL)):
        # Most looks find nothing to do: one row decides.
        row = await reader.fetch_one(oldest, (through, 1, rows_min - 1))
        if row is None or row[1] >= before_ms:
            continue
        rows = await reader.fetch_all(oldest, (through, ROWS_MAX, 0))
        expired = [position for position, _ in takewhile(lambda row: row[1] < before_ms, rows)]
        if expired:
            ranges.append(Statement(delete, [(expired[-1],)]))
    return ranges


class Upkeep:
    """When the cursors' row is due, and what is written with it."""

    def __init__(self, *, run: UUID, clock: Clock, settings: OutboxSettings, retention: Retention) -> None:
        self._run = run
        self._clock = clock
        self._settings = settings
        self._retention = retention
        self._changed_at_s: float | None = None

    def note_change(self) -> bool:
        """Note that what is on disk is no longer current; True if it was until now."""
        if self._changed_at_s is not None:
            return False
        self._changed_at_s = self._clock.monotonic_s()
        return True

    @property
    def is_pending(self) -> bool:
        """Whether there is something to write."""
        return self._changed_at_s is not None

    def begin(self) -> float | None:
        """Start anew: what changes from now on is not in the statements that are about to be made."""
        changed_at_s, self._changed_at_s = self._changed_at_s, None
        return changed_at_s

    def failed(self, changed_at_s: float | None) -> None:
        """Note that the statements made since `begin` (which returned this) did not come to disk."""
        if changed_at_s is not None:
            self._changed_at_s = changed_at_s

    @property
    def rides_along(self) -> bool:
        """Whether the next commit, if there is one, takes the row along."""
        if self._changed_at_s is None:
            return False
        return self.due_in_s() == 0 or self._late_s(self._changed_at_s) >= CURSORS_LATE_S

    def due_in_s(self) -> float | None:
        """How long the row may wait for a commit before it gets one of its own; None if there is nothing to write."""
        if self._changed_at_s is None:
            return None
        # What has just come in waits an interval for its commit.
        latest_s = CURSORS_LATE_MAX_S - self._settings.commit_interval_ms / 1000
        left_s = latest_s - self._late_s(self._changed_at_s)
        # A rest that no timer resolves is none: waiting for it would end before it has passed, again and again.
        return left_s if left_s > TICK_S else 0.0

    def _late_s(self, changed_at_s: float) -> float:
        return self._clock.monotonic_s() - changed_at_s

    @asynccontextmanager
    async def statements(
        self,
        reader: Reader,
        *,
        row: CursorRow,
        through: int,
        everything: bool,
    ) -> AsyncIterator[list[Statement]]:
        """Say what to write, within the context: the cursors' row, where the run is, and the deletes up to `through`.

        `everything`: forwarded entries go whatever their age, because the file is full.
        """
        async with self._retention.expired(reader, through=through, everything=everything) as expired:
            # Deleting comes first: in a full file it makes the room for the rest.
            yield [
                *expired,
                Statement(sql.ADVANCE_RUN, [(row.position, self._run.bytes)]),
                cursor_statement(row),
            ]
