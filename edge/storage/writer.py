"""Commits batches and transactions one at a time, in order of arrival, and tries again while the disk refuses."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from edge.domain.backoff import Backoff
from edge.domain.clock import Clock
from edge.domain.event import Draft
from edge.domain.settings import OutboxSettings
from edge.storage.backlog import Backlog, count_quarantined
from edge.storage.batch import Batch, OutboxTransaction, form_batch, load_streams
from edge.storage.database import Database, Statement
from edge.storage.errors import CommitFailed, StateDirectoryLost
from edge.storage.ledger import Ledger, newest_position
from edge.storage.remembered import load_open_alarms
from edge.storage.upkeep import Upkeep

log = structlog.get_logger()

# 16 MiB of encoded events, or 10,000 of them, whichever comes first: 100 s at 100 samples a second while the disk does
# not answer, and a quarter of the memory the daemon may have (64 MiB) besides the objects they are made of.
ENTRIES_WAITING_MAX = 10_000
BYTES_WAITING_MAX = 16 * 1024 * 1024
# Control events do not go for telemetry: so many more of them are taken when the queue is full.
CONTROL_WAITING_RESERVE = 1000
# Callers that can offer again may fill only this share of the queue; it still holds several full commits.
WAITING_SHARE = 0.5
# Before the first commit the length of events is not known; the usual sample has 600 bytes with its metadata.
EVENT_BYTES_GUESS = 1024

# One commit: 300 KB in, 12 KB out, 8 ms of the loop's time with the encoding. More would hardly compress better.
ENTRIES_MAX = 500

# A full or failing disk is asked again; the first tries catch what passes by itself.
COMMIT_BACKOFF = Backoff(first_s=0.25, longest_s=10.0)

# How late a state directory that was deleted or replaced is noticed while nothing is committed.
PLACE_CHECK_S = 1.0
# Then nothing more is accepted. What was accepted still lies in the open file, and nowhere else if the directory was
# deleted: the forwarder may send it for so long.
LAST_FORWARDING_S = 30.0

# Reading back what an unclear commit left; bounds memory.
CATCH_UP_BYTES_MAX = 1024 * 1024


class Intake:
    """What waits for the next commit: bounded, in order of arrival. What does not fit was never accepted."""

    def __init__(self, *, entries_max: int = ENTRIES_WAITING_MAX, bytes_max: int = BYTES_WAITING_MAX) -> None:
        self._waiting: deque[Draft] = deque()
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        # An event has no length before it is encoded, and cannot be encoded before it has its number: the recent mean
        # stands for it.
        self._event_bytes = float(EVENT_BYTES_GUESS)
        # How many drafts were ever refused.
        self.refused = 0
        # How many drafts were ever taken in, and given out.
        self.taken = 0
        self.given = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self) -> list[Draft]:
        """What is still in the queue, the oldest first."""
        return list(self._waiting)

    def offer(self, draft: Draft, *, can_wait: bool = False) -> bool:
        """Take a draft in, or refuse it: its author counts what was refused, and declares it.

        With `can_wait` the draft's sender offers it again, and the queue counts as full at half its size. So a poll,
        which cannot wait, always finds room.
        """
        room = self._entries_max if draft.is_telemetry else self._entries_max + CONTROL_WAITING_RESERVE
        part = WAITING_SHARE if can_wait else 1.0
        if len(self._waiting) >= part * min(room, room * self._bytes_max / (self._event_bytes * self._entries_max)):
            self.refused += not can_wait
            return False
        self.put(draft)
        return True

    def put(self, draft: Draft) -> None:
        """Take a draft in whose author waits for its commit: there are never more of these than there are tasks."""
        self._waiting.append(draft)
        self.taken += 1

    def give(self, count_max: int) -> list[Draft]:
        """Give out the oldest drafts."""
        drafts = [self._waiting.popleft() for _ in range(min(count_max, len(self._waiting)))]
        self.given += len(drafts)
        return drafts

    def learn_size(self, entries: int, size_bytes: int) -> None:
        """Take note of how long encoded events are."""
        if entries:
            # The mean over some ten commits: one long text does not shrink the queue for long.
            self._event_bytes += (size_bytes / entries - self._event_bytes) * 0.1


class Writer:
    """Forms batches from what waits and commits them, one at a time.

    What holds of it, and the test of each:

    - An event is accepted when its COMMIT has returned, and its author is told after that.
      `test_nothing_is_accepted_before_it_is_on_disk`
    - A commit that fails keeps its entries and their numbers until the disk takes them.
      `test_a_failed_commit_keeps_its_entries_with_their_numbers_until_the_disk_takes_them`
    - A batch of which the outcome is unknown is looked for in the file and never written twice.
      `test_a_batch_that_came_to_disk_although_its_commit_failed_is_not_written_twice`
    - A position comes to disk after all smaller ones: `_turn` is kept over all tries of a batch.
      `test_positions_become_visible_in_order_whoever_writes`
    - A transaction is committed after everything that was offered before it.
      `test_what_was_offered_before_a_transaction_is_committed_before_it`
    - The statements and the events of a transaction are on disk together, or none of them.
      `test_a_transaction_writes_statements_and_events_together_or_not_at_all`
    - A position of a transaction that failed is never used again.
      `test_a_failed_transaction_is_its_callers_affair_and_uses_up_its_positions`
    - A cancellation amid any statement loses no event and doubles none.
      `test_cancelling_during_a_statement_of_a_commit_loses_and_doubles_nothing`
    - A file that has lost its place takes nothing more.
      `test_the_writer_notices_within_a_second_and_accepts_nothing_more`
    - Closing tries once: a dead disk does not hold up the stop.
      `test_a_dead_disk_does_not_hold_up_the_stop`
    """

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        intake: Intake,
        backlog: Backlog,
        upkeep: Upkeep,
        clock: Clock,
        settings: OutboxSettings,
    ) -> None:
        self.is_running = False
        self.commits_failed = 0
        self.committed_at_s: float | None = None
        # Why the last try failed; None while commits succeed.
        self.failure: CommitFailed | None = None
        self._database = database
        self._ledger = ledger
        self._intake = intake
        self._backlog = backlog
        self._upkeep = upkeep
        self._clock = clock
        self._interval_s = settings.commit_interval_ms / 1000
        self._generation = database.generation
        self._turn = asyncio.Lock()
        # Formed, not yet on disk.
        self._batch: Batch | None = None
        self._queued = asyncio.Event()
        self._hurried = asyncio.Event()
        ledger.cursors.on_change = self._note_change

    def notify_queued(self) -> None:
        """Note that something came in."""
        self._queued.set()
        if len(self._intake) >= ENTRIES_MAX:
            self._hurried.set()

    def hurry(self) -> None:
        """Commit what waits now. What is on its way to disk already needs no hurry."""
        if self._intake:
            self._hurried.set()

    async def run(self) -> None:
        """Commit in groups, without end. Raises StateDirectoryLost, which ends the daemon: see `_forward_last`."""
        self.is_running = True
        try:
            while True:
                await self._until_due()
                await self.commit_waiting()
        except StateDirectoryLost:
            await self._forward_last()
            raise
        finally:
            self.is_running = False

    async def commit_waiting(self) -> None:
        """Commit everything that came in before this call; try for as long as the disk does not take it."""
        async with self._turn:
            await self._commit_waiting()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[OutboxTransaction]:
        """Do statements and control events in one commit, after everything that came in before."""
        async with self._turn:
            await self._commit_waiting()
            try:
                await self._catch_up()
                async with self._database.transaction(on_commit=lambda: self._committed(outbox.batch())) as statements:
                    outbox = OutboxTransaction(
                        statements,
                        numbering=self._ledger.numbering,
                        streams=self._ledger.streams,
                        alarms=self._ledger.alarms,
                        committed_at_ms=self._clock.unix_ms(),
                    )
                    yield outbox
                    await outbox.write_entries()
            except CommitFailed as error:
                self._note_failure(error)
                raise

    async def close(self) -> None:
        """Commit what waits and where the cursors are, with one try: a dead disk must not hold up the stop."""
        async with self._turn:
            try:
                while self._batch is not None or self._intake:
                    await self._commit(self._formed())
                if self._upkeep.is_pending:
                    await self._commit(Batch(), with_upkeep=True)
            except CommitFailed as error:
                self._note_loss(error)

    async def _until_due(self) -> None:
        while not self._has_work():
            self._queued.clear()
            due_in_s = self._upkeep.due_in_s()
            if due_in_s == 0:
                return
            await self._check_place()
            with suppress(TimeoutError):
                async with asyncio.timeout(PLACE_CHECK_S if due_in_s is None else min(due_in_s, PLACE_CHECK_S)):
                    await self._queued.wait()
        if self._batch is None:
            # The interval begins with the first arrival: what comes together is committed together.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._hurried.wait()
        self._hurried.clear()

    async def _check_place(self) -> None:
        try:
            await self._database.check_place()
        except StateDirectoryLost as error:
            self._note_failure(error)
            raise
        except CommitFailed as error:
            # Nothing says that it is gone. The next commit finds out.
            log.debug("outbox_place_unknown", problem=str(error))

    async def _forward_last(self) -> None:
        """Give the forwarder time for what is accepted and not yet forwarded, before the daemon ends.

        Ending is right in the end: a new start uses the directory that is there now, and measures again. A daemon that
        went on without its file could accept nothing.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + LAST_FORWARDING_S
        while self._is_forwarding() and loop.time() < end_s:  # noqa: ASYNC110 - cursors set no event
            await asyncio.sleep(PLACE_CHECK_S)
        pending = sum(cursor.pending for cursor in self._ledger.cursors.lagging().values())
        log.error("outbox_abandoned", entries_pending=pending, problem=str(self.failure))

    def _is_forwarding(self) -> bool:
        return not self._ledger.streams.parked().keys() >= self._ledger.cursors.lagging().keys()

    def _has_work(self) -> bool:
        return self._batch is not None or bool(self._intake)

    async def _commit_waiting(self) -> None:
        goal = self._intake.taken
        while self._batch is not None or self._intake.given < goal or self._upkeep.due_in_s() == 0:
            await self._commit_patiently(self._formed())

    def _formed(self) -> Batch:
        if self._batch is None:
            drafts = self._intake.give(ENTRIES_MAX)
            self._batch = form_batch(drafts, self._ledger.numbering, committed_at_ms=self._clock.unix_ms())
            self._intake.learn_size(len(drafts), self._batch.size_bytes)
        return self._batch

    async def _commit_patiently(self, batch: Batch) -> None:
        failures = 0
        while True:
            try:
                await self._commit(batch)
            except StateDirectoryLost as error:
                self._note_failure(error)
                raise
            except CommitFailed as error:
                self._note_failure(error)
            else:
                return
            failures += 1
            # No jitter: no other process waits for this disk.
            await asyncio.sleep(COMMIT_BACKOFF.delay_s(failures, lambda: 1.0))

    async def _commit(self, batch: Batch, *, with_upkeep: bool = False) -> None:
        await self._catch_up()
        ledger = self._ledger
        if batch.entries and batch.entries[-1].position <= ledger.last_position:
            # An earlier try had come to disk after all.
            return
        is_full = self.failure is not None and self.failure.code == sqlite3.SQLITE_FULL
        if not (with_upkeep or is_full or self._upkeep.rides_along):
            await self._write(batch)
            return
        changed = self._upkeep.begin()
        try:
            async with self._upkeep.statements(
                self._database,
                row=ledger.cursor_row(ledger.cursors),
                through=ledger.cursors.forwarded_through(ledger.last_position),
                everything=is_full,
            ) as upkeep:
                # What the deletes free is there for the inserts.
                await self._write(batch, *upkeep)
        except BaseException:
            self._upkeep.failed(changed)
            raise

    async def _write(self, batch: Batch, *before: Statement) -> None:
        statements = [*before, *self._ledger.streams.unwritten(batch.streams), *batch.statements]
        await self._database.write(
            statements, on_commit=lambda: self._committed(batch), use_reserve=not batch.has_telemetry
        )

    async def _catch_up(self) -> None:
        """After the file was opened anew, take in what a commit of unknown outcome left in it."""
        generation = await self._database.mend()
        if generation == self._generation:
            return
        streams, alarms = await load_streams(self._database), await load_open_alarms(self._database)
        quarantined = await count_quarantined(self._database)
        through = await newest_position(self._database)
        entries = []
        position = self._ledger.last_position
        while position < through:
            page = await self._backlog.read_after(position, through=through, bytes_max=CATCH_UP_BYTES_MAX)
            entries += page.entries
            position = page.scanned_to
        ours = self._batch
        waiting = [*(() if ours is None else ours.declarations), *self._intake.waiting()]
        self._ledger.streams.take_in(streams)
        self._ledger.alarms.take_in(alarms, waiting)
        self._ledger.quarantined = quarantined
        if ours is not None and ours.entries and entries and entries[-1].position >= ours.entries[-1].position:
            entries = [entry for entry in entries if entry.position < ours.entries[0].position]
        else:
            ours = None
        if entries:
            self._ledger.publish(Batch(entries=entries))
        if ours is not None:
            self._committed(ours)
        self._generation = generation

    def _committed(self, batch: Batch) -> None:
        if self._batch is batch:
            self._batch = None
        self.committed_at_s = self._clock.monotonic_s()
        if self.failure is not None:
            log.info("commits_restored")
            self.failure = None
        self._ledger.publish(batch)

    def _note_failure(self, error: CommitFailed) -> None:
        self.commits_failed += 1
        if isinstance(error, StateDirectoryLost) and not isinstance(self.failure, StateDirectoryLost):
            log.error("state_directory_lost", problem=str(error), waiting=len(self._intake))
        elif self.failure is None:
            log.error("commit_failed", problem=str(error), waiting=len(self._intake))
        self.failure = error

    def _note_loss(self, error: CommitFailed) -> None:
        # None of them was accepted: their authors were not told that they are on disk.
        lost = len(self._intake) + (0 if self._batch is None else len(self._batch.entries))
        log.error("outbox_closed_without_commit", entries_lost=lost, problem=str(error))

    def _note_change(self) -> None:
        if self._upkeep.note_change():
            self._queued.set()
