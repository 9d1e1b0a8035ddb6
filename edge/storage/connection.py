"""The few things we ask of a connection to SQLite; aiosqlite's thread by default, a seam for the simulation."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import aiosqlite

SqlValue: TypeAlias = int | float | str | bytes | None
# A column's type is the table's affair; whoever reads a row knows it.
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
    same connection would then land in a transaction that nobody knows about.
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
