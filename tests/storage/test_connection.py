import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from edge.storage.connection import Connection, migrate, migrations
from edge.storage.database import open_database
from edge.storage.errors import DatabaseTooNew
from fakes.inline_sqlite import connect_inline


@pytest.fixture
async def connection(tmp_path: Path) -> Connection:
    return await connect_inline(tmp_path / "file.sqlite")


async def version(connection: Connection) -> int:
    [(number,)] = await connection.fetch_all("PRAGMA user_version")
    return int(number)


async def test_a_new_file_gets_the_whole_layout(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        rows = await database.fetch_all("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        names = {name for (name,) in rows}
        assert await database.fetch_one("PRAGMA user_version") == (max(migrations()),)
    assert names >= {
        "adopted_devices",
        "answers",
        "blocks",
        "checkpoints",
        "configuration_history",
        "configurations",
        "control_entries",
        "cursors",
        "descriptions",
        "device_versions",
        "drop_tally",
        "fail_safe_states",
        "open_alarms",
        "pending_updates",
        "quarantine",
        "recipes",
        "rollups",
        "runs",
        "streams",
    }


def test_each_migration_has_a_number_of_its_own() -> None:
    names = [item.name for item in (resources.files("edge.storage") / "migrations").iterdir()]
    assert sorted(int(name[:4]) for name in names) == list(migrations()) == list(range(1, len(names) + 1))


async def test_telemetry_has_no_secondary_index(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        rows = await database.fetch_all("SELECT tbl_name FROM sqlite_schema WHERE type = 'index'")
    assert not {name for (name,) in rows} & {"blocks", "control_entries"}


async def test_answers_of_an_earlier_release_learn_where_their_updates_stand(connection: Connection) -> None:
    steps = migrations()
    await migrate(connection, {number: steps[number] for number in (1, 2)})
    await connection.execute_many("INSERT INTO answers VALUES (?, x'00', 'applied', 0)", [(b"a",), (b"b",), (b"c",)])
    await connection.execute_many(
        "INSERT INTO configuration_history (outcome, update_event_id, update_revision, happened_at_ms, body)"
        " VALUES ('applied', ?, ?, 0, '')",
        [(b"a", 41), (b"b", None)],
    )
    await migrate(connection, steps)
    rows = await connection.fetch_all("SELECT update_event_id, update_revision FROM answers ORDER BY 1")
    assert rows == [(b"a", 41), (b"b", 0), (b"c", 0)]
    await connection.close()


async def test_only_what_is_missing_is_applied(connection: Connection) -> None:
    await migrate(connection, {1: "CREATE TABLE one (a);"})
    await migrate(connection, {1: "CREATE TABLE one (a);", 2: "ALTER TABLE one ADD COLUMN b;\nCREATE TABLE two (a);"})
    assert await version(connection) == 2
    await connection.fetch_all("SELECT b FROM one")
    await connection.close()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(connection: Connection) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await migrate(connection, {1: "CREATE TABLE one (a);\nINSERT INTO missing VALUES (1);"})
    assert await version(connection) == 0
    assert await connection.fetch_all("SELECT name FROM sqlite_schema") == []
    await migrate(connection, {1: "CREATE TABLE one (a);"})
    assert await version(connection) == 1
    await connection.close()


async def test_a_statement_may_hold_semicolons_and_comments(connection: Connection) -> None:
    await migrate(connection, {1: "-- a; b\nCREATE TABLE one (a DEFAULT 'x;y');\n-- the end\nCREATE TABLE two (a);\n"})
    assert len(await connection.fetch_all("SELECT name FROM sqlite_schema WHERE type = 'table'")) == 2
    await connection.close()


async def test_a_file_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        await database.fetch_all(f"PRAGMA user_version = {max(migrations()) + 1}")
    with pytest.raises(DatabaseTooNew, match="this release knows layouts up to"):
        async with open_database(tmp_path):
            pass
