"""A lost database, or an older copy of it: the streams still tell what was applied, and it is in force again."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from edge.configure.configurator import FIRST_LOOK_S
from edge.contract.registry import METADATA, MODELS
from edge.domain.configuration import answer_event_id
from edge.domain.event import EventType
from fakes.configure_world import (
    ANSWERS,
    STATUS_STREAM,
    STREAM,
    Gateway,
    World,
    make_device,
    make_settings,
    update,
    update_event,
)
from fakes.outbox_drafts import all_entries
from fakes.virtual_time import run_virtual

RESTORED = EventType.DEVICE_CONFIGURATION_RESTORED


async def run_once(world: World) -> None:
    """Start, settle, forward."""
    async with world.started() as gateway:
        await gateway.settle()
        await world.forward(gateway.outbox)


async def restored(gateway: Gateway) -> list[tuple[str, int, int]]:
    """Return device, version before and version of each event that says so."""
    return [(d["deviceId"], d["fromVersion"], d["configVersion"]) for d in await gateway.written(RESTORED)]


def versions(gateway: Gateway) -> dict[str, int]:
    return {device_id: found.version for device_id, found in gateway.fleet.in_force.items()}


async def alarms(gateway: Gateway) -> list[str]:
    return [d["message"] for d in await gateway.written(EventType.ALARM_RAISED)]


def test_what_was_applied_last_is_in_force_again_and_an_event_says_so(world: World) -> None:
    async def main() -> None:
        for version in (1, 2, 7):
            world.ask(version, {"pollIntervalS": version + 2})
            await run_once(world)
        world.ask(8, {"pollIntervalS": 0})
        update_event_id = UUID(int=world.store.events(STREAM)[2].event_id.int)
        await run_once(world)
        shutil.rmtree(world.directory)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.written(*ANSWERS) == [], "each update has its answer"
            [event] = await gateway.written(RESTORED)
            assert (event["deviceId"], event["fromVersion"], event["configVersion"]) == ("bench", 0, 7)
            assert (event["updateEventId"], event["updateRevision"]) == (str(update_event_id), 2)
            described = [d for d in await gateway.written(EventType.DEVICE_DESCRIBED) if d["deviceId"] == "bench"]
            assert [(d["configVersion"], d["expectedIntervalS"]) for d in described] == [(0, 10.0), (7, 9.0)]
            assert gateway.fleet.in_force["bench"].poll_interval_s == 9.0
            assert await alarms(gateway) == []
            for entry in await all_entries(gateway.outbox):
                data, metadata = json.loads(entry.data), json.loads(entry.metadata)
                assert MODELS[EventType(entry.type)].model_validate(data).as_json() == data
                assert METADATA.model_validate(metadata).as_json() == metadata
        async with world.started() as gateway:
            await gateway.settle()
            assert versions(gateway) == {"bench": 7, "roof": 0}
            assert len(await gateway.written(RESTORED)) == 1, "it is said once"

    run_virtual(main)


def test_an_older_copy_of_the_database_gets_what_was_applied_since(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.ask(3)
        world.ask(1, device_id="roof")
        await run_once(world)
        shutil.copytree(world.directory, tmp_path / "copy")
        for version in (5, 7):
            world.ask(version)
            await run_once(world)
        shutil.rmtree(world.directory)
        shutil.copytree(tmp_path / "copy", world.directory)
        async with world.started() as gateway:
            assert versions(gateway) == {"bench": 3, "roof": 1}
            await gateway.settle()
            assert versions(gateway) == {"bench": 7, "roof": 1}
            assert await restored(gateway) == [("bench", 3, 7)]

    run_virtual(main)


def test_every_device_gets_its_own_back_and_only_the_last_applied_one(world: World) -> None:
    async def main() -> None:
        for version in (1, 2):
            world.ask(version)
            world.ask(version + 4, device_id="roof")
            world.ask(version, device_id="nobody")
        await run_once(world)
        shutil.rmtree(world.directory)
        world.ask(7, {"pollIntervalS": 5}, device_id="roof", basedOn=6)
        async with world.started() as gateway:
            await gateway.settle()
            assert sorted(await restored(gateway)) == [("bench", 0, 2), ("roof", 0, 6)]
            assert await gateway.answers() == [("roof", 7, "applied")]
            assert versions(gateway) == {"bench": 2, "roof": 7}

    run_virtual(main)


def test_a_device_that_is_away_gets_its_own_back_when_it_returns(world: World) -> None:
    async def main() -> None:
        world.ask(4, {"pollIntervalS": 5})
        await run_once(world)
        both = world.settings
        shutil.rmtree(world.directory)
        world.settings = make_settings(make_device("roof"))
        async with world.started() as gateway:
            await gateway.settle()
            assert await restored(gateway) == [], "nothing is in force of a device that there is not"
        world.settings = both
        async with world.started() as gateway:
            assert versions(gateway) == {"bench": 4, "roof": 0}
            await gateway.settle()
            described = [d for d in await gateway.written(EventType.DEVICE_DESCRIBED) if d["deviceId"] == "bench"]
            assert [d["configVersion"] for d in described] == [4]
            world.ask(5, basedOn=4)
            await gateway.settle()
            assert await gateway.answers() == [("bench", 5, "applied")]

    run_virtual(main)


def test_an_update_whose_answer_was_lost_with_the_database_is_answered_anew(world: World) -> None:
    async def main() -> None:
        world.ask(1)
        await run_once(world)
        [asked] = world.publish(update_event({"deviceId": "bench", "configVersion": 2, "configuration": {}}))
        async with world.started() as gateway:
            await gateway.settle()
        shutil.rmtree(world.directory)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [("bench", 2, "applied")]
            [entry] = await gateway._entries(ANSWERS)
            assert entry.event_id == answer_event_id(asked)
            assert versions(gateway) == {"bench": 2, "roof": 0}

    run_virtual(main)


@pytest.mark.parametrize("has_copy", [False, True])
def test_an_update_that_the_stream_holds_no_more_is_told_and_what_there_is_stays_in_force(
    world: World, tmp_path: Path, *, has_copy: bool
) -> None:
    async def main() -> None:
        world.ask(3)
        await run_once(world)
        shutil.copytree(world.directory, tmp_path / "copy")
        lost = world.ask(7)
        await run_once(world)
        world.store.truncate(STREAM, 2)
        shutil.rmtree(world.directory)
        if has_copy:
            shutil.copytree(tmp_path / "copy", world.directory)
        stays, text = (3, "version 3") if has_copy else (0, "the site file alone")
        for _ in range(2):
            async with world.started() as gateway:
                await gateway.settle()
                assert versions(gateway) == {"bench": stays, "roof": 0}
                assert await restored(gateway) == []
                [message] = await alarms(gateway)
                assert f"version 7 was applied before this database was lost, and its update {lost}" in message
                assert f"{text} is in force" in message
        world.ask(7)
        world.ask(8)
        async with world.started() as gateway:
            await gateway.settle()
            assert (await gateway.answers())[-2:] == [("bench", 7, "stale_version"), ("bench", 8, "applied")]
            assert len(await gateway.written(EventType.ALARM_CLEARED)) == 1
            assert versions(gateway) == {"bench": 8, "roof": 0}

    run_virtual(main)


def test_a_lost_update_that_is_appended_again_is_in_force_again_at_once(world: World) -> None:
    async def main() -> None:
        event = update_event(update(7, {"pollIntervalS": 5}))
        world.publish(event)
        await run_once(world)
        world.store.truncate(STREAM, 1)
        shutil.rmtree(world.directory)
        async with world.started() as gateway:
            following = asyncio.create_task(gateway.configurator.run())
            await asyncio.sleep(10)
            assert versions(gateway) == {"bench": 0, "roof": 0}
            world.publish(event)
            await asyncio.sleep(10)
            following.cancel()
            assert versions(gateway) == {"bench": 7, "roof": 0}
            assert await restored(gateway) == [("bench", 0, 7)]
            assert len(await gateway.written(EventType.ALARM_CLEARED)) == 1
            assert await gateway.answers() == []

    run_virtual(main)


def test_an_intact_database_has_nothing_restored_and_no_alarm(world: World) -> None:
    async def main() -> None:
        for version in (1, 2, 3):
            world.ask(version)
            await run_once(world)
            await run_once(world)
        async with world.started() as gateway:
            await gateway.settle()
            assert await restored(gateway) == []
            assert await alarms(gateway) == []

    run_virtual(main)


def test_a_link_lost_between_the_two_streams_loses_nothing_of_the_restoring(world: World) -> None:
    async def main() -> None:
        world.ask(3)
        await run_once(world)
        shutil.rmtree(world.directory)
        original = world.store.subscribe
        calls = 0

        def subscribe(stream: str, *, after_revision: int) -> Any:
            nonlocal calls
            calls += stream == STREAM
            if calls == 1 and stream == STREAM:
                world.store.go_down()
            return original(stream, after_revision=after_revision)

        world.store.subscribe = subscribe  # type: ignore[method-assign]
        async with world.started() as gateway:
            await gateway.settle(5)
            assert versions(gateway) == {"bench": 0, "roof": 0}
        world.store.restart()
        async with world.started() as gateway:
            await gateway.settle()
            assert versions(gateway) == {"bench": 3, "roof": 0}
            assert await restored(gateway) == [("bench", 0, 3)]

    run_virtual(main)


def test_what_is_restored_is_held_against_the_site_file_as_it_is_now(world: World) -> None:
    async def main() -> None:
        world.ask(3, {"pollIntervalS": 5, "enabled": False})
        await run_once(world)
        shutil.rmtree(world.directory)
        world.settings = make_settings(make_device("bench", remote={"enabled": True}))
        async with world.started() as gateway:
            await gateway.settle()
            in_force = gateway.fleet.in_force["bench"]
            assert (in_force.version, in_force.enabled, in_force.poll_interval_s) == (3, False, 10.0)
            [message] = await alarms(gateway)
            assert "pollIntervalS may not be set remotely" in message

    run_virtual(main)


def forged(update_event_id: UUID, **changes: Any) -> dict[str, Any]:
    facts = {"gatewayId": "north-1", "updateEventId": str(update_event_id), "updateRevision": 0}
    return {**facts, "deviceId": "bench", "configVersion": 9, "changes": [], **changes}


@pytest.mark.parametrize(
    ("changes", "has_answers_id"),
    [({}, False), ({"gatewayId": "south-2"}, True), ({"gatewayId": None}, True), ({"updateEventId": "x"}, True)],
)
def test_an_answer_that_somebody_else_wrote_answers_and_restores_nothing(
    world: World, changes: dict[str, Any], *, has_answers_id: bool
) -> None:
    async def main() -> None:
        asked = world.ask(9, {"pollIntervalS": 5})
        event_id = answer_event_id(asked) if has_answers_id else uuid4()
        event = update_event(
            forged(asked, **changes), event_type=EventType.DEVICE_CONFIGURATION_APPLIED, event_id=event_id
        )
        world.publish(event, stream=STATUS_STREAM)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [("bench", 9, "applied")]
            assert await restored(gateway) == []
            assert await alarms(gateway) == []

    run_virtual(main)


def test_an_answer_that_was_set_aside_and_tried_again_stands(world: World) -> None:
    async def main() -> None:
        asked = world.ask(9, {"pollIntervalS": 5})
        event = update_event(
            forged(asked),
            event_type=EventType.DEVICE_CONFIGURATION_APPLIED,
            metadata={"retryOf": str(answer_event_id(asked))},
        )
        world.publish(event, stream=STATUS_STREAM)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == []
            assert await restored(gateway) == [("bench", 0, 9)]

    run_virtual(main)


def test_with_a_link_the_first_look_ends_when_the_configuration_is_in_force(world: World) -> None:
    async def main() -> None:
        world.ask(3)
        await run_once(world)
        shutil.rmtree(world.directory)
        world.store.latency_s = lambda: 0.1
        async with world.started() as gateway:
            loop = asyncio.get_running_loop()
            started_s = loop.time()
            following = asyncio.create_task(gateway.configurator.run())
            await gateway.configurator.first_look()
            assert loop.time() - started_s < FIRST_LOOK_S / 2
            assert versions(gateway) == {"bench": 3, "roof": 0}
            following.cancel()

    run_virtual(main)


@pytest.mark.parametrize(("is_down", "waited_s"), [(True, 0.0), (False, FIRST_LOOK_S)])
def test_without_a_link_measuring_does_not_wait_and_the_configuration_follows(
    world: World, waited_s: float, *, is_down: bool
) -> None:
    async def main() -> None:
        world.ask(3)
        await run_once(world)
        shutil.rmtree(world.directory)
        world.store.down = is_down
        # Silent, where it is not down.
        world.store.latency_s = lambda: 0.0 if is_down else 60.0
        async with world.started() as gateway:
            loop = asyncio.get_running_loop()
            started_s = loop.time()
            following = asyncio.create_task(gateway.configurator.run())
            await gateway.configurator.first_look()
            assert loop.time() - started_s == pytest.approx(waited_s)
            assert versions(gateway) == {"bench": 0, "roof": 0}
            world.store.latency_s = lambda: 0.0
            world.store.down = False
            await asyncio.sleep(300)
            assert versions(gateway) == {"bench": 3, "roof": 0}
            assert await restored(gateway) == [("bench", 0, 3)]
            following.cancel()

    run_virtual(main)
