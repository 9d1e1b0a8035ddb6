"""Brings the file's layout up to date: numbered SQL files, each in a transaction with its `user_version`."""

import sqlite3
from collections.abc import Iterator, Mapping
from importlib import resources

from edge.storage.connection import Connection
from edge.storage.errors import DatabaseTooNew


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
