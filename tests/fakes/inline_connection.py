"""SQLite without its thread: the simulation's connection. Real file, real statements, deterministic order."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.storage.connection import Connect, Connection, Row, SqlValue


class InlineConnection:
    """`Connection` that does at once what it is asked. `point` is called before and after everything."""

    def __init__(self, file: Path, point: Callable[[], None]) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        # Nothing here survives a power cut, and nothing here cuts the power: the tests of storage do.
        self._point = point

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[Row]:
        self._point()
        rows = self._connection.execute(sql, parameters).fetchall()
        self._point()
        return rows

    async def execute_many(self, sql: str, rows: Sequence[Sequence[SqlValue]]) -> None:
        self._point()
        self._connection.executemany(sql, rows)
        self._point()

    async def close(self) -> None:
        # What was not committed is rolled back, as after a kill.
        self._connection.close()


def connecting(point: Callable[[], None]) -> Connect:
    """A way to connect for `open_database`."""

    async def connect(file: Path) -> Connection:
        point()
        return InlineConnection(file, point)

    return connect
