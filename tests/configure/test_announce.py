from dataclasses import replace

from edge.configure.announce import as_kept, describe
from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.configuration import site_file_configuration
from edge.domain.event import EventType
from edge.domain.json_form import json_of
from edge.domain.quantity import PointKind
from edge.domain.settable import Limits
from edge.domain.settings import ValueType
from fakes.alarm_check import alarm_view
from fakes.configure_world import DIGEST, World, make_device, make_settings
from fakes.virtual_time import run_virtual


def test_what_the_site_file_no_longer_allows_is_not_used_and_an_event_says_so_once(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 2, "points": {"air_temperature": {"offset": 1.5}}})
        async with world.started() as gateway:
            await gateway.settle()
        strict = make_device("bench", remote={"poll_interval_s": Limits(minimum=5, maximum=60)})
        generous = world.settings
        world.settings = make_settings(strict, make_device("roof"))
        for _ in range(2):
            async with world.started() as gateway:
                in_force = gateway.fleet.in_force["bench"]
                assert (in_force.version, in_force.poll_interval_s) == (1, 10.0)
                assert in_force.points["air_temperature"].offset == 1.5, "the rest stays"
                await gateway.settle()
                [alarm] = await gateway.written(EventType.ALARM_RAISED)
                assert (alarm["deviceId"], alarm["alarm"]) == ("bench", "configuration_not_usable")
                assert "pollIntervalS is 2; this site allows 5 or more" in alarm["message"]
        world.settings = generous
        async with world.started() as gateway:
            assert gateway.fleet.in_force["bench"].poll_interval_s == 2.0
            await gateway.settle()
            assert len(await gateway.written(EventType.ALARM_CLEARED)) == 1

    run_virtual(main)


def test_a_new_valid_update_clears_the_alarm(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 2})
        async with world.started() as gateway:
            await gateway.settle()
        strict = {"poll_interval_s": Limits(minimum=5, maximum=60)}
        world.settings = make_settings(make_device("bench", remote=strict), make_device("roof"))
        async with world.started() as gateway:
            await gateway.settle()
            assert len(await gateway.written(EventType.ALARM_RAISED)) == 1
            world.ask(2, {"pollIntervalS": 6})
            await gateway.settle()
            [cleared] = await gateway.written(EventType.ALARM_CLEARED)
            assert (cleared["deviceId"], cleared["alarm"]) == ("bench", "configuration_not_usable")
        async with world.started() as gateway:
            await gateway.settle()
            assert len(await gateway.written(EventType.ALARM_RAISED, EventType.ALARM_CLEARED)) == 2

    run_virtual(main)


def test_a_device_that_is_removed_is_retired_once_and_described_again_when_it_comes_back(world: World) -> None:
    async def main() -> None:
        both = world.settings
        async with world.started() as gateway:
            await gateway.settle()
        world.settings = make_settings(make_device("roof"))
        for _ in range(2):
            async with world.started() as gateway:
                await gateway.settle()
                [retired] = await gateway.written(EventType.DEVICE_RETIRED)
                assert (retired["deviceId"], retired["reason"]) == ("bench", "removed")
        world.settings = both
        async with world.started() as gateway:
            await gateway.settle()
            described = await gateway.written(EventType.DEVICE_DESCRIBED)
            assert [body["deviceId"] for body in described] == ["bench", "roof", "bench"]

    run_virtual(main)


def test_the_alarm_of_a_device_goes_with_it(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 2})
        async with world.started() as gateway:
            await gateway.settle()
        strict = {"poll_interval_s": Limits(minimum=5, maximum=60)}
        world.settings = make_settings(make_device("bench", remote=strict), make_device("roof"))
        async with world.started() as gateway:
            await gateway.settle()
        world.settings = make_settings(make_device("roof"))
        async with world.started() as gateway:
            await gateway.settle()
            [raised] = await gateway.written(EventType.ALARM_RAISED)
            [cleared] = await gateway.written(EventType.ALARM_CLEARED)
            assert (cleared["deviceId"], cleared["alarm"]) == (raised["deviceId"], raised["alarm"])

    run_virtual(main)


def test_an_alarm_about_something_else_takes_the_place_of_the_one_before(world: World) -> None:
    async def main() -> None:
        world.ask(1, {"pollIntervalS": 2, "points": {"air_temperature": {"offset": 1.5}}})
        async with world.started() as gateway:
            await gateway.settle()
        for remote in ({"poll_interval_s": Limits(minimum=5, maximum=60)}, {}):
            world.settings = make_settings(make_device("bench", remote=remote), make_device("roof"))
            for _ in range(2):
                async with world.started() as gateway:
                    await gateway.settle()
        async with world.started() as gateway:
            told = await gateway.told()
            view = alarm_view(told)
            assert [kind for kind, _ in told if kind.startswith("Alarm")] == [
                "AlarmRaised",
                "AlarmCleared",
                "AlarmRaised",
            ]
            [stands] = view.alarms.values()
            assert "may not be set" in stands["message"]

    run_virtual(main)


def test_an_alarm_about_the_stream_of_a_removed_device_stays_and_retires_the_device_no_second_time(
    world: World,
) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            refused = gateway.author.stream_alarm(AlarmKind.STREAM_REFUSED, "sensorReadings-north-1.bench")
            assert refused.device_id == "bench"
            await gateway.outbox.record(gateway.author.alarm_raised(refused, "the user may not append"))
            await gateway.settle()
        world.settings = make_settings(make_device("roof"))
        for _ in range(3):
            async with world.started() as gateway:
                await gateway.settle()
                assert refused in gateway.outbox.alarms
                assert len(await gateway.written(EventType.DEVICE_RETIRED)) == 1

    run_virtual(main)


def test_what_stands_of_a_device_that_was_never_described_ends_when_it_is_none(world: World) -> None:
    async def main() -> None:
        async with world.started() as gateway:
            ghost = AlarmIdentity(alarm=AlarmKind.DRIVER_FAULT, device_id="ghost")
            await gateway.outbox.record(gateway.author.alarm_raised(ghost, "it broke"))
            await gateway.settle()
            told = [kind for kind, data in await gateway.told() if data.get("deviceId") == "ghost"]
            assert told == ["AlarmRaised", "AlarmCleared", "DeviceRetired"]

    run_virtual(main)


AS_THE_FACTORY = {"offset": 0.0, "gain": 1.0, "deadband": 0.0, "maxSilenceS": 600.0}
LIMITS = {
    "offset": {"min": -2, "max": 2},
    "gain": {"min": -1, "max": 2},
    "deadband": {"min": 0, "max": 1},
    "maxSilenceS": {"min": 0, "max": 3600},
}


def test_a_description_says_all_that_may_be_set() -> None:
    device = make_device(poll_interval_min_s=3.0)
    assert json_of(describe(device, site_file_configuration(device), connection_id="line")) == {
        "deviceId": "bench",
        "name": "Bench 3",
        "location": "north",
        "connectionId": "line",
        "profile": {"id": "xy-md02", "digest": DIGEST},
        "enabled": True,
        "pollIntervalS": 10.0,
        "expectedIntervalS": 10.0,
        "maxSilenceS": 60.0,
        "configVersion": 0,
        "settable": {"enabled": True, "pollIntervalS": {"min": 3.0, "max": 3600}},
        "points": {
            "air_temperature": {
                "quantity": "air_temperature",
                "type": "number",
                "kind": "gauge",
                "unit": "Cel",
                "range": [-40, 80],
                "effective": {**AS_THE_FACTORY, "offset": -0.2},
                "writable": False,
                "settable": LIMITS,
            },
            "relative_humidity": {
                "quantity": "relative_humidity",
                "type": "number",
                "kind": "gauge",
                "unit": "%",
                "effective": AS_THE_FACTORY,
                "writable": False,
                "settable": {},
            },
        },
    }


def test_a_description_says_which_piece_it_is_and_what_its_texts_can_be() -> None:
    device = make_device(serial_number="A-17", labels={"crop": "tomato"})
    fan = replace(device.points[1], quantity=None, type=ValueType.TEXT, kind=PointKind.STATE, texts=("off", "on"))
    device = replace(device, points=(device.points[0], fan))
    body = describe(device, site_file_configuration(device), connection_id="line")
    assert (body.serial_number, body.labels) == ("A-17", {"crop": "tomato"})
    assert (body.points["relative_humidity"].kind, body.points["relative_humidity"].values) == ("state", ("off", "on"))


def test_a_description_says_under_which_settings_a_reading_of_its_version_was_made() -> None:
    device = make_device()
    desired = replace(site_file_configuration(device), version=7, poll_interval_s=5.0)
    offset = replace(desired.points["air_temperature"], offset=-0.3, deadband=0.1)
    body = describe(
        device, replace(desired, points={**desired.points, "air_temperature": offset}), connection_id="line"
    )
    assert (body.config_version, body.poll_interval_s) == (7, 5.0)
    assert body.points["air_temperature"].effective == offset


def test_a_point_that_is_never_in_an_event_is_described_only_if_something_of_it_can_be_set() -> None:
    device = make_device()
    temperature, humidity = (replace(point, publish=False) for point in device.points)
    hidden = replace(device, points=(temperature, humidity), remote={}, profile=None)
    body = json_of(describe(hidden, site_file_configuration(hidden), connection_id="line"))
    assert (body["settable"], body["profile"]) == ({}, None)
    assert isinstance(body["points"], dict)
    assert {key: point["published"] for key, point in body["points"].items()} == {"air_temperature": False}


def test_a_device_that_speaks_when_it_likes_is_expected_at_no_interval() -> None:
    device = make_device(is_polled=False)
    body = json_of(describe(device, site_file_configuration(device), connection_id="line"))
    assert (body["expectedIntervalS"], body["maxSilenceS"]) == (None, 60.0)
    assert body["settable"] == {"enabled": True}
    assert "pollIntervalS" not in body


def test_the_digest_is_that_of_the_content() -> None:
    device = make_device()
    described = describe(device, site_file_configuration(device), connection_id="line")
    assert as_kept(described).digest == as_kept(replace(described)).digest
    assert as_kept(described).digest != as_kept(replace(described, name="other")).digest
