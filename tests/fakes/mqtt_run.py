"""Speaking to the MQTT driver as the collector does, and to its broker as devices do."""

import asyncio
from collections.abc import Callable, Sequence

from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.options import MqttConnectionOptions, Protocol
from edge.domain.reading import Sample
from edge.domain.settings import DeviceGroup, DeviceSettings
from fakes.mosquitto import Mosquitto, publish
from fakes.mqtt_connection import CONTEXT, connection

WAIT_S = 20.0


def driver_at(
    broker: Mosquitto,
    *devices: DeviceSettings,
    groups: Sequence[DeviceGroup] = (),
    protocol: Protocol = "auto",
    inflight_max: int = 512,
    port: int = 0,
) -> MqttDriver:
    """A driver that nobody opened yet; another port is that of a proxy."""
    options = MqttConnectionOptions(
        url=f"mqtt://127.0.0.1:{port or broker.port}", protocol=protocol, inflight_max=inflight_max
    )
    assert not options.mistakes()
    return MqttDriver(connection(options, *devices, groups=groups), CONTEXT)


def text(value: float) -> str:
    return f'{{"temperature": {value}}}'


async def say(broker: Mosquitto, *values: float, topic: str = "house/bench", retain: bool = False) -> None:
    await asyncio.to_thread(publish, broker.port, [(topic, text(value)) for value in values], retain=retain)


async def send(broker: Mosquitto, topic: str, payload: bytes | str, *, retain: bool = False, quality: int = 1) -> None:
    await asyncio.to_thread(publish, broker.port, [(topic, payload)], retain=retain, quality=quality)


async def samples_of(driver: MqttDriver, count: int) -> list[Sample]:
    """Receive so many samples; one too many would stay for the next call or fail here."""
    received: list[Sample] = []
    async with asyncio.timeout(WAIT_S):
        while len(received) < count:
            received += await driver.receive()
    assert len(received) == count
    return received


async def told_by(driver: MqttDriver) -> Sequence[Sample]:
    """One `receive`, bounded in time."""
    async with asyncio.timeout(WAIT_S):
        return await driver.receive()


async def drop(driver: MqttDriver) -> None:
    """Let the connection vanish as when the process is killed: no good-bye, no acknowledgement that is still to go."""
    assert driver._session is not None
    driver._session.link.abort()
    inbox = driver._inbox
    assert inbox is not None
    await until(lambda: inbox.end is not None)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something that nobody tells of is so."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def values(samples: Sequence[Sample]) -> list[object]:
    return [sample.readings["temperature"].value for sample in samples]
