"""What is kept of an update without an answer, and how far the checkpoint goes meanwhile."""

import asyncio
import shutil
from pathlib import Path

import pytest

from edge.domain.configuration import answer_event_id
from edge.domain.event import EventType
from fakes.configure_world import STATUS_STREAM, World, make_device, make_settings, update, update_event
from fakes.inline_sqlite import InlineConnect
from fakes.slow_devices import FOR_EVER_S, following, newest, pending, slow
from fakes.virtual_time import run_virtual


def test_an_update_alone_is_written_once_and_one_that_is_overtaken_is_kept_before_the_checkpoint_passes_it(
    world: World,
) -> None:
    async def main() -> None:
        statements: list[str] = []
        connect = InlineConnect(before=statements.append)
        async with world.started(connect=connect) as gateway, following(gateway):
            statements.clear()
            world.ask(1, {"pollIntervalS": 5})
            await asyncio.sleep(5)
            assert await gateway.answers() == [("bench", 1, "applied")]
            assert statements.count("COMMIT") == 1
            assert not any("INTO pending_updates" in sql for sql in statements)
            slow(gateway, 600.0)
            world.ask(2)
            await asyncio.sleep(5)
            assert await pending(gateway) == []
            assert await newest(gateway) == 0
            world.ask(1, device_id="roof")
            await asyncio.sleep(5)
            assert await pending(gateway) == [1]
            assert await newest(gateway) == 2
            await asyncio.sleep(600)
            assert await pending(gateway) == []
            assert (await gateway.answers())[-1] == ("bench", 2, "applied")

    run_virtual(main)


def test_the_checkpoint_stays_before_an_update_that_was_read_meanwhile(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway, following(gateway):
            gateway.fleet.delay_s = lambda device_id: FOR_EVER_S if device_id == "roof" else 60.0
            world.ask(1)
            await asyncio.sleep(1)
            world.ask(1, device_id="roof")
            await asyncio.sleep(100)
            assert await gateway.answers() == [("bench", 1, "applied")]
            assert (await pending(gateway), await newest(gateway)) == ([], 0)
        async with world.started() as gateway:
            await gateway.settle()
            assert (await gateway.answers())[1:] == [("roof", 1, "applied")]

    run_virtual(main)


def test_an_older_copy_in_which_an_update_was_pending_learns_that_it_was_applied_since(
    world: World, tmp_path: Path
) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, FOR_EVER_S)
            async with following(gateway):
                world.ask(1, {"pollIntervalS": 5})
                world.ask(1, device_id="roof")
                await asyncio.sleep(5)
                assert await pending(gateway) == [0]
                assert await newest(gateway) == 1, "the stream will not be read again from before it"
        shutil.copytree(world.directory, tmp_path / "copy")
        async with world.started() as gateway:
            await gateway.settle()
            assert gateway.fleet.in_force["bench"].version == 1
            await world.forward(gateway.outbox)
        shutil.rmtree(world.directory)
        shutil.copytree(tmp_path / "copy", world.directory)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [("roof", 1, "applied")]
            assert (await pending(gateway), gateway.fleet.in_force["bench"].poll_interval_s) == ([], 5.0)
            [restored] = await gateway.written(EventType.DEVICE_CONFIGURATION_RESTORED)
            assert (restored["deviceId"], restored["configVersion"]) == ("bench", 1)

    run_virtual(main)


def test_an_update_whose_answer_stands_on_the_status_stream_meanwhile_is_not_answered_again(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, 600.0)
            async with following(gateway):
                event_id = world.ask(1, {"pollIntervalS": 5})
                await asyncio.sleep(1)
                world.ask(1, device_id="roof")
                await asyncio.sleep(1)
                # A copy of this gateway runs, too.
                given = {
                    "gatewayId": "north-1",
                    "updateEventId": str(event_id),
                    "deviceId": "bench",
                    "configVersion": 1,
                }
                event_type = EventType.DEVICE_CONFIGURATION_REJECTED
                answer = update_event(given, event_id=answer_event_id(event_id), event_type=event_type)
                world.publish(answer, stream=STATUS_STREAM)
                world.store.break_subscriptions()
                await asyncio.sleep(1000)
                assert await gateway.answers() == [("roof", 1, "applied")]
                assert await pending(gateway) == []
                assert gateway.fleet.in_force["bench"].version == 0

    run_virtual(main)


def test_an_update_does_not_undo_a_later_one_that_a_copy_of_this_gateway_applied_meanwhile(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, 600.0)
            async with following(gateway):
                for version in (1, 2):
                    world.ask(version, {"pollIntervalS": 4 + version})
                    await asyncio.sleep(1)
                world.store.go_down()
                await asyncio.sleep(1)
                event_id = world.ask(5, {"pollIntervalS": 7})
                given = {
                    "gatewayId": "north-1",
                    "updateEventId": str(event_id),
                    "deviceId": "bench",
                    "configVersion": 5,
                }
                event_type = EventType.DEVICE_CONFIGURATION_APPLIED
                answer = update_event(given, event_id=answer_event_id(event_id), event_type=event_type)
                world.publish(answer, stream=STATUS_STREAM)
                world.store.restart()
                await asyncio.sleep(3000)
                assert await gateway.answers() == [("bench", 1, "superseded"), ("bench", 2, "superseded")]
                assert gateway.fleet.in_force["bench"].version == 5

    run_virtual(main)


def case_tasks() -> int:
    return sum(task.get_name().startswith("case of") for task in asyncio.all_tasks())


@pytest.mark.parametrize(("devices", "updates", "is_slow"), [(500, 4, False), (500, 4, True), (3, 100, True)])
def test_tasks_and_what_is_kept_grow_with_the_devices_alone(
    tmp_path: Path, devices: int, updates: int, *, is_slow: bool
) -> None:
    async def main() -> None:
        ids = [f"d{number}" for number in range(devices)]
        world = World(tmp_path, make_settings(*map(make_device, ids)))
        most_tasks, most_kept = 0, 0
        async with world.started() as gateway:
            gateway.fleet.delay_s = lambda _device_id: FOR_EVER_S if is_slow else 0.0
            async with following(gateway):
                for version in range(1, updates + 1):
                    world.publish(*[update_event(update(version, device_id=device_id)) for device_id in ids])
                    await asyncio.sleep(1)
                    most_tasks = max(most_tasks, case_tasks())
                    most_kept = max(most_kept, len(await pending(gateway)))
                if is_slow:
                    # One is applied, one waits; all between are superseded.
                    assert case_tasks() == devices
                    assert len(await gateway.answers()) == devices * (updates - 2)
                else:
                    assert case_tasks() == 0
                    assert len(await gateway.answers()) == devices * updates
        assert most_tasks <= devices
        assert most_kept <= 2 * devices

    run_virtual(main)
