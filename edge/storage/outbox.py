"""The durable log: it holds accepted events until the event store has them, and for a while after.

A draft gets its numbers when its commit is formed and keeps them until that commit succeeds. Positions become visible
in their order: after position n no smaller one appears.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog

from edge.domain.clock import Clock
from edge.domain.event import Draft, EventType
from edge.domain.json_form import json_of
from edge.domain.settings import OutboxSettings
from edge.storage import sql
from edge.storage.backlog import Backlog, Identity, add_quarantined
from edge.storage.batch import OutboxTransaction
from edge.storage.cursors import Cursors, cursor_statement
from edge.storage.database import Database, naming
from edge.storage.entries import Entry, Page
from edge.storage.errors import CommitFailed, StateDirectoryLost
from edge.storage.ledger import Ledger, Listener, begin_run, recover
from edge.storage.placement import Damage, Placement, Stray, find_damage
from edge.storage.upkeep import Retention, Upkeep
from edge.storage.writer import Intake, Writer

log = structlog.get_logger()

# How often a disk that took no declaration is tried.
DISK_RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatistics:
    """Figures for `status`, health and metrics."""

    # Entries that are not yet in the event store, by stream and together.
    pending_by_stream: Mapping[str, int]
    last_position: int
    # How long ago the last commit succeeded; None if none has yet.
    committed_age_s: float | None
    # Drafts that wait for the next commit.
    waiting: int
    entries_committed: int
    commits: int
    commits_failed: int
    # The disk does not take commits right now.
    is_failing: bool
    # Why; None while it takes them.
    failure: str | None
    blocks_damaged: int
    # Blocks that start had to decode: those after the cursors, or all of them if the cursors were lost.
    blocks_replayed: int
    quarantined: int
    refused: int
    parked: Mapping[str, str]

    @property
    def pending(self) -> int:
        """Entries of all streams that are not yet in the event store."""
        return sum(self.pending_by_stream.values())


class Outbox:
    """The durable log, for the other rooms. Made by `open_outbox`."""

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        intake: Intake,
        backlog: Backlog,
        writer: Writer,
        retention: Retention,
        clock: Clock,
        placement: Placement | None,
        damage: Sequence[Damage],
    ) -> None:
        # Reads between commits; every write goes through `transaction`.
        self.database = database
        # What was wrong with the file when it was opened.
        self.damage = damage
        # The start before this one; None in a new file.
        self.previous_run = ledger.previous_run
        # Numbers and names of streams, and which are parked.
        self.streams = ledger.streams
        # How far each stream has been forwarded; the forwarder moves them.
        self.cursors = ledger.cursors
        # The alarms that stand, and the devices that are lost. To raise or clear one, give its draft to the outbox.
        self.alarms = ledger.alarms
        self._placement = placement
        self._ledger = ledger
        self._intake = intake
        self._backlog = backlog
        self._writer = writer
        self._retention = retention
        self._clock = clock

    @property
    def last_position(self) -> int:
        """Everything up to here is on disk."""
        return self._ledger.last_position

    def offer(self, draft: Draft, *, can_wait: bool = False) -> bool:
        """Put an event before the writer, without waiting. False: the queue is full, it was never accepted.

        Accepted means committed; the draft's `on_accepted` tells. The author declares what was refused. With `can_wait`
        the queue counts as full at half its size, so that a poll always finds room. An event that raises what stands,
        or clears what does not, is taken and not written.
        """
        # A sample neither opens nor closes anything; there are thousands of them for each control event.
        is_sample = draft.type is EventType.SENSOR_READING_RECEIVED
        if not is_sample and not self.alarms.is_news(draft):
            return True
        if not self._intake.offer(draft, can_wait=can_wait):
            return False
        if not is_sample:
            self.alarms.note(draft)
        self._writer.notify_queued()
        return True

    async def record(self, *drafts: Draft, at_once: bool = False) -> None:
        """Write control events with the next group commit, or `at_once`; returns when they are on disk.

        Never refused: the caller waits. If the caller is cancelled they are written nevertheless. What raises an alarm
        that stands, or clears one that does not, is left out.
        """
        news = []
        for draft in filter(self.alarms.is_news, drafts):
            self.alarms.note(draft)
            news.append(draft)
        if not news:
            return
        written = asyncio.Event()
        for draft in news[:-1]:
            self._intake.put(draft)
        self._intake.put(_telling(news[-1], written.set))
        self._writer.notify_queued()
        if at_once:
            self._writer.hurry()
        if self._writer.is_running:
            await written.wait()
        else:
            await self.flush()

    def transaction(self) -> AbstractAsyncContextManager[OutboxTransaction]:
        """Do statements and control events in one commit: all of it is on disk when the context ends, or nothing.

        What was offered before is committed before. Raises CommitFailed when the disk did not take it: whether it was
        written is then unknown, so look before trying again. In the body, only use what the context yields: `record`,
        `flush` and `database` would wait for this transaction.
        """
        return self._writer.transaction()

    async def run(self) -> None:
        """Commit in groups, without end: every commit interval, or sooner when enough came in or `hurry` was called.

        A failed commit is tried again until the disk takes it. Raises StateDirectoryLost, some time after the file was
        deleted or replaced: every commit fails from then on, and what was accepted is still forwarded meanwhile.
        """
        await self._writer.run()

    def hurry(self) -> None:
        """Commit now what waits."""
        self._writer.hurry()

    async def flush(self) -> None:
        """Wait until everything that was offered so far is on disk. Works beside `run`, and when it has ended."""
        await self._writer.commit_waiting()

    def attach(self, listener: Listener) -> None:
        """Have the live head's listener called in the loop, right after each commit, with its entries.

        They are in the order of their positions, telemetry and control events alike. It must not block or raise.
        """
        self._ledger.attach(listener)

    async def read_after(self, position: int, *, bytes_max: int) -> Page:
        """Read the backlog: entries of all streams above a position, in order, without those in quarantine.

        A page holds whole commits' blocks, and so goes over `bytes_max` by at most one. A damaged block is passed over,
        logged and counted. A pending entry that stands in the wrong stream is set aside first: no reader ever forwards
        it. Raises CommitFailed.
        """
        page = await self._backlog.read_after(position, through=self._ledger.last_position, bytes_max=bytes_max)
        strays = [] if self._placement is None else [*self._pending_strays(self._placement, page.entries)]
        for stray in strays:
            log.error("event_misplaced", **json_of(stray.fact))
            await self.quarantine(stray.entry, reason=stray.reason, declarations=stray.declarations)
        gone = {stray.entry.position for stray in strays}
        return page._replace(entries=[entry for entry in page.entries if entry.position not in gone]) if gone else page

    def _pending_strays(self, placement: Placement, entries: Sequence[Entry]) -> Iterator[Stray]:
        for stray in placement.find_strays(entries, self.streams.name):
            # What was forwarded stands in the event store, in whichever stream.
            if stray.entry.position > self.cursors[stray.entry.stream].forwarded_position:
                yield stray

    async def find_entry(self, position: int) -> Identity | None:
        """Find which entry stands at a position (in quarantine or not); None if it is not retained."""
        return await self._backlog.find(position)

    def positions_of(self, stream: int, *, after: int, through: int) -> AsyncIterator[Sequence[int]]:
        """Yield, in parts, where a stream's retained entries stand, but those in quarantine. Raises CommitFailed."""
        return self._backlog.positions_of(stream, after=after, through=through)

    def is_known(self, run: UUID, position: int) -> bool:
        """Whether this file gave that position in that run: whether an event of our gateway id is really ours."""
        return self._ledger.is_known(run, position)

    async def park(self, stream: int, reason: str, *declarations: Draft) -> None:
        """Append nothing more to a stream until a person decides. Survives restarts. Raises CommitFailed.

        The declarations are written with it: the event that raises its alarm.
        """
        await self._set_parked(stream, reason, *declarations)

    async def unpark(self, stream: int, *declarations: Draft) -> None:
        """Go on with a parked stream. Raises CommitFailed.

        The declarations are written with it: the event that clears its alarm. Without one, the next start clears it.
        """
        await self._set_parked(stream, None, *declarations)

    async def quarantine(self, entry: Entry, *, reason: str, declarations: tuple[Draft, ...] = ()) -> None:
        """Set an entry aside, with the events that say so, in one commit. Raises CommitFailed.

        It no longer appears in `read_after`; the caller moves the stream's cursor past it.
        """
        async with self.transaction() as transaction:
            # A commit of unknown outcome may have done it already, declarations included.
            if not await add_quarantined(transaction, entry, reason=reason, now_ms=self._clock.unix_ms()):
                return
            for draft in declarations:
                transaction.append(draft)
            transaction.on_commit(self._ledger.note_quarantined)

    def hold(self, *, after: int) -> AbstractAsyncContextManager[None]:
        """Delete no entry above a position for the length of the context: what is counted in it can still be sent."""
        return self._retention.hold(after=after)

    async def record_move(self, declaration: Draft, *, move: Callable[[Cursors], None]) -> None:
        """Write a control event, and the cursors as `move` changes them, in one commit. Raises CommitFailed.

        A crash leaves both or neither, and CommitFailed means neither: what is declared is never declared again, and
        never done undeclared.
        """
        position = 0
        try:
            async with self.transaction() as transaction:
                position = transaction.append(declaration)
                moved = self.cursors.copy()
                move(moved)
                statement = cursor_statement(self._ledger.cursor_row(moved))
                await transaction.execute(statement.sql, statement.rows[0])
                transaction.on_commit(lambda: move(self.cursors))
        except CommitFailed:
            await self._until_written_again()
            entry = await self.find_entry(position)
            if entry is None or entry.event_id != declaration.event_id:
                raise
            # It had come to disk after all.
            move(self.cursors)

    async def _until_written_again(self) -> None:
        while True:
            try:
                async with self.transaction():
                    return
            except StateDirectoryLost:
                raise
            except CommitFailed:
                await asyncio.sleep(DISK_RETRY_S)

    async def _set_parked(self, stream: int, reason: str | None, *declarations: Draft) -> None:
        async with self.transaction() as transaction:
            await transaction.execute(
                sql.PARK_STREAM,
                (reason, None if reason is None else self._clock.unix_ms(), stream),
            )
            for draft in declarations:
                await transaction.declare(draft)
            transaction.on_commit(lambda: self.streams.mark_parked(stream, reason))

    def statistics(self) -> OutboxStatistics:
        """Return how the outbox is doing. Costs nothing: all of it is in memory."""
        committed_at_s = self._writer.committed_at_s
        names = self.streams
        return OutboxStatistics(
            pending_by_stream={names.name(stream): c.pending for stream, c in self.cursors.lagging().items()},
            last_position=self._ledger.last_position,
            committed_age_s=None if committed_at_s is None else self._clock.monotonic_s() - committed_at_s,
            waiting=len(self._intake),
            entries_committed=self._ledger.entries_committed,
            commits=self._ledger.commits,
            commits_failed=self._writer.commits_failed,
            is_failing=self._writer.failure is not None,
            failure=None if self._writer.failure is None else str(self._writer.failure),
            blocks_damaged=self._backlog.blocks_damaged,
            blocks_replayed=self._ledger.blocks_replayed,
            quarantined=self._ledger.quarantined,
            refused=self._intake.refused,
            parked={names.name(stream): reason for stream, reason in names.parked().items()},
        )


def _telling(draft: Draft, tell: Callable[[], None]) -> Draft:
    def accepted() -> None:
        if draft.on_accepted is not None:
            draft.on_accepted()
        tell()

    return draft._replace(on_accepted=accepted)


async def _look_through(database: Database, run: UUID, placement: Placement | None) -> tuple[Ledger, Sequence[Damage]]:
    with naming(database.file):
        ledger = await recover(database, run=run)
    damage = await find_damage(database, ledger.streams, placement)
    for found in damage:
        log.error("outbox_damaged", stream=found.stream, problem=found.message)
    return ledger, damage


@asynccontextmanager
async def open_outbox(
    database: Database,
    *,
    run: UUID,
    clock: Clock,
    settings: OutboxSettings,
    intake: Intake | None = None,
    # Tells which stream an entry belongs to. Without it, no entry is checked.
    placement: Placement | None = None,
) -> AsyncIterator[Outbox]:
    """Write down that a run begins, and commit the rest when the context ends. Raises DatabaseDamaged."""
    ledger, damage = await _look_through(database, run, placement)
    await begin_run(database, ledger, now_ms=clock.unix_ms())
    intake = Intake() if intake is None else intake
    backlog = Backlog(database)
    retention = Retention(clock=clock, settings=settings)
    writer = Writer(
        database=database,
        ledger=ledger,
        intake=intake,
        backlog=backlog,
        upkeep=Upkeep(run=run, clock=clock, settings=settings, retention=retention),
        clock=clock,
        settings=settings,
    )
    try:
        yield Outbox(
            database=database,
            ledger=ledger,
            intake=intake,
            backlog=backlog,
            writer=writer,
            retention=retention,
            clock=clock,
            placement=placement,
            damage=damage,
        )
    finally:
        await writer.close()
