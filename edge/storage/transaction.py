"""Statements and control events in one commit: what must never be half done."""

from collections.abc import Callable, Sequence
from functools import partial

from edge.domain.alarm import AlarmIdentity
from edge.domain.event import Draft
from edge.storage.alarms import OpenAlarms, is_open_on_disk
from edge.storage.batch import Batch, form_batch
from edge.storage.connection import Row, SqlValue
from edge.storage.database import Transaction
from edge.storage.numbering import Numbering
from edge.storage.streams import StreamNames


class OutboxTransaction:
    """What `Outbox.transaction` yields. Use only this in its body: the outbox and the database wait for its end."""

    def __init__(
        self,
        statements: Transaction,
        *,
        numbering: Numbering,
        streams: StreamNames,
        alarms: OpenAlarms,
        committed_at_ms: int,
    ) -> None:
        self._statements = statements
        self._numbering = numbering
        self._streams = streams
        self._alarms = alarms
        self._committed_at_ms = committed_at_ms
        # What this transaction itself opened and closed.
        self._declared: dict[AlarmIdentity, bool] = {}
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
        assert draft.opens is None, "declare() looks first whether it says anything new"
        assert draft.closes is None, "as above"
        return self._append(draft)

    async def declare(self, draft: Draft) -> bool:
        """Add an event that opens or closes an alarm to the commit; whether it says anything new, else it is left out.

        The file is asked, not memory: an earlier try whose outcome was unknown may have written it.
        """
        is_news = (draft.closes is None or await self._is_open(draft.closes)) and (
            draft.opens is None or not await self._is_open(draft.opens.identity)
        )
        if is_news:
            self._append(draft)
            if draft.closes is not None:
                self._declared[draft.closes] = False
            if draft.opens is not None:
                self._declared[draft.opens.identity] = True
        self.on_commit(partial(self._alarms.note, draft))
        return is_news

    async def _is_open(self, identity: AlarmIdentity) -> bool:
        declared = self._declared.get(identity)
        return await is_open_on_disk(self, identity) if declared is None else declared

    def _append(self, draft: Draft) -> int:
        batch = form_batch([draft], self._numbering, committed_at_ms=self._committed_at_ms)
        self._batches.append(batch)
        return batch.entries[0].position

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have something called in the loop once all is on disk. It must not block or raise."""
        self._on_commit.append(call)

    async def write_entries(self) -> None:
        """Write what was appended; only the outbox calls this."""
        streams = self._streams.unwritten(self.batch().streams)
        for statement in [*streams, *(each for batch in self._batches for each in batch.statements)]:
            await self._statements.execute_many(statement.sql, statement.rows)

    def batch(self) -> Batch:
        """Return what was appended; only the outbox calls this."""
        return Batch(
            entries=[entry for batch in self._batches for entry in batch.entries],
            on_committed=[*self._on_commit, *(call for batch in self._batches for call in batch.on_committed)],
        )
