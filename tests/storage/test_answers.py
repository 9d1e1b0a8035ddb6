from dataclasses import replace
from pathlib import Path
from uuid import UUID

from edge.storage.answers import (
    DAY_MS,
    KEEP_ANSWERS_DAYS,
    PendingUpdate,
    add_answer,
    add_pending,
    has_answer,
    has_any_answer,
    load_pending,
    remove_old_answers,
    remove_pending,
)
from edge.storage.database import open_database

UPDATE = PendingUpdate(
    event_id=UUID(int=1), revision=5, type="DeviceConfigurationUpdated", data=b"{}", metadata=b"", read_at_ms=9
)


async def test_an_answered_update_is_no_longer_pending_and_stays_answered(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        assert not await has_any_answer(database)
        async with database.transaction() as transaction:
            await add_pending(transaction, [UPDATE])
            for answer in (UUID(int=8), UUID(int=9)):
                await add_answer(
                    transaction,
                    update_event_id=UPDATE.event_id,
                    answer_event_id=answer,
                    outcome="applied",
                    answered_at_ms=1,
                )
    async with open_database(tmp_path) as database:
        assert await has_any_answer(database)
        assert await has_answer(database, UPDATE.event_id)
        assert not await has_answer(database, UUID(int=2))
        assert await load_pending(database) == []
        assert await database.fetch_all("SELECT answer_event_id FROM answers") == [(UUID(int=8).bytes,)]


async def test_unanswered_updates_come_back_in_the_order_of_the_stream(tmp_path: Path) -> None:
    later = replace(UPDATE, event_id=UUID(int=0), revision=6)
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        await add_pending(transaction, [later, UPDATE])
        await add_pending(transaction, [replace(UPDATE, data=b"read again")])
    async with open_database(tmp_path) as database:
        assert await load_pending(database) == [UPDATE, later]
        async with database.transaction() as transaction:
            await remove_pending(transaction, UPDATE.event_id)
        assert await load_pending(database) == [later]


async def test_answers_are_kept_for_four_hundred_days(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        for now_ms in (KEEP_ANSWERS_DAYS * DAY_MS, KEEP_ANSWERS_DAYS * DAY_MS + 1):
            async with database.transaction() as transaction:
                await add_answer(
                    transaction, update_event_id=UUID(int=1), answer_event_id=UUID(int=2), outcome="x", answered_at_ms=0
                )
                await remove_old_answers(transaction, now_ms=now_ms)
            assert await has_answer(database, UUID(int=1)) == (now_ms == KEEP_ANSWERS_DAYS * DAY_MS)
