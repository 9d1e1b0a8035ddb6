from pathlib import Path
from uuid import UUID

from edge.storage.database import open_database
from edge.storage.remembered import (
    CHECKPOINTS_KEPT,
    Checkpoint,
    add_checkpoint,
    load_checkpoints,
    remove_checkpoints,
)


def checkpoint(revision: int) -> Checkpoint:
    return Checkpoint(revision, UUID(int=revision + 1))


async def test_the_newest_pairs_of_each_stream_are_kept(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        await add_checkpoint(transaction, "other", checkpoint(0))
        for revision in range(CHECKPOINTS_KEPT + 7):
            await add_checkpoint(transaction, "one", checkpoint(revision))
    async with open_database(tmp_path) as database:
        kept = await load_checkpoints(database, "one")
        assert kept == [checkpoint(revision) for revision in range(CHECKPOINTS_KEPT + 6, 6, -1)]
        assert await load_checkpoints(database, "one", limit=1) == kept[:1]
        assert await load_checkpoints(database, "other") == [checkpoint(0)]


async def test_pairs_that_no_longer_match_are_forgotten(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            for revision in (1, 2, 3):
                await add_checkpoint(transaction, "one", checkpoint(revision))
            await remove_checkpoints(transaction, "one", above_revision=1)
            await add_checkpoint(transaction, "one", Checkpoint(2, UUID(int=99)))
        assert await load_checkpoints(database, "one") == [Checkpoint(2, UUID(int=99)), checkpoint(1)]
