import asyncio
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from edge.domain.settings import OutboxSettings
from edge.storage.connection import Connection
from edge.storage.database import FILE_NAME, Database, Statement, open_database
from edge.storage.errors import CommitFailed, DatabaseDamaged, DatabaseInUse, StorageError
from fakes.inline_sqlite import InlineConnect, connect_inline, disk_error, ignore

INSERT = "INSERT INTO rollups (minute, checksum, body) VALUES (?, x'', x'')"


async def opened(directory: Path) -> None:
    async with open_database(directory):
        pass


async def minutes(database: Database) -> list[int]:
    return [minute for (minute,) in await database.fetch_all("SELECT minute FROM rollups ORDER BY minute")]


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("locking_mode", "exclusive"),
        ("secure_delete", 0),
        ("page_size", 4096),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("journal_size_limit", 8 * 1024 * 1024),
        ("auto_vacuum", 0),
    ],
)
async def test_the_file_is_opened_for_durability(tmp_path: Path, pragma: str, value: object) -> None:
    for _ in range(2):
        async with open_database(tmp_path, settings=OutboxSettings(max_size_mb=64)) as database:
            assert await database.fetch_one(f"PRAGMA {pragma}") == (value,)


async def test_no_shared_memory_file_is_made(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write([Statement(INSERT, [(1,)])])
        assert {file.name for file in tmp_path.iterdir()} == {FILE_NAME, f"{FILE_NAME}-wal", "outbox.lock"}


async def test_the_log_is_written_back_at_start(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.write([Statement(INSERT, [(1,)])])
        left = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    other = tmp_path / "copy"
    other.mkdir()
    for name, content in left.items():
        (other / name).write_bytes(content)
    assert (other / f"{FILE_NAME}-wal").stat().st_size > 0
    async with open_database(other) as database:
        assert (other / f"{FILE_NAME}-wal").stat().st_size == 0
        assert await minutes(database) == [1]


async def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from edge.storage.database import open_database\n"
        "async def main():\n"
        "    async with open_database(pathlib.Path(sys.argv[1])):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        # Its first lines are the log's.
        while await child.stdout.readline() != b"open\n":
            assert child.returncode is None
        with pytest.raises(DatabaseInUse, match=f"process {child.pid}$") as refusal:
            await opened(tmp_path)
        assert str(tmp_path) in str(refusal.value)
    finally:
        child.kill()
        await child.communicate()
    # The kernel let go of its lock: nothing stale is left to clear away.
    await opened(tmp_path)


async def test_a_program_that_holds_only_the_file_is_told_apart(tmp_path: Path) -> None:
    await opened(tmp_path)
    holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseInUse, match="held open by another program"):
            await opened(tmp_path)
    finally:
        holder.close()


async def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all, " * 400)
    with pytest.raises(DatabaseDamaged, match=FILE_NAME):
        await opened(tmp_path)


async def test_a_transaction_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            await transaction.execute(INSERT, (1,))
            await transaction.execute(INSERT, (2,))
        with suppress(ZeroDivisionError):
            async with database.transaction() as transaction:
                await transaction.execute(INSERT, (3,))
                raise ZeroDivisionError
        with pytest.raises(sqlite3.IntegrityError):
            await database.write([Statement(INSERT, [(4,)]), Statement(INSERT, [(4,)])])
        assert await minutes(database) == [1, 2]


async def test_a_reader_never_sees_half_a_transaction(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            await transaction.execute(INSERT, (1,))
            reading = asyncio.create_task(minutes(database))
            await transaction.execute(INSERT, (2,))
            assert not reading.done()
        assert await reading == [1, 2]


async def test_cancelling_amid_a_statement_rolls_back_and_leaves_the_connection_usable(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        begun = asyncio.Event()

        async def work() -> None:
            async with database.transaction() as transaction:
                await transaction.execute(INSERT, (1,))
                begun.set()
                # A second or so in SQLite's thread; cancelling does not stop it.
                await transaction.fetch_one(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT max(i) FROM n"
                )

        task = asyncio.create_task(work())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await database.write([Statement(INSERT, [(2,)])])
        assert await minutes(database) == [2]


async def test_a_commit_that_is_cancelled_half_way_still_tells_that_it_succeeded(tmp_path: Path) -> None:
    committed: list[str] = []
    async with open_database(tmp_path) as database:
        writing = asyncio.create_task(
            database.write([Statement(INSERT, [(1,)])], on_commit=lambda: committed.append("yes"))
        )
        # Three steps on, the lock is taken and BEGIN is with SQLite's thread.
        for _ in range(3):
            await asyncio.sleep(0)
        assert database._lock.locked()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert committed == ["yes"]
        assert await minutes(database) == [1]


async def test_a_full_file_fails_the_commit_and_takes_the_next_after_a_delete(tmp_path: Path) -> None:
    insert = "INSERT INTO rollups (minute, checksum, body) VALUES (?, x'', zeroblob(300000))"
    async with open_database(tmp_path, settings=OutboxSettings(max_size_mb=1)) as database:
        # An empty file has 100 KB, a sixteenth is reserved.
        for minute in range(3):
            await database.write([Statement(insert, [(minute,)])])
        with pytest.raises(CommitFailed) as failure:
            await database.write([Statement(insert, [(3,)])])
        assert failure.value.code == sqlite3.SQLITE_FULL
        assert await minutes(database) == [0, 1, 2]
        await database.write([Statement("DELETE FROM rollups WHERE minute = 0"), Statement(insert, [(99,)])])
        assert await minutes(database) == [1, 2, 99]


async def test_a_part_of_the_quota_is_reserved(tmp_path: Path) -> None:
    insert = "INSERT INTO rollups (minute, checksum, body) VALUES (?, x'', zeroblob(40000))"
    async with open_database(tmp_path, settings=OutboxSettings(max_size_mb=1)) as database:
        minute = 0
        with suppress(CommitFailed):
            for minute in range(100):
                await database.write([Statement(insert, [(minute,)])], use_reserve=False)
        assert 15 < minute < 25
        await database.write([Statement(insert, [(minute,)])])
        with pytest.raises(CommitFailed):
            await database.write([Statement(insert, [(minute + 1,)])], use_reserve=False)


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(StorageError, match=r"state directory .*file/state cannot be used: Not a directory"):
        await opened(tmp_path / "file" / "state")


async def test_after_a_failed_sync_the_file_is_opened_anew_before_anything_else_is_written(tmp_path: Path) -> None:
    statements: list[str] = []
    connect = InlineConnect()
    async with open_database(tmp_path, connect=connect) as database:

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

        connect.before = fail
        with pytest.raises(CommitFailed):
            await database.write([Statement(INSERT, [(1,)])])
        connect.before = statements.append
        generation = database.generation
        await database.write([Statement(INSERT, [(2,)])])
        assert database.generation == generation + 1
        assert statements.index("PRAGMA wal_checkpoint(TRUNCATE)") < statements.index(INSERT)
        assert await minutes(database) == [2]


async def test_an_error_of_ours_is_not_taken_for_a_failing_disk(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await database.write([Statement("DELETE FROM nowhere")])
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await database.fetch_all("SELECT * FROM nowhere")


async def test_the_size_counts_only_pages_in_use(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        empty = await database.size_bytes()
        await database.write([Statement("INSERT INTO rollups VALUES (1, x'', zeroblob(400000))")])
        assert await database.size_bytes() - empty >= 390_000
        await database.write([Statement("DELETE FROM rollups")])
        assert await database.size_bytes() == empty


@pytest.mark.parametrize("failing", ["BEGIN IMMEDIATE", INSERT, "COMMIT", "ROLLBACK"])
async def test_a_statement_that_fails_under_a_cancelled_transaction_has_the_file_opened_anew(
    tmp_path: Path, failing: str
) -> None:
    reached = set()
    for steps in range(30):
        connect = InlineConnect()
        async with open_database(tmp_path / f"{steps}", connect=connect) as database:
            failures = await _failing_once_and_cancelled(database, connect, failing=failing, steps=steps)
            generation = await database.mend()
            assert generation == (2 if failures else 1), f"cancelled after {steps} turns of the loop"
            reached.add(failures)
            await database.write([Statement(INSERT, [(2,)])])
            assert set(await minutes(database)) <= {1, 2}
    assert 1 in reached


async def _failing_once_and_cancelled(database: Database, connect: InlineConnect, *, failing: str, steps: int) -> int:
    """Cancel a transaction after some turns of the loop; return how often the statement failed."""
    failures = 0

    def fail(sql: str) -> None:
        nonlocal failures
        if sql == failing and not failures:
            failures += 1
            raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

    async def work() -> None:
        async with database.transaction() as transaction:
            await transaction.execute(INSERT, (1,))
            if failing == "ROLLBACK":
                await asyncio.Event().wait()

    connect.before = fail
    task = asyncio.create_task(work())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    connect.before = ignore
    if not task.cancelled():
        task.exception()
    return failures


async def test_an_opening_that_is_cancelled_leaves_no_connection_behind(tmp_path: Path) -> None:
    for steps in range(12):
        connect = CountingConnect()
        task = asyncio.create_task(_open_for_ever(tmp_path, connect))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert connect.closed == connect.opened


async def _open_for_ever(directory: Path, connect: "CountingConnect") -> None:
    async with open_database(directory, connect=connect):
        await asyncio.Event().wait()


class CountingConnect:
    """Counts the connections that were opened, and those that were closed."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0

    async def __call__(self, file: Path) -> "CountedConnection":
        connection = CountedConnection(await connect_inline(file), self)
        self.opened += 1
        return connection


class CountedConnection:
    """A connection that says when it is closed."""

    def __init__(self, connection: Connection, counts: CountingConnect) -> None:
        self._connection = connection
        self._counts = counts
        self.fetch_all = connection.fetch_all
        self.execute_many = connection.execute_many

    async def close(self) -> None:
        self._counts.closed += 1
        await self._connection.close()
