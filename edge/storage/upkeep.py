"""What rides along with a commit now and then: the cursors' row, where the run is, and what has expired."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

from edge.domain.clock import Clock
from edge.domain.settings import OutboxSettings
from edge.storage.cursor_row import CursorRow, LastSample
from edge.storage.cursors import Cursors
from edge.storage.database import Reader, Statement
from edge.storage.recovery import cursor_statement
from edge.storage.retention import Retention

# How late the cursors may be: start decodes what was committed since, and reconciles what was forwarded since.
CURSORS_LATE_MAX_S = 10.0
# From then on any commit takes them along, so that only an idle outbox pays a sync for them alone.
CURSORS_LATE_S = 8.0

# Timers are not finer.
TICK_S = 0.001


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
        last_position: int,
        cursors: Cursors,
        last_samples: Mapping[str, LastSample],
        everything: bool,
    ) -> AsyncIterator[list[Statement]]:
        """Say what to write, within the context. `everything`: forwarded entries go whatever their age, because the file is full."""
        row = CursorRow(position=last_position, streams=cursors.all(), devices=last_samples, witness=cursors.witness)
        async with self._retention.expired(
            reader, through=cursors.forwarded_through(last_position), everything=everything
        ) as expired:
            # Deleting comes first: in a full file it makes the room for the rest.
            yield [
                *expired,
                Statement("UPDATE runs SET last_position = ? WHERE run = ?", [(last_position, self._run.bytes)]),
                cursor_statement(row),
            ]
