from pathlib import Path

from edge.storage.database import open_database
from edge.storage.remembered import Description, load_descriptions, remove_description, save_description


async def test_the_last_description_of_a_device_is_kept(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        await save_description(transaction, "d1", Description("sha256:1", "{}"), now_ms=1)
        await save_description(transaction, "d1", Description("sha256:2", '{"name":"x"}'), now_ms=2)
        await save_description(transaction, "d2", Description("sha256:3", "{}"), now_ms=2)
    async with open_database(tmp_path) as database:
        described = await load_descriptions(database)
        assert described == {"d1": Description("sha256:2", '{"name":"x"}'), "d2": Description("sha256:3", "{}")}
        async with database.transaction() as transaction:
            await remove_description(transaction, "d1")
        assert list(await load_descriptions(database)) == ["d2"]
