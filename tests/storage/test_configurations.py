from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from edge.storage import configurations
from edge.storage.configurations import (
    REVISIONS_KEPT,
    DeviceVersions,
    HistoryItem,
    MissingConfiguration,
    PendingUpdate,
    StoredConfiguration,
    add_answer,
    add_pending,
    append_history,
    find_configuration,
    find_missing,
    find_outcome,
    find_version,
    find_versions,
    load_configurations,
    load_history,
    load_missing,
    load_pending,
    remove_old_answers,
    remove_pending,
    remove_pending_above,
    reposition_answer,
    save_configuration,
    save_missing,
    save_versions,
)
from edge.storage.database import Database, OpenTransaction, open_database

STORED = StoredConfiguration(
    device_id="d1",
    version=7,
    update_event_id=UUID(int=1),
    update_revision=41,
    correlation_id="c",
    document='{"enabled":true}',
    applied_at_ms=1000,
)
ITEM = HistoryItem(
    device_id="d1",
    version=7,
    outcome="applied",
    update_event_id=UUID(int=1),
    update_revision=41,
    happened_at_ms=1000,
    body="{}",
)


async def test_the_newest_configuration_of_a_device_is_in_force(tmp_path: Path) -> None:
    bare = replace(STORED, device_id="d2", update_event_id=None, update_revision=None, correlation_id=None)
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        for configuration in (STORED, replace(STORED, version=8), bare):
            await save_configuration(transaction, configuration)
    async with open_database(tmp_path) as database:
        assert await load_configurations(database) == {"d1": replace(STORED, version=8), "d2": bare}
        assert await find_configuration(database, "d2") == bare
        assert await find_configuration(database, "d3") is None
        assert [await find_version(database, device_id) for device_id in ("d1", "d2", "d3")] == [8, 7, 0]


async def test_a_configuration_is_missing_until_it_or_a_newer_one_is_saved(tmp_path: Path) -> None:
    missing = MissingConfiguration(device_id="d1", version=7, update_event_id=UUID(int=1))
    async with open_database(tmp_path) as database:
        for version, is_missing in ((6, True), (7, False), (8, False)):
            async with database.transaction() as transaction:
                await save_missing(transaction, replace(missing, version=3))
                await save_missing(transaction, missing)
                await save_configuration(transaction, replace(STORED, device_id="d2", version=9))
                await save_configuration(transaction, replace(STORED, version=version))
            assert await find_missing(database, "d1") == (missing if is_missing else None)
            assert await load_missing(database) == ({"d1": missing} if is_missing else {})


async def test_versions_are_kept_per_device(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            await save_versions(transaction, "d1", DeviceVersions(stale=8, base=7))
            await save_versions(transaction, "d1", DeviceVersions(stale=9, base=7))
        assert await find_versions(database, "d1") == DeviceVersions(stale=9, base=7)
        assert await find_versions(database, "d2") == DeviceVersions(stale=0, base=0)


async def test_history_is_read_newest_first_for_one_device_or_all(tmp_path: Path) -> None:
    unreadable = replace(ITEM, device_id=None, version=None, outcome="rejected", update_event_id=None)
    items = [ITEM, replace(ITEM, device_id="d2"), unreadable, replace(ITEM, version=8)]
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            for item in items:
                await append_history(transaction, item)
        assert await load_history(database) == items[::-1]
        assert await load_history(database, device_id="d1") == [items[3], items[0]]
        assert await load_history(database, limit=1) == [items[3]]


async def test_history_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configurations, "HISTORY_ENTRIES_MAX", 3)
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            for version in range(10):
                await append_history(transaction, replace(ITEM, version=version))
        assert [item.version for item in await load_history(database)] == [9, 8, 7]


UPDATE = PendingUpdate(
    event_id=UUID(int=1), revision=5, type="DeviceConfigurationUpdated", data=b"{}", metadata=b"", read_at_ms=9
)


async def answer(transaction: OpenTransaction, update: int, *, revision: int, answer_id: int = 9) -> None:
    await add_answer(
        transaction,
        update_event_id=UUID(int=update),
        update_revision=revision,
        answer_event_id=UUID(int=answer_id),
        outcome="applied",
        answered_at_ms=1,
    )


async def test_an_answered_update_stays_answered_and_is_pending_until_it_is_let_go_of(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        await add_pending(transaction, UPDATE)
        await answer(transaction, 1, revision=5, answer_id=8)
        await answer(transaction, 1, revision=5, answer_id=9)
    async with open_database(tmp_path) as database:
        assert await find_outcome(database, UPDATE.event_id) == "applied"
        assert await find_outcome(database, UUID(int=2)) is None
        assert await load_pending(database) == [UPDATE]
        async with database.transaction() as transaction:
            await remove_pending(transaction, UPDATE.event_id)
        assert await load_pending(database) == []
        assert await database.fetch_all("SELECT answer_event_id FROM answers") == [(UUID(int=8).bytes,)]


async def test_unanswered_updates_come_back_in_the_order_of_the_stream(tmp_path: Path) -> None:
    later = replace(UPDATE, event_id=UUID(int=0), revision=6)
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        for update in (later, UPDATE, replace(UPDATE, data=b"read again")):
            await add_pending(transaction, update)
    async with open_database(tmp_path) as database:
        assert await load_pending(database) == [UPDATE, later]
        async with database.transaction() as transaction:
            await remove_pending_above(transaction, 5)
        assert await load_pending(database) == [UPDATE]


async def kept(database: Database) -> list[int]:
    rows = await database.fetch_all("SELECT update_event_id FROM answers ORDER BY 1")
    return [UUID(bytes=event_id).int for (event_id,) in rows]


async def test_answers_are_forgotten_by_how_far_the_stream_has_come(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        for update, revision in ((1, 10), (2, 11), (3, 12)):
            await answer(transaction, update, revision=revision)
        await remove_old_answers(transaction, checkpoint_revision=9 + REVISIONS_KEPT)
    async with open_database(tmp_path) as database:
        assert await kept(database) == [1, 2, 3]
        async with database.transaction() as transaction:
            # It was appended again, further on.
            await reposition_answer(transaction, UUID(int=2), 13)
            await remove_old_answers(transaction, checkpoint_revision=12 + REVISIONS_KEPT)
        assert await kept(database) == [2]
