"""SQLite without a thread: every statement is done when the call returns, so that virtual time stays deterministic.

Real SQLite on a real file; only the thread is missing. `before` and `after` are called around each statement and may
raise: that is where a simulated crash or a failing disk comes from.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge.storage.connection import Connection, Row, SqlValue

Hook = Callable[[str], None]


def ignore(_sql: str) -> None:
    """Do nothing around a statement."""


def disk_error(code: int, message: str = "made up by a test") -> sqlite3.OperationalError:
    """Make an error as SQLite raises it, with its result code."""
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


@dataclass
class InlineConnect:
    """Opens connections with hooks; give an instance as `connect`. The hooks may be changed at any time."""

    before: Hook = ignore
    after: Hook = ignore

    async def __call__(self, file: Path) -> Connection:
        return InlineConnection(sqlite3.connect(file, isolation_level=None, timeout=0), self)


@dataclass
class InlineConnection:
    """A connection in the caller's own thread."""

    connection: sqlite3.Connection
    hooks: InlineConnect

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        self.hooks.before(sql)
        with closing(self.connection.execute(sql, parameters)) as cursor:
            rows = cursor.fetchall()
        self.hooks.after(sql)
        return rows

    async def execute_many(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> None:
        self.hooks.before(sql)
        self.connection.executemany(sql, rows).close()
        self.hooks.after(sql)

    async def close(self) -> None:
        self.connection.close()


async def connect_inline(file: Path) -> Connection:
    """Open a connection without a thread."""
    return await InlineConnect()(file)
