"""The log: `rule` judges each change; changes go to disk in groups, and then to readers."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from edge.event_store.embedded.changes import (
    METADATA_TYPE,
    TOMBSTONE_TYPE,
    Append,
    Bodies,
    Change,
    Group,
    Outcome,
    Pending,
    truncating,
    with_metadata,
)
from edge.event_store.embedded.database import Batch, LogDatabase, Span
from edge.event_store.embedded.rule import (
    METADATA_PREFIX,
    NO_STREAM,
    SOFT_DELETED,
    AlreadyWritten,
    Deleted,
    Expected,
    Head,
    Write,
    WrongRevision,
    check_append,
)

# The real server's cache is 8 MiB: 50 to 90 thousand of its latest events.
RECENT_MAX = 50_000
# Appends in one transaction. With 500 events each this is more than any disk writes between two fsyncs.
GROUP_MAX = 64

log = structlog.get_logger(__name__)


class RecentIds:
    """The weak cache: the ids of the latest events, by which appends without exact revision are recognised.

    Knows for each recent id the *first* stream that used it, and its revision and position. Never loaded at start.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, int, int]] = {}
        self._appends: deque[Sequence[str]] = deque()

    @property
    def known(self) -> Mapping[str, tuple[str, int, int]]:
        """Look up by id."""
        return self._known

    def remember(self, stream: str, ids: Sequence[str], first_revision: int, first_position: int) -> None:
        """Add one append's ids, and forget the oldest appends beyond the limit."""
        for index, event_id in enumerate(ids):
            self._known.setdefault(event_id, (stream, first_revision + index, first_position + index))
        self._appends.append(ids)
        while len(self._known) > RECENT_MAX:
            for event_id in self._appends.popleft():
                self._known.pop(event_id, None)

    def forget(self) -> None:
        """Forget everything, as a restart does."""
        self._known.clear()
        self._appends.clear()


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
        bodies: Bodies,
        ticks: Callable[[], int],
    ) -> None:
        self._database = database
        self._heads = {head.name: head for head in heads}
        self._names = {head.number: head.name for head in heads}
        self._next_number = max(self._names, default=0) + 1
        self._next_position = next_position
        self._bodies = bodies
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

    def is_tombstoned(self, stream: str) -> bool:
        """Whether a stream, or the stream that it is the metadata of, has a tombstone."""
        own, described = self._heads.get(stream), self._heads.get(_described_by(stream) or "")
        return (own is not None and own.tombstoned) or (described is not None and described.tombstoned)

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
        """Let all subscriptions look again."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def run(self) -> None:
        """Write what is submitted, in groups, without end."""
        group = Group(self._next_position, self._ticks())
        failing = False
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._waiting:
                    group = Group(self._next_position, self._ticks(), pending=self._take())
                    failing = await self._write(group, failing=failing)
        finally:
            self._closed = True
            group.pending += self._waiting
            _fail(group, LogFailed("the log was closed"))

    async def _write(self, group: Group, *, failing: bool) -> bool:
        """Judge and commit a group; return whether the disk refused it."""
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
        for pending in group.pending:
            group.outcomes.append(await self._outcome(group, pending.change))

    async def _outcome(self, group: Group, change: Change) -> Outcome:
        """Judge one change, and put what it writes into the group."""
        head = self._heads.get(change.stream) or self._new_head(change.stream)
        if self.is_tombstoned(change.stream):
            return Outcome(Deleted(), head)
        ids = change.ids if isinstance(change, Append) else ()
        after = await self._ids_after(head, change.expected, len(ids))
        metadata = self._heads.get(METADATA_PREFIX + head.name)
        has_metadata = metadata is not None and metadata.last_revision != NO_STREAM
        decision = check_append(
            head, ids, change.expected, ids_after=after, recent=self.recent.known, has_metadata=has_metadata
        )
        if isinstance(decision, AlreadyWritten):
            return Outcome(decision, head, decision.position)
        if not isinstance(decision, Write):
            return Outcome(decision, head)
        if isinstance(change, Append):
            await self._add(group, change, head)
        elif change.for_ever:
            group.bury(head, self._bodies.own_body(TOMBSTONE_TYPE, b""))
        elif head.last_revision == NO_STREAM and not has_metadata:
            return Outcome(WrongRevision(), head)
        else:
            # The server keeps nothing of what the metadata said before.
            self._describe(group, head, truncating(b"", SOFT_DELETED))
        return Outcome(decision, head, group.position - 1)

    def _new_head(self, name: str) -> Head:
        """Give a new stream its head. A number that stays unused costs nothing."""
        self._next_number += 1
        return Head(number=self._next_number - 1, name=name)

    def _metadata_head(self, name: str) -> Head:
        metadata_name = METADATA_PREFIX + name
        return self._heads.get(metadata_name) or self._new_head(metadata_name)

    async def _add(self, group: Group, change: Append, head: Head) -> None:
        """Write an append, and what follows from it for metadata."""
        first = head.last_revision + 1
        if change.ids:
            group.written.append((change, first, group.position))
            grown = group.add(head, len(change.ids), change.body)
        else:
            # The server writes an empty record, which no read shows. After a restart ours gives its position again.
            group.position += 1
            grown = head
        if head.is_softly_deleted:
            self._describe(group, grown, truncating(await self._document(head.name), first))
        described_name = _described_by(head.name)
        if described_name is None or not change.ids:
            return
        described = self._heads.get(described_name) or self._new_head(described_name)
        document = self._bodies.document_of(change.body, len(change.ids) - 1)
        if described.is_softly_deleted:
            # New metadata revives the stream: the server hides what was deleted, whatever the document says.
            self._describe(group, described, truncating(document, described.last_revision + 1), metadata=grown)
        else:
            group.heads[described_name] = with_metadata(described, document)

    def _describe(self, group: Group, head: Head, document: bytes, *, metadata: Head | None = None) -> None:
        """Write a stream's metadata as the server itself does, and apply it."""
        group.add(metadata or self._metadata_head(head.name), 1, self._bodies.own_body(METADATA_TYPE, document))
        group.heads[head.name] = with_metadata(head, document)

    async def _document(self, name: str) -> bytes:
        """Read a stream's metadata."""
        head = self._metadata_head(name)
        last = Span(head.number, head.last_revision, head.last_revision)
        for batch in await self._database.page(last, backward=True):
            return self._bodies.document_of(batch.body, head.last_revision - batch.first_revision)
        return b""

    async def _ids_after(self, head: Head, expected: Expected, count: int) -> list[str]:
        """Read the ids that stand after a revision the stream has passed."""
        if not isinstance(expected, int) or expected >= head.last_revision or not count or head.tombstoned:
            return []
        first, last = expected + 1, min(expected + count, head.last_revision)
        ids: list[str] = []
        while first <= last:
            for batch in await self._database.page(Span(head.number, first, last), backward=False):
                ids += self._bodies.ids_of(batch.body)[first - batch.first_revision : last + 1 - batch.first_revision]
                first = batch.first_revision + batch.events
        return ids

    def _publish(self, group: Group) -> None:
        for head in group.heads.values():
            self._heads[head.name] = head
            self._names[head.number] = head.name
        self._next_position = group.position
        for change, first, position in group.written:
            self.recent.remember(change.stream, change.ids, first, position)
        for pending, outcome in zip(group.pending, group.outcomes, strict=True):
            if not pending.outcome.done():
                pending.outcome.set_result(outcome)
        self.wake()


def _described_by(name: str) -> str | None:
    """Return the stream that a metadata stream is about; None for any other stream."""
    return name.removeprefix(METADATA_PREFIX) if name.startswith(METADATA_PREFIX) else None


def _fail(group: Group, error: LogFailed) -> None:
    for pending in group.pending:
        if not pending.outcome.done():
            pending.outcome.set_exception(error)


@asynccontextmanager
async def running_log(database: LogDatabase, *, bodies: Bodies, ticks: Callable[[], int]) -> AsyncIterator[EventLog]:
    """Load the log's heads and write for the length of the context."""
    event_log = EventLog(
        database, await database.load_heads(), await database.load_next_position(), bodies=bodies, ticks=ticks
    )
    writer = asyncio.create_task(event_log.run(), name="event_log_writer")
    try:
        yield event_log
    finally:
        writer.cancel()
        # A writer that fell over is a bug, and is raised here.
        with suppress(asyncio.CancelledError):
            await writer
