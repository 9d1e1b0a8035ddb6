from dataclasses import replace
from pathlib import Path
from uuid import UUID

from edge.storage.answers import (
    REVISIONS_KEPT,
    PendingUpdate,
    add_answer,
    add_pending,
    find_outcome,
    load_pending,
    remove_old_answers,
    remove_pending_above,
    reposition_answer,
)
from edge.storage.database import Database, Writer, open_database

UPDATE = PendingUpdate(
    event_id=UUID(int=1), revision=5, type="DeviceConfigurationUpdated", data=b"{}", metadata=b"", read_at_ms=9
)


async def answer(transaction: Writer, update: int, *, revision: int, answer_id: int = 9) -> None:
    await add_answer(
        transaction,
        update_event_id=UUID(int=update),
        update_revision=revision,
        answer_event_id=UUID(int=answer_id),
        outcome="applied",
        answered_at_ms=1,
    )


async def test_an_answered_update_is_no_longer_pending_and_stays_answered(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        await add_pending(transaction, UPDATE)
        await answer(transaction, 1, revision=5, answer_id=8)
        await answer(transaction, 1, revision=5, answer_id=9)
    async with open_database(tmp_path) as database:
        assert await find_outcome(database, UPDATE.event_id) == "applied"
        assert await find_outcome(database, UUID(int=2)) is None
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
