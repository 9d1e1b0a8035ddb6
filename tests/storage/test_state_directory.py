"""A state directory that is deleted, moved or replaced under the open outbox. Real files, real SQLite."""

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge.domain.settings import OutboxSettings
from edge.storage.database import FILE_NAME, Database, Statement, open_database
from edge.storage.errors import CommitFailed, StateDirectoryLost
from edge.storage.state_directory import FilePlace
from edge.storage.writer import LAST_FORWARDING_S, PLACE_CHECK_S
from fakes.inline_sqlite import InlineConnect, connect_inline, disk_error, ignore
from fakes.outbox_drafts import GATEWAY_STREAM, Drafting, all_entries, virtual_outbox
from fakes.virtual_time import run_virtual

INTERVAL_S = OutboxSettings().commit_interval_ms / 1000

INSERT = Statement("INSERT INTO rollups (minute, checksum, body) VALUES (1, x'', x'')")


def delete(state: Path, _copy: Path) -> None:
    shutil.rmtree(state)


def delete_and_make_anew(state: Path, _copy: Path) -> None:
    shutil.rmtree(state)
    state.mkdir()


def move_away(state: Path, _copy: Path) -> None:
    state.rename(state.with_name("moved"))


def replace(state: Path, copy: Path) -> None:
    shutil.rmtree(state)
    shutil.copytree(copy, state)


def swap(state: Path, copy: Path) -> None:
    state.rename(state.with_name("moved"))
    copy.rename(state)


def copy_over(state: Path, copy: Path) -> None:
    shutil.copytree(copy, state, dirs_exist_ok=True)


def delete_file(state: Path, _copy: Path) -> None:
    (state / FILE_NAME).unlink()


def delete_log(state: Path, _copy: Path) -> None:
    (state / f"{FILE_NAME}-wal").unlink()


MISDEEDS = [delete, delete_and_make_anew, move_away, replace, swap, copy_over, delete_file, delete_log]
Misdeed = Callable[[Path, Path], None]


async def older_copy(directory: Path) -> Path:
    """Make a state directory; return a copy of it that lacks its last commit."""
    for minute in (-2, -1):
        if minute == -1:
            shutil.copytree(directory / "state", directory / "copy")
        async with open_database(directory / "state", connect=connect_inline) as database:
            await database.write([Statement(f"INSERT INTO rollups VALUES ({minute}, x'', x'')")])
    return directory / "copy"


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_nothing_is_committed_into_a_file_that_has_lost_its_place(tmp_path: Path, misdeed: Misdeed) -> None:
    copy = await older_copy(tmp_path)
    told: list[str] = []
    async with open_database(tmp_path / "state") as database:
        await database.write([INSERT])
        await database.check_place()
        misdeed(tmp_path / "state", copy)
        with pytest.raises(StateDirectoryLost, match=str(tmp_path / "state")):
            await database.check_place()
        with pytest.raises(StateDirectoryLost):
            await database.write([INSERT], on_commit=lambda: told.append("committed"))
        with pytest.raises(StateDirectoryLost):
            async with database.transaction(on_commit=lambda: told.append("committed")):
                pytest.fail("nothing begins any more")
    assert told == []


@pytest.mark.parametrize("misdeed", [delete, move_away, replace, swap, delete_file, delete_log])
async def test_a_commit_into_a_file_that_lost_its_place_meanwhile_is_not_told(tmp_path: Path, misdeed: Misdeed) -> None:
    copy = await older_copy(tmp_path)
    told: list[str] = []
    connect = InlineConnect()
    async with open_database(tmp_path / "state", connect=connect) as database:
        await database.write([Statement("DELETE FROM rollups")])
        connect.before = lambda sql: misdeed(tmp_path / "state", copy) if sql == "COMMIT" else None
        with pytest.raises(StateDirectoryLost):
            await database.write([INSERT], on_commit=lambda: told.append("committed"))
        connect.before = ignore
    assert told == []


@pytest.mark.parametrize("misdeed", [replace, delete_file, delete_and_make_anew])
async def test_after_a_failed_sync_another_file_is_not_opened_in_the_place_of_ours(
    tmp_path: Path, misdeed: Misdeed
) -> None:
    copy = await older_copy(tmp_path)
    connect = InlineConnect()
    async with open_database(tmp_path / "state", connect=connect) as database:

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

        connect.before = fail
        with pytest.raises(CommitFailed):
            await database.write([INSERT])
        connect.before = ignore
        misdeed(tmp_path / "state", copy)
        before = {file.name: file.read_bytes() for file in (tmp_path / "state").iterdir()}
        for question in (database.mend, lambda: database.fetch_all("SELECT 1"), lambda: database.write([INSERT])):
            with pytest.raises(StateDirectoryLost):
                await question()
        assert {file.name: file.read_bytes() for file in (tmp_path / "state").iterdir()} == before


async def test_our_own_commits_and_checkpoints_are_not_taken_for_another_programs(tmp_path: Path) -> None:
    insert = "INSERT INTO rollups (minute, checksum, body) VALUES (?, x'', zeroblob(100000))"
    async with open_database(tmp_path) as database:
        # Some 6 MB: the log is written back to the file several times.
        for minute in range(60):
            await database.write([Statement(insert, [(minute,)])])
            async with database.transaction() as transaction:
                await transaction.execute("DELETE FROM rollups WHERE minute < ?", (minute - 5,))
            await database.check_place()
        assert (tmp_path / FILE_NAME).stat().st_size > 500_000


async def test_a_checkpoint_under_way_is_not_taken_for_another_programs_work(tmp_path: Path) -> None:
    insert = "INSERT INTO rollups (minute, checksum, body) VALUES (?, x'', zeroblob(100000))"

    async def write(database: Database) -> None:
        for minute in range(100):
            await database.write([Statement(insert, [(minute,)])])
        await database.checkpoint()

    # With a thread: the loop turns while SQLite writes its log back.
    async with open_database(tmp_path) as database:
        writing = asyncio.create_task(write(database))
        while not writing.done():
            await database.check_place()
            await asyncio.sleep(0)
        await writing
        await database.check_place()


async def test_a_place_that_cannot_be_looked_at_is_a_commit_that_failed(tmp_path: Path) -> None:
    loop = tmp_path / "state"
    async with open_database(loop) as database:
        await database.write([INSERT])
        loop.rename(tmp_path / "moved")
        # A symbolic link that leads to itself: nothing says that the file is gone.
        loop.symlink_to(loop)
        with pytest.raises(CommitFailed) as failure:
            await database.write([INSERT])
        assert not isinstance(failure.value, StateDirectoryLost)
        loop.unlink()
        (tmp_path / "moved").rename(loop)
        await still_works(database)


async def still_works(database: Database) -> None:
    await database.write([Statement("DELETE FROM rollups")])


@pytest.mark.parametrize("misdeed", [delete, move_away, replace])
@pytest.mark.parametrize("is_idle", [True, False])
def test_the_writer_notices_within_a_second_and_accepts_nothing_more(
    tmp_path: Path, misdeed: Misdeed, is_idle: bool
) -> None:
    async def main() -> None:
        copy, drafting = await older_copy(tmp_path), Drafting()
        with capture_logs() as logs:
            async with virtual_outbox(tmp_path / "state") as outbox:
                writer = asyncio.create_task(outbox.run())
                await outbox.record(drafting.control())
                await asyncio.sleep(100)
                misdeed(tmp_path / "state", copy)
                if not is_idle:
                    outbox.offer(drafting.sample())
                await asyncio.sleep(0.01 + (PLACE_CHECK_S if is_idle else INTERVAL_S))
                assert outbox.statistics().is_failing
                with pytest.raises(StateDirectoryLost):
                    async with outbox.transaction() as transaction:
                        transaction.append(drafting.control())
                outbox.offer(drafting.sample())
                # The event store is away: what was accepted waits for it, but not for ever.
                await asyncio.wait([writer], timeout=LAST_FORWARDING_S - 2)
                assert not writer.done()
                with pytest.raises(StateDirectoryLost):
                    await writer
            assert len(drafting.accepted) == 1
        lost = [line for line in logs if line["event"] == "state_directory_lost"]
        assert [line["log_level"] for line in lost] == ["error"]
        [abandoned] = [line for line in logs if line["event"] == "outbox_abandoned"]
        assert abandoned["entries_pending"] == 1

    run_virtual(main)


def test_the_daemon_ends_as_soon_as_nothing_is_left_to_forward(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        async with virtual_outbox(tmp_path / "state") as outbox:
            writer = asyncio.create_task(outbox.run())
            outbox.offer(drafting.sample())
            await outbox.record(drafting.control())
            parked = outbox.streams.number(GATEWAY_STREAM)
            await outbox.park(parked, "deleted")
            delete(tmp_path / "state", tmp_path)
            await asyncio.sleep(5)
            assert not writer.done()
            # The file is read although it has no name: this is what the forwarder sends.
            assert [entry.position for entry in await all_entries(outbox)] == [1, 2]
            stream = outbox.streams.number("sensorReadings-g.d1")
            outbox.cursors.acknowledge(stream, revision=0, event_id=None, position=1)
            await asyncio.wait([writer], timeout=PLACE_CHECK_S + 0.1)
            assert isinstance(writer.exception(), StateDirectoryLost)

    run_virtual(main)


def test_a_place_that_passes_by_itself_ends_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        drafting = Drafting()
        state = tmp_path / "state"
        async with virtual_outbox(state) as outbox:
            writer = asyncio.create_task(outbox.run())
            await outbox.record(drafting.control())
            state.rename(tmp_path / "moved")
            state.symlink_to(state)
            outbox.offer(drafting.sample())
            await asyncio.sleep(20)
            assert outbox.statistics().is_failing
            state.unlink()
            (tmp_path / "moved").rename(state)
            await asyncio.sleep(20)
            assert len(drafting.accepted) == 2
            writer.cancel()

    run_virtual(main)


async def test_letting_go_of_the_file_keeps_sqlites_lock(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write([INSERT])
        place = FilePlace(tmp_path / FILE_NAME)
        place.note_opened()
        place.close()
        # Another process sees the lock; this one would not.
        program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        arguments = (sys.executable, "-c", program, str(tmp_path / FILE_NAME))
        other = await asyncio.create_subprocess_exec(*arguments, stderr=asyncio.subprocess.PIPE)
        _, words = await other.communicate()
        assert b"database is locked" in words


async def test_a_file_closed_after_a_failed_sync_has_not_lost_its_place(tmp_path: Path) -> None:
    connect = InlineConnect()
    async with open_database(tmp_path, connect=connect) as database:
        await database.write([INSERT])

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

        connect.before = fail
        with pytest.raises(CommitFailed):
            await still_works(database)
        connect.before = ignore
        # Closing has written the log back into the file.
        await database.check_place()
        await still_works(database)


def test_a_place_that_cannot_be_looked_at_right_after_a_commit_writes_nothing_twice(tmp_path: Path) -> None:
    async def main() -> None:
        drafting, connect = Drafting(), InlineConnect()
        state = tmp_path / "state"

        def hide(sql: str) -> None:
            if sql == "COMMIT":
                connect.after = ignore
                state.rename(tmp_path / "moved")
                state.symlink_to(state)

        async with virtual_outbox(state, connect=connect) as outbox:
            writer = asyncio.create_task(outbox.run())
            await outbox.record(drafting.control())
            connect.after = hide
            outbox.offer(drafting.sample())
            await asyncio.sleep(20)
            assert outbox.statistics().is_failing
            state.unlink()
            (tmp_path / "moved").rename(state)
            await asyncio.sleep(20)
            assert not writer.done()
            assert [entry.event_id for entry in await all_entries(outbox)] == drafting.accepted
            assert len(drafting.accepted) == 2
            writer.cancel()

    run_virtual(main)
