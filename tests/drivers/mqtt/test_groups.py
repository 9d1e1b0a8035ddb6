"""Device groups at a real broker: who is heard, who is only seen, who is taken on."""

import pytest

from drivers.mqtt.driver import MqttDriver
from edge.domain.device_group import member
from edge.domain.driver import DeviceUnreachable
from edge.domain.settings import DeviceGroup
from fakes.mosquitto import Mosquitto
from fakes.mqtt_connection import device, group
from fakes.mqtt_run import driver_at, samples_of, say, send, told_by, values

SENSOR = "zigbee2mqtt/{name}"


def take_on(driver: MqttDriver) -> list[tuple[DeviceGroup, str]]:
    """Do what the collector does after a `receive`, with everybody."""
    appeared = list(driver.appeared())
    for each, name in appeared:
        driver.adopt(member(each, name))
    return appeared


async def test_listed_names_are_heard_and_others_are_only_seen(broker: Mosquitto) -> None:
    zigbee = group("zigbee-{name}", SENSOR, names=["Left"])
    driver = driver_at(broker, member(zigbee, "Left"), groups=[zigbee])
    async with driver.open():
        await say(broker, 1.0, topic="zigbee2mqtt/Right")
        await say(broker, 2.0, topic="zigbee2mqtt/Left")
        [sample] = await samples_of(driver, 1)
    assert sample.device_id == "zigbee-left"
    [seen] = driver.seen()
    assert (seen.group_id, seen.name, seen.topic) == ("zigbee-{name}", "Right", "zigbee2mqtt/Right")
    assert seen.reason == "not in names"
    assert not driver.appeared()


async def test_a_new_name_is_taken_on_and_its_first_message_is_not_lost(broker: Mosquitto) -> None:
    zigbee = group("zigbee-{name}", SENSOR, devices_max=2)
    driver = driver_at(broker, groups=[zigbee])
    async with driver.open():
        await say(broker, 1.0, 2.0, topic="zigbee2mqtt/Bench 3")
        assert await told_by(driver) == []
        assert take_on(driver) == [(zigbee, "Bench 3")]
        first = await samples_of(driver, 2)
        await say(broker, 3.0, topic="zigbee2mqtt/Bench 3")
        more = await samples_of(driver, 1)
    assert {sample.device_id for sample in (*first, *more)} == {"zigbee-bench-3"}
    assert values([*first, *more]) == [1.0, 2.0, 3.0]
    assert not driver.appeared()
    assert not driver.seen()
    # Its topics came already: the broker is not asked again, and does not repeat what it retains.
    assert broker.log.count("Received SUBSCRIBE") == 1


async def test_the_first_message_of_a_new_name_is_acknowledged_only_when_it_was_accepted(broker: Mosquitto) -> None:
    zigbee = group("zigbee-{name}", SENSOR, devices_max=2)
    driver = driver_at(broker, groups=[zigbee])
    async with driver.open():
        await say(broker, 1.0, topic="zigbee2mqtt/a")
        assert await told_by(driver) == []
    async with driver.open():
        await told_by(driver)
        take_on(driver)
        samples = await samples_of(driver, 1)
        driver.accepted(samples)
        assert driver._inbox is not None
        assert len(driver._inbox) == 0
    assert values(samples) == [1.0]


async def test_a_name_that_the_collector_does_not_take_on_holds_nothing_up(broker: Mosquitto) -> None:
    zigbee = group("zigbee-{name}", SENSOR, devices_max=2)
    driver = driver_at(broker, device("bench", "house/bench"), groups=[zigbee])
    async with driver.open():
        await say(broker, 1.0, topic="zigbee2mqtt/a")
        await say(broker, 2.0)
        samples = [*await told_by(driver)]
        assert [name for _, name in driver.appeared()] == ["a"]
        samples += await samples_of(driver, 1 - len(samples))
        driver.accepted(samples)
        await say(broker, 3.0, topic="zigbee2mqtt/a")
        await say(broker, 4.0)
        driver.accepted(await samples_of(driver, 1))
        assert driver._inbox is not None
        assert len(driver._inbox) == 0
    assert not driver.appeared()
    [seen] = driver.seen()
    assert seen.reason.startswith("was not taken on")


async def test_no_more_than_devices_max_are_taken_on(broker: Mosquitto) -> None:
    zigbee = group("zigbee-{name}", SENSOR, names=["listed"], devices_max=3)
    driver = driver_at(broker, member(zigbee, "listed"), groups=[zigbee])
    async with driver.open():
        for name in "abcd":
            await say(broker, 1.0, topic=f"zigbee2mqtt/{name}")
        await say(broker, 2.0, topic="zigbee2mqtt/listed")
        received = [*await told_by(driver)]
        appeared = take_on(driver)
        received += await samples_of(driver, 3 - len(received))
    assert [name for _, name in appeared] == ["a", "b"]
    assert sorted(sample.device_id for sample in received) == ["zigbee-a", "zigbee-b", "zigbee-listed"]
    assert [(seen.name, seen.reason) for seen in driver.seen()] == [
        ("c", "devices_max = 3 is reached"),
        ("d", "devices_max = 3 is reached"),
    ]


async def test_an_explicit_device_wins_over_a_group(broker: Mosquitto) -> None:
    zigbee = group("zigbee-{name}", SENSOR, devices_max=5)
    driver = driver_at(broker, device("tank", "zigbee2mqtt/tank"), groups=[zigbee])
    async with driver.open():
        await say(broker, 1.0, topic="zigbee2mqtt/tank")
        [sample] = await samples_of(driver, 1)
    assert sample.device_id == "tank"
    assert not driver.appeared()
    assert not driver.seen()


async def test_what_is_retained_or_says_nothing_of_the_profile_makes_no_device(broker: Mosquitto) -> None:
    zigbee = group("zigbee-{name}", SENSOR, devices_max=5)
    await say(broker, 1.0, topic="zigbee2mqtt/ghost", retain=True)
    driver = driver_at(broker, device("bench", "house/bench"), groups=[zigbee])
    async with driver.open():
        await send(broker, "zigbee2mqtt/lamp", b'{"state": "ON"}')
        await send(broker, "zigbee2mqtt/odd", b"{{{")
        await say(broker, 2.0)
        await samples_of(driver, 1)
    assert not driver.appeared()
    assert [(seen.name, seen.reason) for seen in driver.seen()] == [
        ("ghost", "only what the broker had retained"),
        ("lamp", "says nothing of what the profile asks for"),
        ("odd", "says nothing of what the profile asks for"),
    ]


async def test_the_availability_of_a_device_that_was_taken_on_is_followed(broker: Mosquitto) -> None:
    zigbee = group("zigbee-{name}", SENSOR, devices_max=5, availability=["{topic}/availability"])
    driver = driver_at(broker, groups=[zigbee])
    async with driver.open():
        await say(broker, 1.0, topic="zigbee2mqtt/a")
        await told_by(driver)
        take_on(driver)
        await samples_of(driver, 1)
        assert driver._session is not None
        await send(broker, "zigbee2mqtt/a/availability", b"offline", retain=True)
        with pytest.raises(DeviceUnreachable, match="zigbee2mqtt/a/availability says 'offline'"):
            await told_by(driver)
