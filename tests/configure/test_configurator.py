import asyncio
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from edge.domain.clock import rfc3339
from edge.domain.configuration import answer_event_id
from edge.domain.event import EventType
from fakes.configure_world import (
    ANSWERS,
    STATUS_STREAM,
    STREAM,
    World,
    make_device,
    make_settings,
    update,
    update_event,
)
from fakes.contract_check import breaches
from fakes.inline_sqlite import InlineConnect, disk_error, ignore
from fakes.outbox_drafts import all_entries
from fakes.virtual_time import START_UNIX_MS, run_virtual


def test_what_the_site_demands_of_an_update_is_asked_for(tmp_path: Path) -> None:
    settings = make_settings()
    world = World(tmp_path, replace(settings, site=replace(settings.site, require_reason=True)))

    async def main() -> None:
        world.ask(1, gatewayId="south-1")
        world.ask(2, gatewayId="north-1", changedBy="me", reason="why")
        async with world.started() as gateway:
            await gateway.settle()
            rejected, applied = await gateway.written(*ANSWERS)
            assert [error["code"] for error in rejected["errors"]] == ["other_gateway", "missing", "missing"]
            assert applied["configVersion"] == 2

    run_virtual(main)


def test_a_valid_update_is_applied_answered_and_described(world: World) -> None:
    async def main() -> None:
        event = update_event(
            update(1, {"pollIntervalS": 5, "points": {"air_temperature": {"offset": -0.3}}}),
            metadata={"$correlationId": "ticket-7"},
        )
        world.publish(event)
        async with world.started() as gateway:
            await gateway.settle()
            [applied] = await gateway.written(*ANSWERS)
            assert applied["updateEventId"] == str(event.event_id)
            assert applied["updateRevision"] == 0
            assert applied["configVersion"] == 1
            assert applied["changes"] == [
                {"path": "pollIntervalS", "from": 10.0, "to": 5.0},
                {"path": "points.air_temperature.offset", "from": -0.2, "to": -0.3},
            ]
            in_force = gateway.fleet.in_force["bench"]
            assert (in_force.version, in_force.poll_interval_s) == (1, 5.0)
            assert in_force.update_event_id == event.event_id
            assert in_force.points["air_temperature"].offset == -0.3
            assert [c.device_id for c in gateway.fleet.configured] == ["bench"]
            described = [d for d in await gateway.written(EventType.DEVICE_DESCRIBED) if d["deviceId"] == "bench"]
            assert [(d["configVersion"], d["expectedIntervalS"]) for d in described] == [(0, 10.0), (1, 5.0)]
            [entry] = await gateway._entries(ANSWERS)
            assert entry.event_id == answer_event_id(event.event_id)
            metadata = json.loads(entry.metadata)
            assert metadata["$causationId"] == str(event.event_id)
            assert metadata["$correlationId"] == "ticket-7"
            assert metadata["configVersion"] == 1
            [*_, entry] = await gateway._entries((EventType.DEVICE_DESCRIBED,))
            metadata = json.loads(entry.metadata)
            assert metadata["$causationId"] == str(event.event_id)
            assert "$correlationId" not in metadata

    run_virtual(main)


def test_what_came_into_force_is_in_force_after_a_restart_without_a_link(world: World) -> None:
    async def main() -> None:
        world.ask(3, {"enabled": False})
        async with world.started() as gateway:
            await gateway.settle()
        world.store.go_down()
        async with world.started() as gateway:
            assert gateway.fleet.in_force["bench"].version == 3
            assert gateway.fleet.in_force["bench"].enabled is False
            await gateway.settle()
            assert gateway.fleet.configured == []
            assert len(await gateway.written(EventType.DEVICE_DESCRIBED)) == 3, "nothing new to say"

    run_virtual(main)


def test_of_several_updates_read_together_only_the_last_valid_one_is_applied(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 5})
        world.ask(2, {"pollIntervalS": 0.1})
        world.ask(3, {"pollIntervalS": 7})
        world.ask(1, {"pollIntervalS": 4}, device_id="roof")
        world.ask(3, {"pollIntervalS": 8})
        async with world.started() as gateway:
            await gateway.settle()
            assert sorted(await gateway.answers(), key=str) == [
                ("bench", 1, "superseded"),
                ("bench", 2, "below_minimum"),
                ("bench", 3, "applied"),
                ("bench", 3, "stale_version"),
                ("roof", 1, "applied"),
            ]
            assert [(c.device_id, c.poll_interval_s) for c in gateway.fleet.configured] == [("bench", 7), ("roof", 4)]

    run_virtual(main)


def test_updates_that_come_one_by_one_are_all_applied(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            task = asyncio.create_task(gateway.configurator.run())
            for version in (1, 2, 3):
                await asyncio.sleep(10)
                world.ask(version, {"pollIntervalS": version + 2})
            await asyncio.sleep(10)
            task.cancel()
            assert [c.version for c in gateway.fleet.configured] == [1, 2, 3]
            assert await gateway.answers() == [("bench", v, "applied") for v in (1, 2, 3)]

    run_virtual(main)


def test_nothing_is_applied_before_the_stream_is_read_to_its_end(world: World) -> None:
    async def main() -> None:
        for version in range(1, 1001):
            world.ask(version, {"pollIntervalS": 2 + version % 7})
        async with world.started() as gateway:
            await gateway.settle()
            assert [c.version for c in gateway.fleet.configured] == [1000]
            answers = await gateway.answers()
            assert answers == [("bench", v, "superseded") for v in range(1, 1000)] + [("bench", 1000, "applied")]

    run_virtual(main)


def test_a_base_that_is_not_the_newest_is_a_conflict(world: World) -> None:
    async def main() -> None:
        world.ask(1, basedOn=0)
        async with world.started() as gateway:
            await gateway.settle()
            world.ask(2, basedOn=0)
            world.ask(3, basedOn=1)
            world.ask(4, basedOn=3)
            await gateway.settle()
            assert await gateway.answers() == [
                ("bench", 1, "applied"),
                ("bench", 2, "conflict"),
                ("bench", 3, "superseded"),
                ("bench", 4, "applied"),
            ]

    run_virtual(main)


def test_an_update_is_not_applied_after_its_time(world: World) -> None:
    async def main() -> None:
        world.ask(1, validUntil=rfc3339(START_UNIX_MS - 1))
        world.ask(2, validUntil=rfc3339(START_UNIX_MS + 3_600_000))
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [("bench", 1, "expired"), ("bench", 2, "applied")]

    run_virtual(main)


def test_events_of_other_types_are_passed_and_unreadable_ones_answered_with_null_ids(world: World) -> None:
    async def main() -> None:
        world.publish(update_event({}, event_type="SomethingElse"), update_event(b"\xff\x00"))
        world.publish(update_event(update(1), metadata={"schemaVersion": 2}))
        world.ask(1, device_id="nobody")
        async with world.started() as gateway:
            await gateway.settle()
            found = [
                (d["deviceId"], d["configVersion"], d["stage"], d["errors"][0]["code"])
                for d in await gateway.written(*ANSWERS)
            ]
            assert found == [
                (None, None, "reading", "not_json"),
                ("bench", 1, "reading", "unknown_schema_version"),
                ("nobody", 1, "reading", "unknown_device"),
            ]
        # The checkpoint is behind all of them: nothing is read twice.
        world.store.reads.clear()
        async with world.started() as gateway:
            await gateway.settle()
            assert len(await gateway.written(*ANSWERS)) == 3
            assert world.store.reads[STREAM].events == 2

    run_virtual(main)


def test_the_loop_comes_back_after_every_kind_of_loss(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            task = asyncio.create_task(gateway.configurator.run())
            await asyncio.sleep(1)
            world.store.break_subscriptions()
            world.ask(1)
            await asyncio.sleep(60)
            world.store.go_down()
            await asyncio.sleep(3600)
            world.store.restart()
            world.ask(2)
            await asyncio.sleep(60)
            world.store.access_refused = True
            world.store.break_subscriptions()
            await asyncio.sleep(3600)
            world.store.access_refused = False
            world.ask(3)
            await asyncio.sleep(300)
            task.cancel()
            assert await gateway.answers() == [("bench", v, "applied") for v in (1, 2, 3)]

    run_virtual(main)


def test_everything_that_is_written_keeps_the_contract(world: World) -> None:
    async def main() -> None:
        world.publish(update_event(b"junk"), update_event(update(3), metadata={"$correlationId": "c"}))
        world.ask(1)
        world.ask(1, {"pollIntervalS": 2}, device_id="roof")
        async with world.started() as gateway:
            await gateway.settle()
        world.settings = make_settings(make_device("bench"), make_device("roof", remote={}))
        async with world.started() as gateway:
            await gateway.settle()
            entries = await all_entries(gateway.outbox)
        assert {entry.type for entry in entries} == {*ANSWERS, EventType.DEVICE_DESCRIBED, EventType.ALARM_RAISED}
        for entry in entries:
            assert breaches(entry.type, entry.data, entry.metadata) == []

    run_virtual(main)


@pytest.mark.parametrize(
    ("code", "has_committed"),
    [(sqlite3.SQLITE_FULL, False), (sqlite3.SQLITE_IOERR, False), (sqlite3.SQLITE_IOERR, True)],
)
def test_a_commit_of_unknown_outcome_is_looked_up_and_nothing_is_answered_twice(
    world: World, code: int, *, has_committed: bool
) -> None:
    async def main() -> None:
        connect, answering = InlineConnect(), False

        def fail_once(sql: str) -> None:
            nonlocal answering
            answering = answering or "INTO answers" in sql
            if answering and sql == "COMMIT":
                connect.before = connect.after = ignore
                raise disk_error(code)

        world.ask(1, {"pollIntervalS": 5})
        async with world.started(connect=connect) as gateway:
            if has_committed:
                connect.after = fail_once
            else:
                connect.before = fail_once
            await gateway.settle()
            assert answering
            assert await gateway.answers() == [("bench", 1, "applied")]
            assert [c.poll_interval_s for c in gateway.fleet.configured] == [5.0]

    run_virtual(main)


@pytest.mark.parametrize(("size", "transactions"), [(0, 4), (60_000, 12)])
def test_both_streams_are_taken_in_by_parts_that_memory_can_hold(world: World, size: int, transactions: int) -> None:
    async def main() -> None:
        saved: list[str] = []

        def count(sql: str) -> None:
            if sql.startswith("REPLACE INTO checkpoints"):
                saved.append(sql)

        for stream in (STREAM, STATUS_STREAM):
            for _ in range(200):
                world.publish(update_event(b"x" * size, event_type="Other"), stream=stream)
        async with world.started(connect=InlineConnect(before=count)) as gateway:
            await gateway.settle()
        assert len(saved) == 2 * transactions

    run_virtual(main)


def test_without_a_status_stream_the_devices_are_run_all_the_same(world: World) -> None:
    async def main() -> None:
        world.store.tombstone(STATUS_STREAM)
        world.ask(1, {"pollIntervalS": 5})
        async with world.started() as gateway:
            await gateway.settle()
            assert gateway.fleet.in_force["bench"].poll_interval_s == 5.0

    run_virtual(main)


def test_the_stop_of_the_daemon_is_not_swallowed(world: World) -> None:
    async def main() -> None:
        for delay_s in (0, 0.5, 5):
            async with world.started() as gateway:
                task = asyncio.create_task(gateway.configurator.run())
                await asyncio.sleep(delay_s)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    run_virtual(main)


def test_whoever_else_uses_the_store_hears_that_a_subscription_began_and_that_it_ended(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway, asyncio.TaskGroup() as tasks:
            tasks.create_task(gateway.settle(1000))
            await asyncio.sleep(100)
            assert world.heard == ["reached"]
            world.store.break_subscriptions()
            await asyncio.sleep(100)
            assert world.heard == ["reached", "lost", "reached"]
            world.store.go_down()
            await asyncio.sleep(100)
            assert set(world.heard[3:]) == {"lost"}
            world.store.restart()
            await asyncio.sleep(100)
            assert world.heard[-1] == "reached"

    run_virtual(main)
