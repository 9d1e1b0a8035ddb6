from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from edge.storage import configurations
from edge.storage.configurations import (
    DeviceVersions,
    HistoryItem,
    MissingConfiguration,
    StoredConfiguration,
    append_history,
    find_configuration,
    find_missing,
    find_version,
    find_versions,
    load_configurations,
    load_history,
    load_missing,
    save_configuration,
    save_missing,
    save_versions,
)
from edge.storage.database import open_database

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
