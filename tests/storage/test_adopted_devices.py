from pathlib import Path

from edge.storage.database import open_database
from edge.storage.remembered import AdoptedName, load_adopted, remove_adopted, save_adopted

FIRST = AdoptedName("broker", "zigbee-{name}", "Bench 3/left")
SECOND = AdoptedName("broker", "zigbee-{name}", "Bench 3/right")
OTHER = AdoptedName("lora", "zigbee-{name}", "Bench 3/left")


async def test_adopted_names_come_back_in_the_order_of_their_adoption(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            for now_ms, adopted in ((3, OTHER), (1, SECOND), (2, FIRST)):
                await save_adopted(transaction, adopted, now_ms=now_ms)
            # A try whose outcome was unknown is made again.
            await save_adopted(transaction, SECOND, now_ms=9)
        assert await load_adopted(database) == [SECOND, FIRST, OTHER]


async def test_a_name_that_is_removed_is_forgotten(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            for adopted in (FIRST, SECOND, OTHER):
                await save_adopted(transaction, adopted, now_ms=1)
            await remove_adopted(transaction, FIRST)
        assert await load_adopted(database) == [SECOND, OTHER]
