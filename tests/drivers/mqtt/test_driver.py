"""The driver against a real broker: what comes, what it means, and what troubles say."""

from typing import NoReturn

import pytest

import drivers
from drivers.mqtt.device import Message
from drivers.mqtt.link import PACKET_LENGTH_MAX
from drivers.mqtt.options import MqttConnectionOptions, Protocol
from edge.domain.driver import (
    DecodingBroke,
    DeviceUnreachable,
    GroupDriver,
    MalformedResponse,
    PushedDriver,
    WindowedDriver,
)
from edge.domain.reading import Origin, Quality
from fakes.mosquitto import Mosquitto
from fakes.mqtt_broker import V5, ScriptedBroker, scripted_broker
from fakes.mqtt_connection import CONTEXT, connection, device, group
from fakes.mqtt_run import driver_at, drop, samples_of, say, send, text, told_by, values

BENCH = device("bench", "house/bench")
PROTOCOLS: tuple[Protocol, ...] = ("5", "3.1.1")


def test_the_driver_is_what_the_registry_and_the_collector_take_it_for() -> None:
    options = MqttConnectionOptions(url="mqtt://127.0.0.1")
    driver = drivers.driver_kind("mqtt").create(connection(options, BENCH), CONTEXT)
    assert isinstance(driver, PushedDriver)
    assert isinstance(driver, GroupDriver)
    assert isinstance(driver, WindowedDriver)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_messages_come_as_samples_in_the_order_of_their_publishing(broker: Mosquitto, protocol: Protocol) -> None:
    driver = driver_at(broker, BENCH, protocol=protocol)
    async with driver.open():
        await say(broker, *range(20))
        samples = await samples_of(driver, 20)
    assert values(samples) == list(range(20))
    assert {sample.device_id for sample in samples} == {"bench"}


async def test_what_the_broker_had_retained_is_marked_as_such(broker: Mosquitto) -> None:
    await say(broker, 19.0, retain=True)
    driver = driver_at(broker, BENCH)
    async with driver.open():
        [retained] = await samples_of(driver, 1)
        await say(broker, 20.0, retain=True)
        [live] = await samples_of(driver, 1)
    assert (retained.origin, retained.readings["temperature"].quality) == (Origin.RETAINED, Quality.UNCERTAIN)
    assert (live.origin, live.readings["temperature"].quality) == (Origin.LIVE, Quality.GOOD)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_reconnect_does_not_bring_what_was_retained_again(broker: Mosquitto, protocol: Protocol) -> None:
    await say(broker, 19.0, retain=True)
    driver = driver_at(broker, BENCH, protocol=protocol)
    async with driver.open():
        driver.accepted(await samples_of(driver, 1))
    for value in (21.0, 22.0):
        async with driver.open():
            await say(broker, value)
            samples = await samples_of(driver, 1)
            assert values(samples) == [value]
            driver.accepted(samples)


async def test_a_broker_that_has_forgotten_our_session_is_asked_again(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH, protocol="3.1.1")
    async with driver.open():
        pass
    # Killed before it wrote anything down.
    broker.kill()
    broker.start()
    async with driver.open():
        await say(broker, 21.0)
        assert values(await samples_of(driver, 1)) == [21.0]


async def test_what_the_broker_did_not_answer_is_asked_for_again(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH, protocol="3.1.1")
    async with driver.open():
        driver.adopt(device("late", "house/late"))
        await drop(driver)
    async with driver.open():
        await say(broker, 5.0, topic="house/late")
        assert values(await samples_of(driver, 1)) == [5.0]


async def test_a_message_of_quality_0_is_taken_and_needs_no_acknowledgement(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH)
    async with driver.open():
        await send(broker, "house/bench", text(3.0), quality=0)
        driver.accepted(await samples_of(driver, 1))
        assert driver._inbox is not None
        assert len(driver._inbox) == 0


async def test_one_message_concerns_every_device_that_listens_to_its_topic(broker: Mosquitto) -> None:
    driver = driver_at(broker, device("left", "house/both"), device("right", "house/both"), device("all", "house/+"))
    async with driver.open():
        await say(broker, 1.0, topic="house/both")
        samples = await samples_of(driver, 3)
    assert [sample.device_id for sample in samples] == ["left", "right", "all"]


async def test_overlapping_topics_bring_a_message_once(broker: Mosquitto) -> None:
    listener = device("bench", "house/bench", subscribe=["{topic}", "house/+", "#"])
    driver = driver_at(broker, listener, BENCH, protocol="5")
    async with driver.open():
        await say(broker, 1.0, 2.0)
        samples = await samples_of(driver, 4)
    assert values(samples) == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_an_earlier_site_file_subscribed_to_brings_no_message_twice(
    broker: Mosquitto, protocol: Protocol
) -> None:
    async with driver_at(broker, BENCH, protocol=protocol).open():
        pass
    driver = driver_at(broker, BENCH, groups=[group("other-{name}", "house/{name}")], protocol=protocol)
    async with driver.open():
        await say(broker, 1.0, 1.0, 2.0)
        samples = await samples_of(driver, 3)
        driver.accepted(samples)
        assert driver._inbox is not None
        # The copies have been acknowledged as well.
        assert len(driver._inbox) == 0
        await say(broker, 3.0)
        samples += await samples_of(driver, 1)
    assert values(samples) == [1.0, 1.0, 2.0, 3.0]


async def test_topics_that_overlap_in_part_bring_a_message_once(broker: Mosquitto) -> None:
    devices = (device("a", "house/+/state"), device("b", "house/bench/+"))
    driver = driver_at(broker, *devices, protocol="5")
    async with driver.open():
        await say(broker, 1.0, 1.0, topic="house/bench/state")
        samples = await samples_of(driver, 4)
        await say(broker, 2.0, topic="house/bench/state")
        samples += await samples_of(driver, 2)
    assert sorted(sample.device_id for sample in samples) == ["a", "a", "a", "b", "b", "b"]


async def test_a_malformed_payload_names_its_device_and_topic_and_costs_no_other_message(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH)
    async with driver.open():
        await say(broker, 1.0)
        await send(broker, "house/bench", b'{"temperature": 2' + b"1" * 500)
        await say(broker, 3.0)
        assert values(await samples_of(driver, 1)) == [1.0]
        with pytest.raises(MalformedResponse, match="house/bench") as caught:
            await told_by(driver)
        assert caught.value.device_id == "bench"
        assert len(str(caught.value)) < 300
        assert values(await samples_of(driver, 1)) == [3.0]


async def test_a_message_longer_than_any_device_sends_is_passed_over_and_told(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH)
    async with driver.open():
        await send(broker, "house/bench", b"x" * PACKET_LENGTH_MAX)
        await say(broker, 2.0)
        with pytest.raises(MalformedResponse, match="passed over") as caught:
            await told_by(driver)
        assert caught.value.device_id == "bench"
        driver.accepted(await samples_of(driver, 1))
    # Acknowledged: it does not come again.
    async with driver.open():
        await say(broker, 3.0)
        assert values(await samples_of(driver, 1)) == [3.0]


@pytest.mark.parametrize("retain", [False, True])
async def test_a_device_that_says_offline_is_unreachable_in_the_order_of_what_it_said(
    broker: Mosquitto, *, retain: bool
) -> None:
    lamp = device("lamp", "house/lamp", availability=["{topic}/state"])
    driver = driver_at(broker, lamp)
    if retain:
        await send(broker, "house/lamp/state", "offline", retain=True)
    async with driver.open():
        if not retain:
            await say(broker, 1.0, topic="house/lamp")
            await send(broker, "house/lamp/state", "online")
            await send(broker, "house/lamp/state", "offline")
            assert values(await samples_of(driver, 1)) == [1.0]
        with pytest.raises(DeviceUnreachable, match="house/lamp/state says 'offline'") as caught:
            await told_by(driver)
        assert caught.value.device_id == "lamp"


async def test_the_state_that_a_broker_retains_is_told_after_each_connect(broker: Mosquitto) -> None:
    lamp = device("lamp", "house/lamp", subscribe=["house/#"], availability=["{topic}/state"])
    await send(broker, "house/lamp/state", "offline", retain=True)
    for _ in range(2):
        driver = driver_at(broker, lamp, protocol="5")
        async with driver.open():
            with pytest.raises(DeviceUnreachable):
                await told_by(driver)


async def test_a_bridge_that_leaves_takes_all_its_devices_along(broker: Mosquitto) -> None:
    lamps = [device(f"lamp-{number}", f"house/{number}", availability=["bridge/state"]) for number in range(3)]
    driver = driver_at(broker, *lamps)
    async with driver.open():
        await send(broker, "bridge/state", "offline")
        left = []
        for _ in lamps:
            with pytest.raises(DeviceUnreachable) as caught:
                await told_by(driver)
            left.append(caught.value.device_id)
    assert left == ["lamp-0", "lamp-1", "lamp-2"]


async def test_devices_of_a_topic_that_the_broker_refuses_are_unreachable_and_say_why() -> None:
    refusing = ScriptedBroker(suback_code=0x87)
    async with scripted_broker(refusing):
        options = MqttConnectionOptions(url=f"mqtt://127.0.0.1:{refusing.port}")
        driver = drivers.driver_kind("mqtt").create(connection(options, BENCH), CONTEXT)
        assert isinstance(driver, PushedDriver)
        async with driver.open():
            with pytest.raises(DeviceUnreachable, match="refuses the topic house/bench: Not authorized") as caught:
                await driver.receive()
    assert caught.value.device_id == "bench"


async def test_a_topic_that_is_no_text_costs_no_other_message() -> None:
    odd = bytes.fromhex("300a0002ff2f007b7d202020")
    good = b"\x30" + bytes([2 + 11 + 1 + 17]) + b"\x00\x0bhouse/bench\x00" + b'{"temperature":4}'
    sending = ScriptedBroker(then=odd + good)
    async with scripted_broker(sending):
        options = MqttConnectionOptions(url=f"mqtt://127.0.0.1:{sending.port}")
        driver = drivers.driver_kind("mqtt").create(connection(options, BENCH), CONTEXT)
        assert isinstance(driver, PushedDriver)
        async with driver.open():
            with pytest.raises(MalformedResponse, match="no UTF-8"):
                await driver.receive()
            assert values(await driver.receive()) == [4]
    assert sending.versions == [V5]


async def test_a_bug_in_decoding_for_one_device_costs_the_others_nothing(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = driver_at(broker, device("left", "house/both"), device("right", "house/both"))

    def broken(_message: Message) -> NoReturn:
        raise KeyError("a bug")

    async with driver.open():
        monkeypatch.setattr(driver._devices["left"], "decode", broken)
        await say(broker, 1.0, topic="house/both")
        with pytest.raises(DecodingBroke) as broke:
            await told_by(driver)
        assert (broke.value.device_id, type(broke.value.__cause__)) == ("left", KeyError)
        samples = await samples_of(driver, 1)
        assert [sample.device_id for sample in samples] == ["right"]
        driver.accepted(samples)
        assert driver._inbox is not None
        assert len(driver._inbox) == 0
