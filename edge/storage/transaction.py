"""Statements and control events in one commit: what must never be half done."""

from collections.abc import Callable, Sequence

from edge.domain.event import Draft
from edge.storage.batch import Batch, form_batch
from edge.storage.connection import Row, SqlValue
from edge.storage.database import Transaction
from edge.storage.numbering import Numbering
from edge.storage.streams import StreamNames


class OutboxTransaction:
    """What `Outbox.transaction` yields. Use only this in its body: the outbox and the database wait for its end."""

    def __init__(
        self, statements: Transaction, *, numbering: Numbering, streams: StreamNames, committed_at_ms: int
    ) -> None:
        self._statements = statements
        self._numbering = numbering
        self._streams = streams
        self._committed_at_ms = committed_at_ms
        self._batches: list[Batch] = []
        self._on_commit: list[Callable[[], None]] = []

    async def execute(self, sql: str, parameters: Sequence[SqlValue] = ()) -> None:
        """Run a statement."""
        await self._statements.execute(sql, parameters)

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        """Run a query; all its rows."""
        return await self._statements.fetch_all(sql, parameters)

    async def fetch_one(self, sql: str, parameters: Sequence[SqlValue] = ()) -> Row | None:
        """Run a query; its first row, or None."""
        return await self._statements.fetch_one(sql, parameters)

    def append(self, draft: Draft) -> int:
        """Add a control event to the commit; return the position it will have.

        If the transaction fails the position is not used again, so that no number ever means two events.
        """
        assert not draft.is_telemetry, "a sample has its number from the group commit"
        batch = form_batch([draft], self._numbering, self._streams, committed_at_ms=self._committed_at_ms)
        self._batches.append(batch)
        return batch.entries[0].position

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have something called in the loop once all is on disk. It must not block or raise."""
        self._on_commit.append(call)

    async def write_entries(self) -> None:
        """Write what was appended; only the outbox calls this."""
        for batch in self._batches:
            for statement in batch.statements:
                await self._statements.execute_many(statement.sql, statement.rows)

    def batch(self) -> Batch:
        """Return what was appended; only the outbox calls this."""
        return Batch(
            entries=[entry for batch in self._batches for entry in batch.entries],
            on_committed=[*self._on_commit, *(call for batch in self._batches for call in batch.on_committed)],
        )
