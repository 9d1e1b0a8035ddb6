"""Nothing is acknowledged before it is accepted, nothing is lost, and nothing that was acknowledged comes again."""

import asyncio
from pathlib import Path

import pytest

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.link import PACKET_LENGTH_MAX
from drivers.mqtt.options import Protocol
from edge.domain.driver import ConnectionLost
from edge.domain.reading import Redelivery, Sample
from fakes.mosquitto import Mosquitto, mosquitto, publish
from fakes.mqtt_connection import device
from fakes.mqtt_run import WAIT_S, driver_at, drop, samples_of, say, send, text, told_by, until, values
from fakes.tcp_proxy import tcp_proxy

BENCH = device("bench", "house/bench")
PROTOCOLS: tuple[Protocol, ...] = ("5", "3.1.1")


async def redelivered(driver: MqttDriver, broker: Mosquitto) -> list[Sample]:
    """What comes again on a new connection, before a message that is published now."""
    samples: list[Sample] = []
    async with driver.open():
        await say(broker, -1.0)
        async with asyncio.timeout(WAIT_S):
            while -1.0 not in values(samples):
                samples += await driver.receive()
        driver.accepted(samples)
    assert samples[-1].readings["temperature"].value == -1.0
    return samples[:-1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_was_not_accepted_when_the_process_died_comes_again(broker: Mosquitto, protocol: Protocol) -> None:
    driver = driver_at(broker, BENCH, protocol=protocol)
    async with driver.open():
        await say(broker, 1.0, 2.0, 3.0)
        first = await samples_of(driver, 3)
        await drop(driver)
    restarted = driver_at(broker, BENCH, protocol=protocol)
    # The first of them had come to the disk.
    restarted.recall([first[0].delivery])
    again = await redelivered(restarted, broker)
    assert values(again) == [1.0, 2.0, 3.0]
    assert [sample.source_key for sample in again] == [sample.source_key for sample in first]
    # So early in a session nothing is certain.
    assert [sample.redelivery for sample in again] == [Redelivery(of=first[0].delivery, is_certain=False), None, None]
    assert [sample.redelivery for sample in first] == [None, None, None]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_was_accepted_never_comes_again(broker: Mosquitto, protocol: Protocol) -> None:
    driver = driver_at(broker, BENCH, protocol=protocol)
    async with driver.open():
        await say(broker, *range(10))
        samples = await samples_of(driver, 10)
        driver.accepted(samples[:4])
    assert values(await redelivered(driver_at(broker, BENCH, protocol=protocol), broker)) == [4, 5, 6, 7, 8, 9]


async def test_a_message_waits_for_those_before_it(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH)
    async with driver.open():
        await say(broker, 1.0, 2.0, 3.0)
        samples = await samples_of(driver, 3)
        driver.accepted(samples[1:])
    assert values(await redelivered(driver_at(broker, BENCH), broker)) == [1.0, 2.0, 3.0]


async def test_a_message_is_acknowledged_when_the_last_of_its_samples_is_accepted(broker: Mosquitto) -> None:
    devices = (device("left", "house/bench"), device("right", "house/bench"))
    driver = driver_at(broker, *devices)
    async with driver.open():
        await say(broker, 1.0, 2.0)
        samples = await samples_of(driver, 4)
        driver.accepted(samples[:3])
    assert values(await redelivered(driver_at(broker, *devices), broker)) == [2.0, 2.0, -1.0]


async def test_what_says_nothing_of_ours_is_acknowledged_in_its_turn(broker: Mosquitto) -> None:
    both = device("bench", "house/bench", subscribe=["house/#"], availability=["{topic}/state"])
    driver = driver_at(broker, both)
    async with driver.open():
        await send(broker, "house/bench", b'{"humidity": 50}')
        await send(broker, "house/bench/state", b"online")
        await send(broker, "house/bench", b"")
        await say(broker, 1.0, 2.0)
        samples = await samples_of(driver, 2)
        assert driver._inbox is not None
        assert len(driver._inbox) == 2
        driver.accepted(samples[:1])
        assert len(driver._inbox) == 1
    assert values(await redelivered(driver_at(broker, both), broker)) == [2.0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_the_broker_sent_into_a_broken_connection_is_no_repetition(
    broker: Mosquitto, protocol: Protocol
) -> None:
    driver = driver_at(broker, BENCH, protocol=protocol)
    async with driver.open():
        await say(broker, 1.0, 2.0)
        first = await samples_of(driver, 2)
        driver.accepted(first[:1])
        assert driver._session is not None
        driver._session.link.pause()
        before = broker.log.count("Sending PUBLISH")
        await say(broker, 1.0)
        await until(lambda: broker.log.count("Sending PUBLISH") > before)
        await drop(driver)
    async with driver.open():
        again = await samples_of(driver, 2)
    # Both marked by the broker; of the second, no byte had been read.
    assert broker.log.count("(d1, q1") == 2
    assert values(again) == [2.0, 1.0]
    assert [sample.redelivery for sample in again] == [Redelivery(of=first[1].delivery, is_certain=True), None]
    assert again[1].source_key == first[0].source_key


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_came_by_a_session_that_the_broker_has_lost_is_never_repeated(
    tmp_path: Path, protocol: Protocol
) -> None:
    with mosquitto(tmp_path) as broker:
        driver = driver_at(broker, BENCH, protocol=protocol)
        async with driver.open():
            await say(broker, 1.0)
            await samples_of(driver, 1)
            broker.kill()
            with pytest.raises(ConnectionLost):
                await told_by(driver)
        # It had written nothing down: its ids begin anew.
        broker.start()
        async with driver.open():
            assert driver._session is not None
            driver._session.link.pause()
            before = broker.log.count("Sending PUBLISH")
            await say(broker, 1.0)
            await until(lambda: broker.log.count("Sending PUBLISH") > before)
            await drop(driver)
        async with driver.open():
            (sample,) = await samples_of(driver, 1)
    assert broker.log.count("(d1, q1") == 1
    assert sample.redelivery is None


async def test_what_was_acknowledged_may_be_a_repetition_or_not(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH)
    async with driver.open():
        await say(broker, 1.0)
        (first,) = await samples_of(driver, 1)
        driver.accepted([first])
        # Before a byte of it was sent.
        await drop(driver)
    async with driver.open():
        (again,) = await samples_of(driver, 1)
    assert again.redelivery == Redelivery(of=first.delivery, is_certain=False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_is_accepted_after_the_connection_was_lost_acknowledges_nothing_on_the_next(
    broker: Mosquitto, protocol: Protocol
) -> None:
    async with tcp_proxy(broker.port) as wire:
        driver = driver_at(broker, BENCH, protocol=protocol, port=wire.port)
        async with driver.open():
            await say(broker, 1.0, 2.0, 3.0)
            early = await samples_of(driver, 3)
            wire.cut()
            with pytest.raises(ConnectionLost):
                await told_by(driver)
        async with driver.open():
            # The same packet ids again, and none of these messages is on disk by what was accepted of the old ones.
            again = await samples_of(driver, 3)
            driver.accepted(early)
            assert driver._inbox is not None
            assert len(driver._inbox) == 3
        driver.accepted(again)
    assert values(await redelivered(driver_at(broker, BENCH, protocol=protocol), broker)) == [1.0, 2.0, 3.0]


async def test_what_had_come_before_the_loss_is_still_handed_out(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH)
    async with driver.open():
        nothing = [("house/bench", "{}")] * 100
        await asyncio.to_thread(publish, broker.port, [*nothing, ("house/bench", text(1.0))])
        inbox = driver._inbox
        assert inbox is not None
        await until(lambda: len(inbox) == 101)
        await drop(driver)
        assert values(await samples_of(driver, 1)) == [1.0]
        with pytest.raises(ConnectionLost):
            await told_by(driver)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("end", ["killed", "stopped"])
async def test_a_broker_that_ends_and_comes_back_loses_nothing(tmp_path: Path, protocol: Protocol, end: str) -> None:
    with mosquitto(tmp_path) as broker:
        driver = driver_at(broker, BENCH, protocol=protocol)
        async with driver.open():
            pass
        await say(broker, *range(15))
        async with driver.open():
            samples = await samples_of(driver, 15)
            driver.accepted(samples[:5])
            await say(broker, 15.0)
            await samples_of(driver, 1)
            await asyncio.to_thread(broker.save)
            if end == "killed":
                broker.kill()
            else:
                broker.stop()
            with pytest.raises(ConnectionLost):
                await told_by(driver)
        with pytest.raises(ConnectionLost, match="cannot be reached"):
            async with driver.open():
                pass
        broker.start()
        assert values(await redelivered(driver, broker)) == list(range(5, 16))


@pytest.mark.parametrize("quality", [0, 1])
async def test_no_more_is_taken_in_than_may_wait(tmp_path: Path, quality: int) -> None:
    with mosquitto(tmp_path, "allow_anonymous true", "max_inflight_messages 0") as broker:
        driver = driver_at(broker, BENCH, protocol="3.1.1", inflight_max=10)
        async with driver.open():
            big = '{"temperature": %d, "padding": "' + "x" * 20_000 + '"}'
            inbox, session = driver._inbox, driver._session
            assert inbox is not None
            assert session is not None
            for number in range(50):
                await send(broker, "house/bench", big % number, quality=quality)
                assert len(inbox) <= 10
                # At most one read beyond the message at which reading stopped.
                assert len(session.link._received) <= 2 * PACKET_LENGTH_MAX
            await until(lambda: session.link.is_paused)
            assert len(inbox) == 10
            received: list[Sample] = []
            async with asyncio.timeout(WAIT_S):
                while len(received) < 50:
                    samples = await driver.receive()
                    driver.accepted(samples)
                    received += samples
                    assert len(inbox) <= 10
    assert values(received) == list(range(50))


async def test_what_was_read_before_a_pause_is_looked_at_after_it_though_nothing_more_comes(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "allow_anonymous true", "max_inflight_messages 0") as broker:
        driver = driver_at(broker, BENCH, protocol="3.1.1", inflight_max=1)
        async with driver.open():
            await say(broker, *range(100))
            received: list[Sample] = []
            async with asyncio.timeout(WAIT_S):
                while len(received) < 100:
                    samples = await driver.receive()
                    driver.accepted(samples)
                    received += samples
    assert values(received) == list(range(100))


async def test_the_window_is_what_the_broker_may_send_unacknowledged(broker: Mosquitto) -> None:
    driver = driver_at(broker, BENCH, protocol="5", inflight_max=30)
    async with driver.open():
        assert driver.window == 30
        await say(broker, *range(40))
        assert values(await samples_of(driver, 30)) == list(range(30))
        assert driver._inbox is not None
        assert len(driver._inbox) == 30
    assert driver_at(broker, BENCH, protocol="3.1.1", inflight_max=30).window == 20
