"""A state directory that is deleted, moved or replaced under the open outbox. Real files, real SQLite."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.storage.database import FILE_NAME, Database, Statement, open_database
from edge.storage.errors import CommitFailed, StateDirectoryLost
from fakes.inline_sqlite import InlineConnect, disk_error

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
        async with open_database(directory / "state") as database:
            await database.write([Statement(f"INSERT INTO rollups VALUES ({minute}, x'', x'')")])
    return directory / "copy"


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_nothing_is_committed_into_a_file_that_has_lost_its_place(tmp_path: Path, misdeed: Misdeed) -> None:
    copy = await older_copy(tmp_path)
    told: list[str] = []
    async with open_database(tmp_path / "state") as database:
        await database.write([INSERT])
        database.check_place()
        misdeed(tmp_path / "state", copy)
        with pytest.raises(StateDirectoryLost, match=str(tmp_path / "state")):
            database.check_place()
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
        connect.before = lambda _sql: None
    assert told == []


async def test_after_a_failed_sync_another_file_is_not_opened_in_the_place_of_ours(tmp_path: Path) -> None:
    copy = await older_copy(tmp_path)
    connect = InlineConnect()
    async with open_database(tmp_path / "state", connect=connect) as database:

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

        connect.before = fail
        with pytest.raises(CommitFailed):
            await database.write([INSERT])
        connect.before = lambda _sql: None
        replace(tmp_path / "state", copy)
        for question in (database.mend, lambda: database.fetch_all("SELECT 1"), lambda: database.write([INSERT])):
            with pytest.raises(StateDirectoryLost, match="was replaced by another file"):
                await question()


async def test_our_own_commits_and_checkpoints_are_not_taken_for_another_programs(tmp_path: Path) -> None:
    insert = "INSERT INTO rollups (minute, checksum, body) VALUES (?, x'', zeroblob(100000))"
    async with open_database(tmp_path) as database:
        # Some 6 MB: the log is written back to the file several times.
        for minute in range(60):
            await database.write([Statement(insert, [(minute,)])])
            async with database.transaction() as transaction:
                await transaction.execute("DELETE FROM rollups WHERE minute < ?", (minute - 5,))
            database.check_place()
        assert (tmp_path / FILE_NAME).stat().st_size > 500_000


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
