"""Devices that take long to be brought to a configuration, or refuse it: nothing else waits for them."""

import asyncio
import math
import sqlite3

import pytest

from edge.domain.configuration import Code, Mistake
from edge.domain.event import EventType
from edge.domain.settings import DeviceSettings
from edge.storage.errors import CommitFailed
from fakes.configure_world import ANSWERS, STATUS_STREAM, World, make_device, update_event
from fakes.slow_devices import FOR_EVER_S, following, pending, slow
from fakes.virtual_time import run_virtual


def test_a_device_that_never_answers_delays_no_other_and_not_the_stop_and_is_answered_once_after_a_restart(
    world: World,
) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, FOR_EVER_S)
            async with following(gateway):
                world.ask(1, {"pollIntervalS": 5})
                for version in range(1, 4):
                    world.ask(version, {"pollIntervalS": 3 + version}, device_id="roof")
                    await asyncio.sleep(1)
                world.publish(update_event(b"junk"))
                await asyncio.sleep(1)
                expected = [("roof", version, "applied") for version in range(1, 4)]
                assert await gateway.answers() == [*expected, (None, None, "not_json")]
                # Also over a lost link: it goes on, and is not begun anew.
                world.store.break_subscriptions()
                await asyncio.sleep(60)
                world.ask(4, device_id="roof")
                await asyncio.sleep(60)
                assert (await gateway.answers())[-1] == ("roof", 4, "applied")
                assert gateway.fleet.applying == {"bench"}
            await world.forward(gateway.outbox)
        async with world.started() as gateway:
            await gateway.settle()
            assert [answer for answer in await gateway.answers() if answer[0] == "bench"] == [("bench", 1, "applied")]
            await world.forward(gateway.outbox)
        assert len({event.event_id for event in world.store.events(STATUS_STREAM)}) == 6

    run_virtual(main)


def test_a_slow_device_at_the_start_delays_no_other(world: World) -> None:
    async def main() -> None:
        world.ask(1)
        world.ask(1, device_id="roof")
        async with world.started() as gateway:
            slow(gateway, 3600.0)
            async with following(gateway):
                assert await gateway.answers() == [("roof", 1, "applied")]
                await asyncio.sleep(3600)
                assert await gateway.answers() == [("roof", 1, "applied"), ("bench", 1, "applied")]

    run_virtual(main)


def test_what_follows_while_an_update_is_applied_is_judged_as_if_it_were_applied(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, 60.0)
            async with following(gateway):
                world.ask(1, {"pollIntervalS": 5})
                await asyncio.sleep(1)
                world.ask(2, {"pollIntervalS": 6}, basedOn=1)
                world.ask(3, {"pollIntervalS": 7}, basedOn=1)
                world.ask(3, {"pollIntervalS": 8}, basedOn=2)
                world.ask(1)
                await asyncio.sleep(1)
                assert await gateway.answers() == [
                    ("bench", 3, "conflict"),
                    ("bench", 2, "superseded"),
                    ("bench", 1, "stale_version"),
                ]
                await asyncio.sleep(120)
                assert (await gateway.answers())[3:] == [("bench", 1, "applied"), ("bench", 3, "applied")]
                assert [c.poll_interval_s for c in gateway.fleet.configured] == [5.0, 8.0]
                [first, second] = await gateway.written(EventType.DEVICE_CONFIGURATION_APPLIED)
                assert [change["from"] for change in first["changes"] + second["changes"]] == [10.0, 5.0]

    run_virtual(main)


def test_an_update_that_was_being_applied_at_a_kill_is_superseded_by_what_was_decided_after_it(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, FOR_EVER_S)
            async with following(gateway):
                for version in (1, 2, 3):
                    world.ask(version, {"pollIntervalS": 4 + version}, basedOn=version - 1)
                    await asyncio.sleep(1)
                assert await gateway.answers() == [("bench", 2, "superseded")]
                assert await pending(gateway) == [0, 2]
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [
                ("bench", 2, "superseded"),
                ("bench", 1, "superseded"),
                ("bench", 3, "applied"),
            ]
            assert gateway.fleet.in_force["bench"].poll_interval_s == 7.0

    run_virtual(main)


def test_an_update_whose_device_is_another_when_it_is_applied_is_superseded_by_what_was_decided_after_it(
    world: World,
) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, 60.0)
            async with following(gateway):
                for version in (1, 2, 3):
                    world.ask(version, {"pollIntervalS": 4 + version}, basedOn=version - 1)
                    await asyncio.sleep(1)
                gateway.fleet.exchange("bench", make_device("bench", name="Bench 4"))
                await asyncio.sleep(600)
                assert await gateway.answers() == [
                    ("bench", 2, "superseded"),
                    ("bench", 1, "superseded"),
                    ("bench", 3, "applied"),
                ]

    run_virtual(main)


UNREACHABLE = Mistake(path="", code=Code.DEVICE_UNREACHABLE, message="bench does not answer")


def test_what_a_device_does_not_take_is_rejected_and_nothing_can_be_based_on_it(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            gateway.fleet.refusing["bench"] = UNREACHABLE
            slow(gateway, 30.0)
            async with following(gateway):
                world.ask(1, {"pollIntervalS": 5})
                await asyncio.sleep(1)
                # Read while the first one may still succeed.
                world.ask(2, basedOn=1)
                await asyncio.sleep(100)
                world.ask(3, basedOn=0)
                await asyncio.sleep(100)
                gateway.fleet.refusing.clear()
                world.ask(3, basedOn=0)
                world.ask(4, {"pollIntervalS": 6}, basedOn=0)
                await asyncio.sleep(100)
                assert await gateway.answers() == [
                    ("bench", 1, "device_unreachable"),
                    ("bench", 2, "conflict"),
                    ("bench", 3, "device_unreachable"),
                    ("bench", 3, "stale_version"),
                    ("bench", 4, "applied"),
                ]
                stages = [
                    rejected["stage"] for rejected in await gateway.written(EventType.DEVICE_CONFIGURATION_REJECTED)
                ]
                assert stages == ["application", "validation", "application", "validation"]
                assert [c.version for c in gateway.fleet.configured] == [4]

    run_virtual(main)


@pytest.mark.parametrize(
    ("device", "code"),
    [
        (None, "unknown_device"),
        (make_device("bench", remote={}), "not_permitted"),
        (make_device("bench", name="Bench 4"), "applied"),
    ],
)
def test_a_device_that_leaves_or_is_another_while_it_is_asked_is_answered_as_it_is_then(
    world: World, device: DeviceSettings | None, code: str
) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, 60.0)
            async with following(gateway):
                world.ask(1, {"pollIntervalS": 5})
                await asyncio.sleep(10)
                gateway.fleet.exchange("bench", device)
                await asyncio.sleep(60)
                assert await gateway.answers() == [("bench", 1, code)]
                assert len(gateway.fleet.configured) == (code == "applied")

    run_virtual(main)


def test_an_answer_is_written_though_the_link_was_lost_while_the_device_worked(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, 600.0)
            async with following(gateway):
                world.ask(1, {"pollIntervalS": 5})
                await asyncio.sleep(1)
                world.store.go_down()
                await asyncio.sleep(1200)
                assert await gateway.answers() == [("bench", 1, "applied")]
                world.store.restart()
                await asyncio.sleep(120)
                assert len(await gateway.written(*ANSWERS)) == 1
                assert [c.version for c in gateway.fleet.applied] == [1]

    run_virtual(main)


def test_what_waits_behind_an_update_stays_until_the_stream_was_read_to_its_end_again(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            slow(gateway, 600.0)
            async with following(gateway):
                world.ask(1)
                await asyncio.sleep(1)
                world.ask(2)
                await asyncio.sleep(1)
                world.store.go_down()
                await asyncio.sleep(10)
                world.ask(3)
                world.store.restart()
                await asyncio.sleep(2000)
                assert await gateway.answers() == [
                    ("bench", 2, "superseded"),
                    ("bench", 1, "applied"),
                    ("bench", 3, "applied"),
                ]

    run_virtual(main)


def test_a_stream_that_goes_back_while_a_device_works_takes_its_update_along(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            world.ask(1)
            backup = world.store.snapshot()
            slow(gateway, 600.0)
            async with following(gateway):
                await asyncio.sleep(1000)
                world.ask(2, {"pollIntervalS": 5})
                await asyncio.sleep(1)
                world.store.restore(backup)
                world.store.break_subscriptions()
                await asyncio.sleep(2000)
                assert await gateway.answers() == [("bench", 1, "applied")]
                assert await pending(gateway) == []
                world.ask(2, {"pollIntervalS": 6})
                await asyncio.sleep(2000)
                assert (await gateway.answers())[1:] == [("bench", 2, "applied")]
                assert gateway.fleet.in_force["bench"].poll_interval_s == 6.0

    run_virtual(main)


def test_a_stop_is_not_swallowed_by_a_commit_that_fails_in_the_same_moment(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 5})
        async with world.started() as gateway:
            task = asyncio.create_task(gateway.configurator.run())

            def stop_and_fail(_device_id: str) -> float:
                task.cancel()
                raise CommitFailed("disk full", code=sqlite3.SQLITE_FULL)

            gateway.fleet.delay_s = stop_and_fail
            await asyncio.wait([task], timeout=100)
            assert task.cancelled()

    run_virtual(main)


def test_the_first_look_waits_for_slow_devices_only_so_long(world: World) -> None:
    async def main() -> None:
        world.ask(1)
        async with world.started() as gateway:
            slow(gateway, FOR_EVER_S)
            task = asyncio.create_task(gateway.configurator.run())
            began_s = asyncio.get_running_loop().time()
            await gateway.configurator.first_look()
            assert math.isclose(asyncio.get_running_loop().time() - began_s, 3.0)
            task.cancel()

    run_virtual(main)
