from pathlib import Path

from edge.storage.alarms import OpenAlarm, load_open_alarms, remove_open_alarm, save_open_alarm
from edge.storage.database import open_database


async def test_an_alarm_stands_until_it_is_cleared(tmp_path: Path) -> None:
    lost, low = OpenAlarm("d1", "lost", "{}", 1), OpenAlarm("d1", "low.co2", '{"limit":8}', 2)
    async with open_database(tmp_path) as database, database.transaction() as transaction:
        for alarm in (lost, low, low._replace(raised_at_ms=3)):
            await save_open_alarm(transaction, alarm)
    async with open_database(tmp_path) as database:
        assert await load_open_alarms(database) == [lost, low._replace(raised_at_ms=3)]
        async with database.transaction() as transaction:
            await remove_open_alarm(transaction, "d1", "low.co2")
        assert await load_open_alarms(database) == [lost]
