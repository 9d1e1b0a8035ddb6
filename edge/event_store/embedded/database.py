"""The log on disk: one row per append, in one SQLite file."""

import fcntl
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiosqlite

from edge.event_store.embedded.rule import Head

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "event-store.sqlite"
# Pages of the write-ahead log between checkpoints: 16 MiB, a few seconds of the fastest drain.
CHECKPOINT_PAGES = 4096
# A page of a read: what one subscription may hold in memory. A single append may be larger (1 MiB by default).
PAGE_ROWS_MAX = 64
PAGE_BYTES_MAX = 262_144

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    last_revision INTEGER NOT NULL,
    tombstoned INTEGER NOT NULL,
    truncate_before INTEGER NOT NULL,
    max_count INTEGER,
    max_age_s INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams (number),
    first_revision INTEGER NOT NULL,
    events INTEGER NOT NULL,
    created INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS batches_of_stream ON batches (stream, first_revision);
"""


class DirectoryInUse(Exception):  # noqa: N818 - named by what is the matter
    """Another process runs a store in this directory."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of one append. Event number i has position + i and first_revision + i."""

    position: int
    stream: int
    first_revision: int
    events: int
    # 100 ns ticks since 1970, as the wire has it.
    created: int
    # Encoded by `wire`; opaque here.
    body: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the log: of one stream in revisions, or of all streams (stream is None) in positions."""

    stream: int | None
    first: int
    last: int


class LogDatabase:
    """Statements on the log. Append-only, so that reads need no lock; the caller bounds them by what is committed."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def load_heads(self) -> list[Head]:
        """Read what is known of every stream."""
        rows = await self._connection.execute_fetchall(
            "SELECT number, name, last_revision, tombstoned, truncate_before, max_count, max_age_s FROM streams"
        )
        return [
            Head(
                number=number,
                name=name,
                last_revision=last_revision,
                tombstoned=bool(tombstoned),
                truncate_before=truncate_before,
                max_count=max_count,
                max_age_s=max_age_s,
            )
            for number, name, last_revision, tombstoned, truncate_before, max_count, max_age_s in rows
        ]

    async def load_next_position(self) -> int:
        """Return the position of the next event. Positions start at 1: 0 is "before everything"."""
        rows = list(
            await self._connection.execute_fetchall(
                "SELECT position + events FROM batches ORDER BY position DESC LIMIT 1"
            )
        )
        return int(rows[0][0]) if rows else 1

    async def write(self, batches: Sequence[Batch], heads: Iterable[Head]) -> None:
        """Write in one transaction; on disk when this returns. Raises sqlite3.Error: then nothing is written."""
        await self._connection.execute("BEGIN IMMEDIATE")
        try:
            await self._connection.executemany(
                "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET"
                " last_revision = excluded.last_revision, tombstoned = excluded.tombstoned,"
                " truncate_before = excluded.truncate_before, max_count = excluded.max_count,"
                " max_age_s = excluded.max_age_s",
                [_head_row(head) for head in heads],
            )
            if batches:
                await self._connection.executemany(
                    "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (batch.position, batch.stream, batch.first_revision, batch.events, batch.created, batch.body)
                        for batch in batches
                    ],
                )
            await self._connection.commit()
        except BaseException:
            await self._connection.rollback()
            raise

    async def page(self, span: Span, *, backward: bool) -> list[Batch]:
        """Read the first whole appends of a span, as many as make a page, in the wanted direction."""
        column = "position" if span.stream is None else "first_revision"
        where = "" if span.stream is None else f"stream = {span.stream} AND "
        first = await self._first_of_batch(where, column, span.first)
        order = "DESC" if backward else "ASC"
        sizes = await self._connection.execute_fetchall(
            # Only numbers and the names above are put in.
            f"SELECT {column}, length(body) FROM batches WHERE {where}{column} BETWEEN ? AND ?"  # noqa: S608
            f" ORDER BY {column} {order} LIMIT {PAGE_ROWS_MAX}",
            (first, span.last),
        )
        wanted: list[int] = []
        total = 0
        for key, size in sizes:
            if wanted and total + size > PAGE_BYTES_MAX:
                break
            wanted.append(key)
            total += size
        if not wanted:
            return []
        rows = await self._connection.execute_fetchall(
            "SELECT position, stream, first_revision, events, created, body"  # noqa: S608
            f" FROM batches WHERE {where}{column} BETWEEN ? AND ? ORDER BY {column} {order}",
            (min(wanted), max(wanted)),
        )
        return [Batch(*row) for row in rows]

    async def _first_of_batch(self, where: str, column: str, value: int) -> int:
        """Find where the append begins that holds this revision or position."""
        rows = list(
            await self._connection.execute_fetchall(
                f"SELECT {column}, events FROM batches WHERE {where}{column} <= ?"  # noqa: S608
                f" ORDER BY {column} DESC LIMIT 1",
                (value,),
            )
        )
        # Between two appends may stand an empty one, and before a tombstone stands nothing.
        return int(rows[0][0]) if rows and sum(rows[0]) > value else value


def _head_row(head: Head) -> tuple[int, str, int, int, int, int | None, int | None]:
    return (
        head.number,
        head.name,
        head.last_revision,
        int(head.tombstoned),
        head.truncate_before,
        head.max_count,
        head.max_age_s,
    )


@asynccontextmanager
async def open_log_database(state_directory: Path | None) -> AsyncIterator[LogDatabase]:
    """Open the log; in memory where there is no directory. Raises DirectoryInUse, sqlite3.Error, OSError."""
    with _sole_use(state_directory):
        path = ":memory:" if state_directory is None else state_directory / FILE
        async with aiosqlite.connect(path, isolation_level=None) as connection:
            await connection.executescript(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};{_SCHEMA}"
            )
            yield LogDatabase(connection)


@contextmanager
def _sole_use(state_directory: Path | None) -> "Iterator[None]":
    """Hold the directory's lock. The kernel lets it go when the process ends, however it ends."""
    if state_directory is None:
        yield
        return
    state_directory.mkdir(parents=True, exist_ok=True)
    with (state_directory / "event-store.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DirectoryInUse(
                f"another event store (process {lock.read().strip() or 'unknown'}) uses {state_directory}"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
