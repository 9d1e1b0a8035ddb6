import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from edge.domain.alarm import AlarmIdentity, OpenAlarm
from edge.domain.event import Draft
from edge.domain.facts import GatewayStopped
from edge.storage.connection import migrate, migrations
from edge.storage.database import open_database
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox
from edge.storage.remembered import (
    CHECKPOINTS_KEPT,
    AdoptedName,
    Checkpoint,
    Description,
    add_checkpoint,
    load_adopted,
    load_checkpoints,
    load_descriptions,
    load_open_alarms,
    remove_adopted,
    remove_checkpoints,
    remove_description,
    save_adopted,
    save_description,
)
from edge.storage.writer import Intake
from fakes.collect_site import author
from fakes.inline_sqlite import InlineConnect, connect_inline, disk_error, ignore
from fakes.outbox_drafts import all_entries, virtual_outbox
from fakes.virtual_time import VirtualClock, run_virtual

FAULT = AlarmIdentity(alarm="driver_fault", device_id="bench")
EVERY_PART = [
    AlarmIdentity(alarm="driver_fault"),
    AlarmIdentity(alarm="low"),
    FAULT,
    AlarmIdentity(alarm="driver_fault", device_id="roof"),
    AlarmIdentity(alarm="driver_fault", connection_id="bench"),
    AlarmIdentity(alarm="driver_fault", device_id="bench", connection_id="bench"),
    AlarmIdentity(alarm="driver_fault", device_id="bench", point_id="co2"),
    AlarmIdentity(alarm="driver_fault", stream="bench"),
]


Say = Callable[[Outbox, Draft], Awaitable[None]]


class Killed(BaseException):
    """kill -9."""


def raised(identity: AlarmIdentity = FAULT, message: str = "it broke") -> Draft:
    return author(VirtualClock()).alarm_raised(identity, message, body="why")


def cleared(identity: AlarmIdentity = FAULT) -> Draft:
    return author(VirtualClock()).alarm_cleared(identity)


async def told(outbox: Outbox) -> list[tuple[str, str | None]]:
    """Return type and device of every event in the log."""
    return [(entry.type, json.loads(entry.data).get("deviceId")) for entry in await all_entries(outbox)]


async def offered(outbox: Outbox, draft: Draft) -> None:
    assert outbox.offer(draft)
    await outbox.flush()


async def recorded(outbox: Outbox, draft: Draft) -> None:
    await outbox.record(draft)


async def declared(outbox: Outbox, draft: Draft) -> None:
    async with outbox.transaction() as transaction:
        await transaction.declare(draft)


WAYS = pytest.mark.parametrize("say", [offered, recorded, declared])


@WAYS
def test_an_alarm_stands_over_restarts_until_it_is_cleared(say: Say, tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await say(outbox, raised())
        async with virtual_outbox(tmp_path) as outbox:
            assert list(outbox.alarms) == [
                OpenAlarm(identity=FAULT, message="it broke", body="why", raised_at_ms=VirtualClock().unix_ms())
            ]
            await say(outbox, cleared())
            assert FAULT not in outbox.alarms
        async with virtual_outbox(tmp_path) as outbox:
            assert list(outbox.alarms) == []
            assert await told(outbox) == [("AlarmRaised", "bench"), ("AlarmCleared", "bench")]

    run_virtual(main)


@WAYS
def test_what_stands_is_not_raised_again_and_what_does_not_is_not_cleared(say: Say, tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await say(outbox, cleared())
            await say(outbox, raised())
            await say(outbox, raised(message="it broke in another way"))
        async with virtual_outbox(tmp_path) as outbox:
            await say(outbox, raised())
            assert await told(outbox) == [("AlarmRaised", "bench")]
            await say(outbox, cleared())
            await say(outbox, cleared())
            assert await told(outbox) == [("AlarmRaised", "bench"), ("AlarmCleared", "bench")]
            await say(outbox, raised())
        async with virtual_outbox(tmp_path) as outbox:
            assert FAULT in outbox.alarms
            assert len(await told(outbox)) == 3

    run_virtual(main)


def test_one_commit_may_clear_an_alarm_and_raise_it_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await outbox.record(raised(message="first"))
            await outbox.record(cleared(), raised(message="second"))
            async with outbox.transaction() as transaction:
                assert await transaction.declare(cleared())
                assert not await transaction.declare(cleared())
                assert await transaction.declare(raised(message="third"))
                assert not await transaction.declare(raised(message="fourth"))
            assert [alarm.message for alarm in outbox.alarms] == ["third"]
        async with virtual_outbox(tmp_path) as outbox:
            assert [alarm.message for alarm in outbox.alarms] == ["third"]
            assert len(await told(outbox)) == 5

    run_virtual(main)


def test_alarms_that_differ_in_any_part_of_their_identity_stand_side_by_side(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            for identity in EVERY_PART:
                await outbox.record(raised(identity))
        for number, identity in enumerate(EVERY_PART):
            async with virtual_outbox(tmp_path) as outbox:
                assert {alarm.identity for alarm in outbox.alarms} == set(EVERY_PART[number:])
                await outbox.record(cleared(identity))

    run_virtual(main)


def test_both_events_carry_the_whole_identity(tmp_path: Path) -> None:
    whole = AlarmIdentity(alarm="low", device_id="bench", connection_id="line", point_id="co2", stream="s-1")

    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            await outbox.record(raised(whole), cleared(whole))
            for entry in await all_entries(outbox):
                body = json.loads(entry.data)
                assert [body[name] for name in ("alarm", "deviceId", "connectionId", "pointId", "stream")] == [
                    "low",
                    "bench",
                    "line",
                    "co2",
                    "s-1",
                ]

    run_virtual(main)


def test_what_a_full_queue_refused_was_not_said(tmp_path: Path) -> None:
    async def main() -> None:
        intake = Intake(entries_max=1)
        async with virtual_outbox(tmp_path, intake=intake) as outbox:
            while outbox.offer(author(VirtualClock()).control(GatewayStopped(reason="requested"))):
                pass
            assert not outbox.offer(raised())
            assert FAULT not in outbox.alarms
            await outbox.flush()
            assert outbox.offer(raised())
            assert FAULT in outbox.alarms

    run_virtual(main)


def test_a_transaction_that_fails_raises_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with virtual_outbox(tmp_path) as outbox:
            with suppress(ZeroDivisionError):
                async with outbox.transaction() as transaction:
                    await transaction.declare(raised())
                    raise ZeroDivisionError
            assert FAULT not in outbox.alarms
            assert await told(outbox) == []
            await declared(outbox, raised())
            assert await told(outbox) == [("AlarmRaised", "bench")]

    run_virtual(main)


def test_a_commit_of_unknown_outcome_does_not_raise_an_alarm_twice(tmp_path: Path) -> None:
    async def main() -> None:
        connect = InlineConnect()

        def fail(sql: str) -> None:
            if sql == "COMMIT":
                connect.after = lambda _sql: None
                raise disk_error(sqlite3.SQLITE_IOERR)

        async with virtual_outbox(tmp_path, connect=connect) as outbox:
            connect.after = fail
            with pytest.raises(CommitFailed):
                await declared(outbox, raised())
            await declared(outbox, raised())
            assert FAULT in outbox.alarms
            assert await told(outbox) == [("AlarmRaised", "bench")]
            await declared(outbox, cleared())
            assert await told(outbox) == [("AlarmRaised", "bench"), ("AlarmCleared", "bench")]

    run_virtual(main)


@WAYS
def test_a_kill_at_any_statement_leaves_event_and_memory_together(say: Say, tmp_path: Path) -> None:
    async def killed_at(directory: Path, statements: int) -> bool:
        left = statements

        def count(_sql: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        connect = InlineConnect()
        try:
            async with virtual_outbox(directory, connect=connect) as outbox:
                connect.before = connect.after = count
                for draft in (raised(), cleared(), raised(), raised(EVERY_PART[3])):
                    await say(outbox, draft)
        except Killed:
            return True
        return False

    async def main() -> None:
        kills = 0
        while True:
            directory = tmp_path / str(kills)
            was_killed = await killed_at(directory, kills)
            async with virtual_outbox(directory) as outbox:
                standing: set[str | None] = set()
                for kind, device_id in await told(outbox):
                    assert (device_id in standing) == (kind == "AlarmCleared")
                    standing ^= {device_id}
                assert {alarm.identity.device_id for alarm in outbox.alarms} == standing
            kills += 1
            if not was_killed:
                break
        assert kills > 20

    run_virtual(main)


async def test_a_file_of_an_earlier_release_keeps_its_alarms(tmp_path: Path) -> None:
    connection = await connect_inline(tmp_path / "outbox.sqlite")
    await migrate(connection, {number: sql for number, sql in migrations().items() if number <= 2})
    await connection.fetch_all(
        "INSERT INTO open_alarms VALUES ('bench', 'configuration_not_usable', '[\"too fast\"]', 7)"
    )
    await connection.fetch_all(
        "INSERT INTO streams VALUES (1, 'gateway-g', NULL, NULL), (2, 'sensors-g', 'deleted', 8)"
    )
    await connection.close()
    async with open_database(tmp_path) as database:
        assert await load_open_alarms(database) == [
            OpenAlarm(
                identity=AlarmIdentity(alarm="configuration_not_usable", device_id="bench"),
                message="the site file no longer allows what is configured",
                body='["too fast"]',
                raised_at_ms=7,
            ),
            OpenAlarm(
                identity=AlarmIdentity(alarm="stream_parked", stream="sensors-g"), message="deleted", raised_at_ms=8
            ),
        ]


@pytest.mark.parametrize("although_done", [False, True])
@pytest.mark.parametrize("is_clearing", [False, True])
def test_memory_learns_what_a_commit_of_unknown_outcome_opened_or_closed(
    tmp_path: Path, although_done: bool, is_clearing: bool
) -> None:
    roof = AlarmIdentity(alarm="driver_fault", device_id="roof")
    connect = InlineConnect()

    def fail(sql: str) -> None:
        if sql == "COMMIT":
            connect.before = connect.after = ignore
            raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

    async def main() -> None:
        async with virtual_outbox(tmp_path, connect=connect) as outbox:
            if is_clearing:
                await declared(outbox, raised())
            if although_done:
                connect.after = fail
            else:
                connect.before = fail
            with pytest.raises(CommitFailed):
                await declared(outbox, cleared() if is_clearing else raised())
            # What waits for its commit is known as well.
            await offered(outbox, raised(roof))
            is_open = although_done != is_clearing
            assert {alarm.identity for alarm in outbox.alarms} == ({FAULT, roof} if is_open else {roof})
            assert outbox.alarms.is_news(raised()) != is_open

    run_virtual(main)


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


FIRST_NAME = AdoptedName("broker", "zigbee-{name}", "Bench 3/left")


SECOND_NAME = AdoptedName("broker", "zigbee-{name}", "Bench 3/right")


OTHER_NAME = AdoptedName("lora", "zigbee-{name}", "Bench 3/left")


async def test_adopted_names_come_back_in_the_order_of_their_adoption(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            for now_ms, adopted in ((3, OTHER_NAME), (1, SECOND_NAME), (2, FIRST_NAME)):
                await save_adopted(transaction, adopted, now_ms=now_ms)
            # A try whose outcome was unknown is made again.
            await save_adopted(transaction, SECOND_NAME, now_ms=9)
        assert await load_adopted(database) == [SECOND_NAME, FIRST_NAME, OTHER_NAME]


async def test_a_name_that_is_removed_is_forgotten(tmp_path: Path) -> None:
    async with open_database(tmp_path) as database:
        async with database.transaction() as transaction:
            for adopted in (FIRST_NAME, SECOND_NAME, OTHER_NAME):
                await save_adopted(transaction, adopted, now_ms=1)
            await remove_adopted(transaction, FIRST_NAME)
        assert await load_adopted(database) == [SECOND_NAME, OTHER_NAME]


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
