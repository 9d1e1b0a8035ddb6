import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from edge.domain.event_store import NO_STREAM
from edge.domain.settings import OutboxSettings
from edge.storage.connection import Connect, Connection, Row, SqlValue, connect_in_thread
from edge.storage.database import open_database
from edge.storage.entries import Entry
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox, open_outbox
from fakes.inline_sqlite import InlineConnect, disk_error
from fakes.outbox_drafts import Drafting, all_entries, as_after_power_cut, virtual_outbox
from fakes.virtual_time import VirtualClock, run_virtual

SMALL = OutboxSettings(max_size_mb=1)


class Disk:
    """Makes COMMIT fail, before it is done or (as a failed sync can) after."""

    def __init__(self) -> None:
        self.connect = InlineConnect()
        self.tries = 0

    def fail(self, *, code: int = sqlite3.SQLITE_FULL, times: int = 1 << 30, although_done: bool = False) -> None:
        def hook(sql: str) -> None:
            nonlocal times
            if sql == "COMMIT" and times:
                self.tries += 1
                times -= 1
                raise disk_error(code)

        if although_done:
            self.connect.after = hook
        else:
            self.connect.before = hook

    def mend(self) -> None:
        self.fail(times=0)


def sequences(entries: Sequence[Entry]) -> list[int]:
    return [json.loads(entry.data)["sequence"] for entry in entries]


def test_a_failed_commit_keeps_its_entries_with_their_numbers_until_the_disk_takes_them(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox, asyncio.TaskGroup() as tasks:
            live: list[Entry] = []
            outbox.attach(live.extend)
            writer = tasks.create_task(outbox.run())
            disk.fail()
            offered = [drafting.sample() for _ in range(3)]
            for draft in offered:
                outbox.offer(draft)
            await asyncio.sleep(60)
            assert outbox.statistics().is_failing
            # What comes meanwhile waits behind.
            offered.append(drafting.sample())
            outbox.offer(offered[-1])
            assert drafting.accepted == []
            disk.mend()
            await asyncio.sleep(20)
            writer.cancel()
            assert [entry.position for entry in live] == [1, 2, 3, 4]
            entries = await all_entries(outbox)
            assert [entry.event_id for entry in entries] == drafting.accepted == [draft.event_id for draft in offered]
            assert sequences(entries) == [1, 2, 3, 4]
            assert outbox.statistics().commits_failed == disk.tries
            # 0.25 s, then twice as long each time, at most 10 s.
            assert 8 <= disk.tries <= 12

    run_virtual(main)


def test_a_failing_disk_is_logged_once_and_so_is_its_recovery(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox:
            with capture_logs() as logs:
                disk.fail(times=5)
                outbox.offer(drafting.sample())
                await outbox.flush()
            assert [line["event"] for line in logs] == ["commit_failed", "commits_restored"]

    run_virtual(main)


def test_reading_goes_on_while_the_disk_takes_no_commits(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox, asyncio.TaskGroup() as tasks:
            await outbox.record(drafting.control())
            writer = tasks.create_task(outbox.run())
            disk.fail()
            outbox.offer(drafting.sample())
            await asyncio.sleep(30)
            async with asyncio.timeout(0.001):
                assert len(await all_entries(outbox)) == 1
            writer.cancel()
            disk.mend()

    run_virtual(main)


def test_a_transaction_waits_behind_a_failing_batch(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox, asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(outbox.run())
            disk.fail(times=6)
            outbox.offer(drafting.sample())
            await asyncio.sleep(1)
            async with outbox.transaction() as transaction:
                assert transaction.append(drafting.control()) == 2
            assert [entry.event_id for entry in await all_entries(outbox)] == drafting.accepted
            writer.cancel()

    run_virtual(main)


def test_a_failed_transaction_is_its_callers_affair_and_uses_up_its_positions(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox:
            disk.fail(times=1)
            with pytest.raises(CommitFailed):
                await _append(outbox, drafting)
            await _append(outbox, drafting)
            assert [entry.position for entry in await all_entries(outbox)] == [2]
            assert len(drafting.accepted) == 1

    run_virtual(main)


async def _append(outbox: Outbox, drafting: Drafting) -> None:
    async with outbox.transaction() as transaction:
        transaction.append(drafting.control())


def test_a_batch_that_came_to_disk_although_its_commit_failed_is_not_written_twice(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        live: list[Entry] = []
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox:
            outbox.attach(live.extend)
            disk.fail(code=sqlite3.SQLITE_IOERR_FSYNC, times=1, although_done=True)
            for _ in range(3):
                outbox.offer(drafting.sample())
            await outbox.flush()
            outbox.offer(drafting.sample())
            await outbox.flush()
            assert disk.tries == 1
            entries = await all_entries(outbox)
            assert [entry.event_id for entry in entries] == drafting.accepted
            assert live == entries
            assert sequences(entries) == [1, 2, 3, 4]

    run_virtual(main)


def test_a_transaction_that_came_to_disk_although_it_failed_is_forwarded_like_any_other(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        live: list[Entry] = []
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox:
            outbox.attach(live.extend)
            disk.fail(code=sqlite3.SQLITE_IOERR_FSYNC, times=1, although_done=True)
            with pytest.raises(CommitFailed):
                await _append(outbox, drafting)
            assert live == []
            outbox.offer(drafting.sample())
            await outbox.flush()
            assert [entry.position for entry in live] == [1, 2]
            assert live == await all_entries(outbox)

    run_virtual(main)


def test_cancelling_the_writer_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox:
            disk.fail(times=3)
            outbox.offer(drafting.sample())
            flushing = asyncio.create_task(outbox.flush())
            await asyncio.sleep(0.3)
            flushing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await flushing
            outbox.offer(drafting.sample())
            await outbox.flush()
            assert sequences(await all_entries(outbox)) == [1, 2]
            assert len(drafting.accepted) == 2

    run_virtual(main)


@pytest.mark.parametrize("steps", range(0, 24, 2))
async def test_cancelling_at_any_step_of_a_commit_loses_and_doubles_nothing(tmp_path: Path, steps: int) -> None:
    drafting = Drafting()
    async with _threaded_outbox(tmp_path) as outbox:
        live: list[Entry] = []
        outbox.attach(live.extend)
        outbox.offer(drafting.sample())
        flushing = asyncio.create_task(outbox.flush())
        for _ in range(steps):
            await asyncio.sleep(0)
        flushing.cancel()
        with suppress(asyncio.CancelledError):
            await flushing
        outbox.offer(drafting.sample())
        await outbox.flush()
        entries = await all_entries(outbox)
        assert live == entries
        assert [entry.event_id for entry in entries] == drafting.accepted
        assert sequences(entries) == [1, 2]


class WatchedConnection:
    """A connection on a thread that tells when a statement is about to run on it."""

    def __init__(self, connection: Connection, tell: Callable[[str], None]) -> None:
        self._connection = connection
        self._tell = tell

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        self._tell(sql)
        return await self._connection.fetch_all(sql, parameters)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> None:
        self._tell(sql)
        await self._connection.execute_many(sql, rows)

    async def close(self) -> None:
        await self._connection.close()


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "INSERT INTO streams", "INSERT INTO blocks", "COMMIT"])
async def test_cancelling_during_a_statement_of_a_commit_loses_and_doubles_nothing(
    tmp_path: Path, statement: str
) -> None:
    drafting, flushing = Drafting(), list[asyncio.Task[None]]()

    def cancel(sql: str) -> None:
        if flushing and sql.startswith(statement):
            flushing.pop().cancel()

    async def connect(file: Path) -> Connection:
        return WatchedConnection(await connect_in_thread(file), cancel)

    async with _threaded_outbox(tmp_path, connect) as outbox:
        outbox.offer(drafting.sample())
        flushing.append(asyncio.create_task(outbox.flush()))
        await asyncio.wait(flushing)
        assert not flushing, "the statement was run, and the task cancelled meanwhile"
        outbox.offer(drafting.sample())
        await outbox.flush()
        entries = await all_entries(outbox)
        assert [entry.event_id for entry in entries] == drafting.accepted
        assert sequences(entries) == [1, 2]


@asynccontextmanager
async def _threaded_outbox(directory: Path, connect: Connect = connect_in_thread) -> AsyncIterator[Outbox]:
    async with (
        open_database(directory, connect=connect) as database,
        open_outbox(database, run=uuid4(), clock=VirtualClock(), settings=OutboxSettings()) as outbox,
    ):
        yield outbox


def test_a_dead_disk_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        with capture_logs() as logs:
            async with virtual_outbox(tmp_path, connect=disk.connect) as outbox:
                disk.fail()
                outbox.offer(drafting.sample())
            assert asyncio.get_running_loop().time() == 0
        assert logs[-1]["event"] == "outbox_closed_without_commit"
        assert logs[-1]["entries_lost"] == 1
        assert drafting.accepted == []

    run_virtual(main)


LARGE = 10_000


def test_a_full_file_gives_up_forwarded_entries_whatever_their_age(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path, settings=SMALL) as outbox:
            flushing = await _filled(outbox, drafting)
            await asyncio.sleep(60)
            assert not flushing.done()
            stream, last = outbox.streams.number("sensorReadings-g.d1"), outbox.last_position
            outbox.cursors.acknowledge(stream, revision=0, event_id=None, position=last)
            await asyncio.sleep(20)
            assert flushing.done()
            assert not outbox.statistics().is_failing
            assert [entry.position for entry in await all_entries(outbox)] == [last + 1]

    run_virtual(main)


def test_control_events_and_a_new_run_find_room_in_a_full_file(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path, settings=SMALL) as outbox:
            (await _filled(outbox, drafting)).cancel()
            # The sample that found no room was never accepted.
            accepted = len(drafting.accepted)
        async with virtual_outbox(tmp_path, settings=SMALL) as outbox:
            assert len(await all_entries(outbox)) == accepted
            await outbox.record(drafting.control())
            assert len(drafting.accepted) == accepted + 1

    run_virtual(main)


async def _filled(outbox: Outbox, drafting: Drafting) -> asyncio.Task[None]:
    """Fill a small file until it takes no more; return the flush that waits for room."""
    while not outbox.statistics().is_failing:
        outbox.offer(drafting.sample(padding=LARGE))
        flushing = asyncio.create_task(outbox.flush())
        await asyncio.sleep(0.1)
    return flushing


@pytest.mark.parametrize("although_done", [True, False])
def test_a_declaration_and_the_cursors_it_speaks_of_stand_or_fall_together(tmp_path: Path, although_done: bool) -> None:
    async def main() -> None:
        disk, drafting = Disk(), Drafting()
        async with virtual_outbox(tmp_path, connect=disk.connect) as outbox:
            outbox.offer(drafting.sample())
            await outbox.flush()
            number = outbox.streams.number("sensorReadings-g.d1")
            outbox.cursors.acknowledge(number, revision=0, event_id=uuid4(), position=1)
            disk.fail(code=sqlite3.SQLITE_IOERR_FSYNC, times=1, although_done=although_done)
            with nullcontext() if although_done else pytest.raises(CommitFailed):
                await outbox.record_move(
                    drafting.control(),
                    move=lambda cursors: cursors.rewind(number, revision=NO_STREAM, event_id=None, position=0),
                )
            assert outbox.cursors[number].is_lagging is although_done
            crashed = as_after_power_cut(tmp_path, tmp_path / "crashed")
        async with virtual_outbox(crashed) as outbox:
            assert outbox.cursors[number].acked_revision == (NO_STREAM if although_done else None)
            assert len(await all_entries(outbox)) == 1 + although_done

    run_virtual(main)
