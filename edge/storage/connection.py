"""The few things we ask of a connection to SQLite, and the layout of the file behind it.

aiosqlite's thread by default, a seam for the simulation. The layout is brought up to date by numbered SQL files, each
in a transaction with its `user_version`.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import aiosqlite

from edge.storage.errors import DatabaseTooNew, storage_error

SqlValue: TypeAlias = int | float | str | bytes | None
# The type of a column is the table's affair; the reader of a row knows it.
Row: TypeAlias = tuple[Any, ...]

Result = TypeVar("Result")

# Another program that looks at the file for a moment (a backup tool) is waited for; a daemon never lets go.
BUSY_TIMEOUT_S = 2.0


class Connection(Protocol):
    """One connection in autocommit mode: BEGIN and COMMIT are statements like any other."""

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        """Run one statement and return its rows. Raises sqlite3.Error."""

    async def execute_many(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> None:
        """Run one statement once per row. Raises sqlite3.Error."""

    async def close(self) -> None:
        """Close; waits for what is still running."""


Connect: TypeAlias = Callable[[Path], Awaitable[Connection]]


class ThreadConnection:
    """A connection on aiosqlite's own thread, so that a slow disk never stops the loop."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        """Run one statement in one hop to the thread."""
        return [tuple(row) for row in await self._connection.execute_fetchall(sql, parameters)]

    async def execute_many(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> None:
        """Run one statement once per row, in one hop to the thread."""
        await self._connection.executemany(sql, rows)

    async def close(self) -> None:
        """Close. A connection left open would keep the process from ending (aiosqlite's thread is not a daemon)."""
        await self._connection.close()


async def connect_in_thread(file: Path) -> Connection:
    """Open a connection on a thread of its own."""
    return ThreadConnection(await aiosqlite.connect(file, isolation_level=None, timeout=BUSY_TIMEOUT_S))


async def uninterrupted(work: Coroutine[Any, Any, Result]) -> Result:
    """Let work end even if the caller is cancelled meanwhile; the cancellation comes through afterwards.

    Cancelling does not stop a statement in SQLite's thread, it would only lose sight of it: the next statement on the
    same connection would then land in a transaction that is still open.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # Retrieved, or asyncio would complain; the caller is going away and has no use for it.
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into ours; a bug stays what it is and stops the daemon."""
    try:
        yield
    except sqlite3.Error as error:
        translation = storage_error(error)
        if translation is None:
            raise
        raise translation from error


def migrations() -> dict[int, str]:
    """Read the package's migrations: number -> SQL, in order."""
    folder = resources.files("edge.storage") / "migrations"
    files = {int(file.name[:4]): file for file in folder.iterdir() if file.name.endswith(".sql")}
    return {number: files[number].read_text(encoding="utf-8") for number in sorted(files)}


async def migrate(connection: Connection, steps: Mapping[int, str]) -> None:
    """Apply what is missing. Raises DatabaseTooNew, before anything is changed, for a file of a newer release."""
    [(version,)] = await connection.fetch_all("PRAGMA user_version")
    newest = max(steps)
    if version > newest:
        raise DatabaseTooNew(f"the outbox has layout {version}; this release knows layouts up to {newest}")
    for number in sorted(steps):
        if number > version:
            await _apply(connection, number, steps[number])


async def _apply(connection: Connection, number: int, script: str) -> None:
    # A migration cut short by a crash is rolled back by SQLite; it then runs again from its beginning.
    await connection.fetch_all("BEGIN IMMEDIATE")
    try:
        for statement in _statements(script):
            await connection.fetch_all(statement)
        await connection.fetch_all(f"PRAGMA user_version = {number}")
        await connection.fetch_all("COMMIT")
    except sqlite3.Error:
        await connection.fetch_all("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    assert not statement.strip(), "a migration ends with a whole statement"
