"""Publishes what simulated MQTT devices say to a broker, with QoS 1, as their firmware would."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from drivers.simulation.broker import Broker, BrokerFailed
from drivers.simulation.faults import Fault
from drivers.simulation.mqtt_messages import Moment, MqttDevice, Outgoing, availability, messages
from drivers.simulation.site import SimulatedSite

# How often each device publishes. Real ones take from ten seconds to hours: too long for a demonstration.
INTERVAL_S = 5.0
# What a device keeps while it cannot send; its memory is small.
KEPT_MAX = 100
# What waits for a broker that is away.
QUEUED_MAX = 1000
CONNECT_TIMEOUT_S = 5.0
_GONE = frozenset({Fault.SILENT, Fault.OFFLINE})


class SimulatedPublisher:
    """One device's messages, one turn after the other. No I/O."""

    def __init__(self, device: MqttDevice, site: SimulatedSite, *, time_zone: str = "UTC") -> None:
        self._device = device
        self._site = site
        self._time_zone = time_zone
        # None: it has published no availability yet.
        self._is_there: bool | None = None
        self._number = 0
        self._kept: deque[Outgoing] = deque(maxlen=KEPT_MAX)

    def turn(self, now_ms: int) -> Iterable[Outgoing]:
        """Return what it publishes now: a change of its availability, what it had kept, what it measures."""
        shown = self._site.shown(self._device.device)
        is_there = shown.fault not in _GONE
        said: list[Outgoing] = []
        if is_there is not self._is_there:
            self._is_there = is_there
            said += availability(self._device, is_there=is_there)
        if not is_there:
            return said
        self._number += 1
        moment = Moment(now_ms=now_ms, time_zone=self._time_zone, number=self._number)
        new = list(messages(self._device, shown, moment))
        if shown.fault is Fault.HISTORY:
            self._kept.extend(new)
            return said
        said += [*self._kept, *new]
        self._kept.clear()
        return [*said, *new] if shown.fault is Fault.DUPLICATE else said

    def farewell(self) -> Iterable[Outgoing]:
        """Return what it, or the broker for it, publishes when it is switched off."""
        return availability(self._device, is_there=False)


@asynccontextmanager
async def publishing(
    publishers: Sequence[SimulatedPublisher],
    broker: Broker,
    *,
    now_ms: Callable[[], int],
    interval_s: float = INTERVAL_S,
) -> AsyncIterator[None]:
    """Let the devices publish for the length of the context; say that they are gone at its end.

    Raises BrokerFailed if the broker cannot be reached at the start; later it is waited for.
    """
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    client.max_queued_messages_set(QUEUED_MAX)
    client.connect_timeout = CONNECT_TIMEOUT_S
    try:
        await asyncio.to_thread(client.connect, broker.host, broker.port)
    except OSError as error:
        raise BrokerFailed(f"the broker {broker.url} cannot be reached: {error.strerror or error}") from error
    client.loop_start()
    task = asyncio.create_task(_publish(client, publishers, now_ms, interval_s), name="publisher")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        _send(client, (message for publisher in publishers for message in publisher.farewell()))
        await asyncio.to_thread(_leave, client)


async def _publish(
    client: Client, publishers: Sequence[SimulatedPublisher], now_ms: Callable[[], int], interval_s: float
) -> None:
    """Give each device its turn, one after the other, so that they do not all speak at once."""
    for publisher in publishers:
        _send(client, publisher.turn(now_ms()))
    while True:
        for publisher in publishers:
            await asyncio.sleep(interval_s / len(publishers))
            _send(client, publisher.turn(now_ms()))
        if not publishers:
            await asyncio.sleep(interval_s)


def _send(client: Client, outgoing: Iterable[Outgoing]) -> None:
    for message in outgoing:
        # A full queue is a broker that is away: what a device cannot send is lost.
        with suppress(ValueError, RuntimeError):
            client.publish(message.topic, message.payload, qos=1, retain=message.is_retained)


def _leave(client: Client) -> None:
    client.disconnect()
    client.loop_stop()
