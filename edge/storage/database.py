"""The one SQLite file, its one connection, and the transactions on it.

Everything that is accepted is in here. One process, one connection (which also keeps clear of SQLite's WAL-reset bug:
it needs two), `synchronous=FULL`: COMMIT returns when the medium has it.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import structlog

from edge.domain.settings import OutboxSettings
from edge.storage.connection import (
    Connect,
    Connection,
    Row,
    SqlValue,
    connect_in_thread,
    migrate,
    migrations,
    translated,
    uninterrupted,
)
from edge.storage.errors import (
    CommitFailed,
    DatabaseDamaged,
    DatabaseInUse,
    StateDirectoryLost,
    StorageError,
    primary_code,
)
from edge.storage.state_directory import FilePlace, held_directory

log = structlog.get_logger()

FILE_NAME = "outbox.sqlite"

PAGE_SIZE = 4096
# What the file may shrink back to after a long write-ahead log; a checkpoint every 1000 pages keeps it near 4 MiB.
JOURNAL_SIZE_LIMIT = 8 * 1024 * 1024
MEBIBYTE = 1024 * 1024
SYNCHRONOUS_FULL = 2

# A part of the quota that telemetry does not get: control events, cursors and a new run still find room in a file that
# is full, or a full outbox could not even be opened to be drained.
RESERVED_SHARE = 1 / 16

# A COMMIT that fails so has written nothing. After any other failure only the file, opened anew, can tell.
NOT_COMMITTED = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})

Result = TypeVar("Result")


class Statement(NamedTuple):
    """One statement and the rows it runs for."""

    sql: str
    rows: Sequence[Sequence[SqlValue]] = ((),)


class Reader(Protocol):
    """Answers queries: the database between commits, or a transaction from within."""

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        """Run a query; all its rows. Keep it short (20 ms at most): commits wait meanwhile."""

    async def fetch_one(self, sql: str, parameters: Sequence[SqlValue] = ()) -> Row | None:
        """Run a query; its first row, or None."""


class OpenTransaction(Reader, Protocol):
    """A transaction that is under way."""

    async def execute(self, sql: str, parameters: Sequence[SqlValue] = ()) -> None:
        """Run a statement."""


class Judged(Protocol):
    """Awaits a statement. A failing disk has the file closed before the error goes on."""

    def __call__(self, statement: Awaitable[Result], /) -> Coroutine[None, None, Result]:
        """Await the statement."""


class Transaction:
    """Statements between BEGIN IMMEDIATE and COMMIT."""

    def __init__(self, connection: Connection, judged: Judged) -> None:
        self._connection = connection
        self._judged = judged

    async def execute(self, sql: str, parameters: Sequence[SqlValue] = ()) -> None:
        """Run a statement."""
        await self.fetch_all(sql, parameters)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> None:
        """Run a statement once per row."""
        await uninterrupted(self._judged(self._connection.execute_many(sql, rows)))

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        """Run a query; all its rows."""
        return await uninterrupted(self._judged(self._connection.fetch_all(sql, parameters)))

    async def fetch_one(self, sql: str, parameters: Sequence[SqlValue] = ()) -> Row | None:
        """Run a query; its first row, or None."""
        return next(iter(await self.fetch_all(sql, parameters)), None)


class Database:
    """The outbox's file. Made by `open_database`."""

    def __init__(self, file: Path, *, connect: Connect, settings: OutboxSettings) -> None:
        self.file = file
        # Counts the times the file was opened: after a failing disk it is opened anew, and what an unclear commit
        # wrote may have come back with it.
        self.generation = 0
        self._connect = connect
        self._pages_max = settings.max_size_mb * MEBIBYTE // PAGE_SIZE
        # What SQLite was last told.
        self._pages_allowed = 0
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._place = FilePlace(file)

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        """Run a query between two commits. Raises StorageError."""
        async with self._lock:
            with translated():
                return await uninterrupted(self._fetch(sql, parameters))

    async def fetch_one(self, sql: str, parameters: Sequence[SqlValue] = ()) -> Row | None:
        """Run a query between two commits; its first row, or None. Raises StorageError."""
        return next(iter(await self.fetch_all(sql, parameters)), None)

    @asynccontextmanager
    async def transaction(
        self, *, on_commit: Callable[[], None] | None = None, use_reserve: bool = True
    ) -> AsyncIterator[Transaction]:
        """Do several statements as one: all of them are on disk when the context has ended, or none.

        Without `use_reserve` it must leave the reserved part of the quota alone. `on_commit` is called when COMMIT has
        returned, also when the caller was cancelled meanwhile. Raises CommitFailed when the disk did not take it;
        whether anything was written is then unknown.
        """
        async with self._lock:
            with translated():
                try:
                    connection = await uninterrupted(self._begin(use_reserve=use_reserve))
                    yield Transaction(connection, self._judged)
                    await uninterrupted(self._commit(connection, on_commit))
                except BaseException:
                    await uninterrupted(self._roll_back())
                    raise

    async def write(
        self,
        statements: Sequence[Statement],
        *,
        on_commit: Callable[[], None] | None = None,
        use_reserve: bool = True,
    ) -> None:
        """Run statements in a transaction of their own, with no gap in which the caller could be cancelled.

        Arguments and errors as in `transaction`.
        """
        async with self._lock:
            with translated():
                await uninterrupted(self._write(statements, on_commit, use_reserve=use_reserve))

    async def mend(self) -> int:
        """Open the file anew if the disk failed since; return the generation. Raises StorageError."""
        async with self._lock:
            with translated():
                await uninterrupted(self._ready())
        return self.generation

    async def check_place(self) -> None:
        """Look whether the file is still where it was opened. Raises StateDirectoryLost.

        It waits for a commit that is under way: SQLite may be writing its log back into the file just then.
        """
        async with self._lock:
            self._place.check()

    async def checkpoint(self) -> None:
        """Write the whole log back into the file, and empty the log. Raises StorageError."""
        async with self._lock:
            with translated():
                await uninterrupted(self._checkpoint())

    async def size_bytes(self) -> int:
        """How much of the quota is used: pages that hold something."""
        row = await self.fetch_one("SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count")
        assert row is not None, "both pragmas give one row"
        return int(row[0]) * PAGE_SIZE

    async def open(self) -> None:
        """Open the file; only `open_database` calls this."""
        with translated():
            await uninterrupted(self._ready())

    async def close(self) -> None:
        """Close the file; only `open_database` calls this."""
        async with self._lock:
            await uninterrupted(self._close())
            self._place.close()

    async def _fetch(self, sql: str, parameters: Sequence[SqlValue]) -> list[Row]:
        connection = await self._ready()
        return await self._judged(connection.fetch_all(sql, parameters))

    async def _checkpoint(self) -> None:
        connection = await self._ready()
        self._place.check()
        await self._judged(connection.fetch_all("PRAGMA wal_checkpoint(TRUNCATE)"))
        self._place.note_written()

    async def _write(
        self, statements: Sequence[Statement], on_commit: Callable[[], None] | None, *, use_reserve: bool
    ) -> None:
        try:
            connection = await self._begin(use_reserve=use_reserve)
            for statement in statements:
                await self._judged(connection.execute_many(statement.sql, statement.rows))
            await self._commit(connection, on_commit)
        except BaseException:
            await self._roll_back()
            raise

    async def _begin(self, *, use_reserve: bool) -> Connection:
        connection = await self._ready()
        self._place.check()
        allowed = self._pages_max if use_reserve else round(self._pages_max * (1 - RESERVED_SHARE))
        if allowed != self._pages_allowed:
            # A file that is larger already stays as large: what deletes have freed in it can be used.
            await self._judged(connection.fetch_all(f"PRAGMA max_page_count = {allowed}"))
            self._pages_allowed = allowed
        await self._judged(connection.fetch_all("BEGIN IMMEDIATE"))
        return connection

    async def _commit(self, connection: Connection, on_commit: Callable[[], None] | None) -> None:
        try:
            await connection.fetch_all("COMMIT")
        except sqlite3.Error as error:
            if primary_code(error) not in NOT_COMMITTED:
                await self._close_failed(error)
            raise
        try:
            # What went into a file that is deleted is not accepted.
            self._place.note_written()
        except StateDirectoryLost:
            raise
        except CommitFailed:
            # It is committed and not told. The file, opened anew, tells: else the next try would write it twice.
            await self._close()
            raise
        if on_commit is not None:
            on_commit()

    async def _roll_back(self) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.fetch_all("ROLLBACK")
        except sqlite3.Error as error:
            # SQLite rolls back by itself after some errors, and then says that there is nothing to roll back. After any
            # other error the transaction may still be open, and the next BEGIN would fail.
            if primary_code(error) != sqlite3.SQLITE_ERROR:
                await self._close_failed(error)

    async def _judged(self, statement: Awaitable[Result]) -> Result:
        """Await a statement; close the file if the disk failed it.

        The task that runs the statement closes the file, and not the caller: a caller that was cancelled meanwhile only
        sees its own cancellation.
        """
        try:
            return await statement
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_IOERR:
                await self._close_failed(error)
            raise

    async def _close_failed(self, error: sqlite3.Error) -> None:
        """Close after a failed read, write or sync, or when it is unclear whether a transaction has ended.

        The kernel marks pages it could not sync as clean: frames missing in the middle of the write-ahead log would
        make every later one unreadable. So nothing more goes into this log; the next use opens the file anew.
        """
        log.error("disk_failed", file=str(self.file), problem=str(error))
        await self._close()

    async def _ready(self) -> Connection:
        if self._connection is None:
            # Another file may be there by now. What memory knows of the old one must not be mixed with it.
            self._place.check_identity()
            self._connection = await self._opened()
            self._pages_allowed = 0
            self.generation += 1
        return self._connection

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._place.note_closed()
            with suppress(sqlite3.Error):
                await connection.close()

    async def _opened(self) -> Connection:
        connection = await self._connect(self.file)
        try:
            await self._prepare(connection)
            await migrate(connection, migrations())
            self._place.note_opened()
        except BaseException:
            with suppress(sqlite3.Error):
                await connection.close()
            raise
        return connection

    async def _prepare(self, connection: Connection) -> None:
        # page_size works on a new file only, before it is in WAL mode; locking_mode before the first read, so that no
        # shared-memory file is made and the lock is held for as long as the connection lives.
        for pragma in (f"page_size = {PAGE_SIZE}", "locking_mode = EXCLUSIVE", "trusted_schema = OFF"):
            await connection.fetch_all(f"PRAGMA {pragma}")
        [(mode,)] = await connection.fetch_all("PRAGMA journal_mode = WAL")
        for pragma in (
            "synchronous = FULL",
            "secure_delete = OFF",
            "cell_size_check = ON",
            "wal_autocheckpoint = 1000",
            f"journal_size_limit = {JOURNAL_SIZE_LIMIT}",
        ):
            await connection.fetch_all(f"PRAGMA {pragma}")
        [(synchronous,)] = await connection.fetch_all("PRAGMA synchronous")
        if mode != "wal" or synchronous != SYNCHRONOUS_FULL:
            raise StorageError(f"SQLite gives journal_mode {mode}, synchronous {synchronous}: not durable")
        # Also takes the lock. What a failed sync may have left in the log goes into the file, with a sync of its own.
        [(busy, *_)] = await connection.fetch_all("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise CommitFailed("the write-ahead log could not be written back", code=sqlite3.SQLITE_BUSY)


@asynccontextmanager
async def open_database(
    state_directory: Path, *, settings: OutboxSettings | None = None, connect: Connect = connect_in_thread
) -> AsyncIterator[Database]:
    """Open (or make) the outbox's file in a directory, for this process alone.

    Raises DatabaseInUse, DatabaseTooNew, DatabaseDamaged, or CommitFailed when the disk does not give it.
    """
    with held_directory(state_directory):
        database = Database(state_directory / FILE_NAME, connect=connect, settings=settings or OutboxSettings())
        try:
            with naming(database.file):
                await database.open()
            log.info("database_opened", file=str(database.file), sqlite_version=sqlite3.sqlite_version)
            yield database
        finally:
            await database.close()


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Name the file in what is raised while it is opened and looked through."""
    try:
        yield
    except CommitFailed as error:
        if error.code == sqlite3.SQLITE_BUSY:
            raise DatabaseInUse(f"{file} is held open by another program") from error
        raise CommitFailed(f"{file}: {error}", code=error.code) from error
    except DatabaseDamaged as error:
        raise DatabaseDamaged(f"{file}: {error}") from error
