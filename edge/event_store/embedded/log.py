"""The log: who may append decides `rule`; what is decided goes to disk in groups, then to readers."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog

from edge.event_store.embedded.changes import METADATA_PREFIX, Append, Change, Delete, Group, Outcome, Pending
from edge.event_store.embedded.changes import with_metadata as head_with_metadata
from edge.event_store.embedded.database import Batch, LogDatabase, Span
from edge.event_store.embedded.recent import RecentIds
from edge.event_store.embedded.rule import (
    NO_STREAM,
    SOFT_DELETED,
    Deleted,
    Expected,
    Head,
    Write,
    WrongRevision,
    check_append,
)

# Appends in one transaction. With 500 events each this is more than any disk writes between two fsyncs.
GROUP_MAX = 64

log = structlog.get_logger(__name__)


class LogFailed(Exception):  # noqa: N818 - named by what is the matter
    """The disk did not take it, or the log is closing."""


class EventLog:
    """All streams. `run` must be running for anything to be written."""

    def __init__(
        self,
        database: LogDatabase,
        heads: Sequence[Head],
        next_position: int,
        *,
        ids_of: Callable[[bytes], Sequence[str]],
        ticks: Callable[[], int],
    ) -> None:
        self._database = database
        self._heads = {head.name: head for head in heads}
        self._names = {head.number: head.name for head in heads}
        self._next_number = max(self._names, default=0) + 1
        self._next_position = next_position
        self._ids_of = ids_of
        self._ticks = ticks
        self._waiting: deque[Pending] = deque()
        self._wanted = asyncio.Event()
        self._grown = asyncio.Event()
        self._closed = False
        self.recent = RecentIds()

    # --- Reading

    def head(self, stream: str) -> Head | None:
        """Return what is committed of a stream, or None where nothing ever was."""
        return self._heads.get(stream)

    def head_of(self, number: int) -> Head:
        """Return a stream's head by its number."""
        return self._heads[self._names[number]]

    @property
    def last_position(self) -> int:
        """The position of the last committed event, 0 where there is none."""
        return self._next_position - 1

    def grown(self) -> asyncio.Event:
        """Return an event that is set with the next commit. Take it before looking, then look, then wait."""
        return self._grown

    async def page(self, span: Span, *, backward: bool = False) -> list[Batch]:
        """Read some whole appends of a span that ends at or before what is committed."""
        return await self._database.page(span, backward=backward)

    # --- Writing

    async def submit(self, change: Change) -> Outcome:
        """Judge a change and write it. On disk when this returns. Raises LogFailed.

        A caller that is cancelled meanwhile does not undo it, as with the real server.
        """
        if self._closed:
            raise LogFailed("the log is closed")
        pending = Pending(change, asyncio.get_running_loop().create_future())
        self._waiting.append(pending)
        self._wanted.set()
        return await pending.outcome

    def wake(self) -> None:
        """Make all who follow look again."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def run(self) -> None:
        """Write what is submitted, in groups, for ever."""
        group = Group()
        failing = False
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._waiting:
                    group = Group(pending=self._take())
                    failing = await self._write(group, failing=failing)
        finally:
            self._closed = True
            group.pending += self._waiting
            _fail(group, LogFailed("the log was closed"))

    async def _write(self, group: Group, *, failing: bool) -> bool:
        """Judge and commit a group; whether the disk refused it."""
        try:
            await self._judge(group)
            if group.heads:
                await self._database.write(group.batches, group.heads.values())
        except sqlite3.Error as error:
            if not failing:
                log.error("event_log_write_failed", reason=str(error))  # noqa: TRY400 - the reason says it all
            _fail(group, LogFailed(str(error)))
            return True
        if failing:
            log.info("event_log_write_restored")
        self._publish(group)
        return False

    def _take(self) -> list[Pending]:
        """Take what waits, in order, at most one change of each family of streams."""
        taken: dict[str, Pending] = {}
        later: list[Pending] = []
        while self._waiting and len(taken) < GROUP_MAX:
            pending = self._waiting.popleft()
            if taken.setdefault(pending.stream_family, pending) is not pending:
                later.append(pending)
        self._waiting.extendleft(reversed(later))
        return list(taken.values())

    async def _judge(self, group: Group) -> None:
        position = self._next_position
        for pending in group.pending:
            change = pending.change
            head = self._heads.get(change.stream) or self._new_head(change.stream)
            ids = change.ids if isinstance(change, Append) else ()
            after = await self._ids_after(head, change.expected, len(ids))
            decision = check_append(head, ids, change.expected, ids_after=after, recent=self.recent.known)
            if not isinstance(decision, Write):
                group.outcomes.append(Outcome(decision, head))
            elif isinstance(change, Delete):
                group.outcomes.append(_delete(group, change, head))
            else:
                self._add(group, change, head, position)
                position += len(ids)
                group.outcomes.append(Outcome(decision, head, position - 1))

    def _new_head(self, name: str) -> Head:
        """Describe a stream that nobody wrote to yet. A number that stays unused costs nothing."""
        self._next_number += 1
        return Head(number=self._next_number - 1, name=name)

    def _add(self, group: Group, change: Append, head: Head, position: int) -> None:
        if not change.ids:
            return
        first = head.last_revision + 1
        truncate_before = first if head.is_softly_deleted else head.truncate_before
        group.heads[head.name] = replace(
            head, last_revision=first + len(change.ids) - 1, truncate_before=truncate_before
        )
        group.batches.append(Batch(position, head.number, first, len(change.ids), self._ticks(), change.body))
        group.written.append((change, first))
        if change.document is not None and head.name.startswith(METADATA_PREFIX):
            name = head.name.removeprefix(METADATA_PREFIX)
            described = self._heads.get(name) or self._new_head(name)
            group.heads[name] = head_with_metadata(described, change.document)

    async def _ids_after(self, head: Head, expected: Expected, count: int) -> list[str]:
        """Read the ids that stand after a revision the stream has passed."""
        if not isinstance(expected, int) or expected >= head.last_revision or not count or head.tombstoned:
            return []
        first, last = expected + 1, min(expected + count, head.last_revision)
        ids: list[str] = []
        while first <= last:
            for batch in await self._database.page(Span(head.number, first, last), backward=False):
                ids += self._ids_of(batch.body)[first - batch.first_revision : last + 1 - batch.first_revision]
                first = batch.first_revision + batch.events
        return ids

    def _publish(self, group: Group) -> None:
        for head in group.heads.values():
            self._heads[head.name] = head
            self._names[head.number] = head.name
        for batch in group.batches:
            self._next_position = batch.position + batch.events
        for change, first in group.written:
            self.recent.remember(change.stream, change.ids, first)
        for pending, outcome in zip(group.pending, group.outcomes, strict=True):
            if not pending.outcome.done():
                pending.outcome.set_result(outcome)
        self.wake()


def _delete(group: Group, change: Delete, head: Head) -> Outcome:
    if change.for_ever:
        group.heads[head.name] = replace(head, tombstoned=True)
    elif head.is_softly_deleted:
        return Outcome(Deleted(), head)
    elif head.last_revision == NO_STREAM:
        return Outcome(WrongRevision(), head)
    else:
        group.heads[head.name] = replace(head, truncate_before=SOFT_DELETED)
    return Outcome(Write(), head)


def _fail(group: Group, error: LogFailed) -> None:
    for pending in group.pending:
        if not pending.outcome.done():
            pending.outcome.set_exception(error)


@asynccontextmanager
async def running_log(
    database: LogDatabase, *, ids_of: Callable[[bytes], Sequence[str]], ticks: Callable[[], int]
) -> AsyncIterator[EventLog]:
    """Load the log's heads and write for the length of the context."""
    event_log = EventLog(
        database, await database.load_heads(), await database.load_next_position(), ids_of=ids_of, ticks=ticks
    )
    writer = asyncio.create_task(event_log.run(), name="event_log_writer")
    try:
        yield event_log
    finally:
        writer.cancel()
        # A writer that fell over is a bug, and is raised here.
        with suppress(asyncio.CancelledError):
            await writer
