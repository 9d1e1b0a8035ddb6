import sqlite3
from pathlib import Path
from uuid import UUID

import pytest

from edge.storage.backlog import add_quarantined, count_quarantined, load_quarantined
from edge.storage.database import open_database
from edge.storage.entries import Entry
from edge.storage.errors import CommitFailed
from fakes.inline_sqlite import InlineConnect, disk_error, ignore
from fakes.outbox_drafts import Drafting, all_entries, virtual_outbox
from fakes.virtual_time import run_virtual

ENTRY = Entry(7, 2, UUID(int=7), "SensorReadingReceived", b"{}", b'{"position":7}', b"key")


async def test_an_entry_set_aside_is_kept_whole_with_its_reason(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            assert await add_quarantined(transaction, ENTRY, reason="too large", now_ms=1000)
            # A caller that does not know whether it came to disk says it again.
            assert not await add_quarantined(transaction, ENTRY, reason="said again", now_ms=2000)
        [quarantined] = await load_quarantined(database)
        assert quarantined == (ENTRY, "too large", 1000)
        assert await count_quarantined(database) == 1


def test_an_entry_set_aside_by_a_commit_of_unknown_outcome_is_declared_once(tmp_path: Path) -> None:
    async def main() -> None:
        connect, drafting = InlineConnect(), Drafting()

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                connect.after = ignore
                raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

        async with virtual_outbox(tmp_path, connect=connect) as outbox:
            outbox.offer(drafting.sample())
            await outbox.flush()
            [entry] = await all_entries(outbox)
            connect.after = fail
            with pytest.raises(CommitFailed):
                await outbox.quarantine(entry, reason="refused", declarations=(drafting.control(),))
            await outbox.quarantine(entry, reason="refused", declarations=(drafting.control(),))
            assert [entry.position for entry in await all_entries(outbox)] == [2]

    run_virtual(main)
