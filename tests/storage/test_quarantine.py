from pathlib import Path
from uuid import UUID

from edge.storage.database import open_database
from edge.storage.entry import Entry
from edge.storage.quarantine import add_quarantined, load_quarantined, mark_retried, quarantined_positions

ENTRY = Entry(7, 2, UUID(int=7), "SensorReadingReceived", b"{}", b'{"position":7}', b"key")


async def test_an_entry_set_aside_is_kept_whole_with_its_reason(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            await add_quarantined(transaction, ENTRY, reason="too large", now_ms=1000)
            # Whoever is not sure whether it came to disk says it again.
            await add_quarantined(transaction, ENTRY, reason="said again", now_ms=2000)
        [quarantined] = await load_quarantined(database)
        assert quarantined == (ENTRY, "too large", 1000, None)
        assert await quarantined_positions(database) == {7}


async def test_a_retry_names_the_new_entry(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            await add_quarantined(transaction, ENTRY, reason="too large", now_ms=1000)
            await mark_retried(transaction, 7, retry_position=12)
        [quarantined] = await load_quarantined(database)
        assert quarantined.retry_position == 12
