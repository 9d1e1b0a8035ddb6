"""Lets a site's MQTT devices publish at a broker: what `simulate` does for this driver."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import time
from urllib.parse import urlsplit

from drivers.mqtt.options import TOPIC_PLACE, MqttDeviceOptions, MqttPointOptions
from drivers.simulation.broker import Broker, open_broker
from drivers.simulation.faults import MQTT_FAULTS
from drivers.simulation.mqtt_messages import Availability, MqttDevice, is_served
from drivers.simulation.mqtt_publisher import SimulatedPublisher, publishing
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.site import SimulatedSite
from edge.domain.commissioning import Change, Endpoint, Simulation
from edge.domain.device_group import NAME_PLACE, member
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings

# Names that a group has not listed: one that is seen, or as many as it adopts.
NEWCOMERS_MAX = 2
# A port without a listener: a site file with simulated addresses must lead to no real broker.
NOWHERE = "mqtt://127.0.0.1:9"
# What guards the way to the real broker means nothing at ours.
_DROPPED: Mapping[str, Change] = dict.fromkeys(("credential", "ca_file", "client_certificate", "client_key"))


@asynccontextmanager
async def simulate(
    connections: Sequence[ConnectionSettings], simulation: Simulation
) -> AsyncIterator[Mapping[str, Endpoint]]:
    """Let all devices of all brokers publish at one, for the length of the context. Raises BrokerFailed or OSError."""
    assert isinstance(simulation.house, SimulatedSite)
    async with AsyncExitStack() as stack:
        broker = await _broker(stack, connections[0].id, simulation)
        if broker is None:
            reason = "not served: no broker is installed (mosquitto, or this package's extra `demo`); MQTT is left out"
            nowhere = Endpoint(changes={"url": NOWHERE, **_DROPPED}, sentence=reason)
            yield {connection.id: nowhere for connection in connections}
            return
        devices = {connection.id: simulated_publishers(connection) for connection in connections}
        simulated = [
            SimulatedPublisher(device, simulation.house, time_zone=simulation.time_zone)
            for publishers in devices.values()
            for device in publishers
            if is_served(device)
        ]
        await stack.enter_async_context(publishing(simulated, broker, now_ms=lambda: round(time() * 1000)))
        yield {name: _endpoint(broker, publishers) for name, publishers in devices.items()}


async def _broker(stack: AsyncExitStack, connection_id: str, simulation: Simulation) -> Broker | None:
    if simulation.broker_url is None:
        port = simulation.earlier.get(connection_id, 0)
        return await stack.enter_async_context(open_broker(listen=simulation.listen, port=port))
    parts = urlsplit(simulation.broker_url)
    return Broker(host=parts.hostname or "", port=parts.port or 1883, name="the broker that was given")


def _endpoint(broker: Broker, devices: Sequence[MqttDevice]) -> Endpoint:
    names = ", ".join(device.device.device_id for device in devices)
    silent = ", ".join(device.device.device_id for device in devices if not is_served(device))
    left_out = f"; left out, for its frames cannot be made here: {silent}" if silent else ""
    # Asked for MQTT 5, an old broker says nothing for a long time.
    version: dict[str, Change] = {"protocol": "3.1.1"} if broker.is_old else {}
    return Endpoint(
        changes={"url": broker.url, **_DROPPED, **version},
        sentence=f"{broker.url} ({broker.name}): {names}{left_out}",
    )


def simulated_publishers(connection: ConnectionSettings) -> tuple[MqttDevice, ...]:
    """Return the devices of a broker as the simulation takes them, some that its groups do not list included."""
    newcomers = (device for group in connection.groups for device in _newcomers(group))
    return tuple(map(_mqtt_device, (*connection.devices, *newcomers)))


def _newcomers(group: DeviceGroup) -> Iterator[DeviceSettings]:
    options = group.template.options
    assert isinstance(options, MqttDeviceOptions)
    count = min(NEWCOMERS_MAX, group.devices_max - len(group.names)) if group.adopt else 1
    for number in range(1, count + 1) if NAME_PLACE in options.topic.replace(":any_depth", "") else ():
        yield member(group, f"newcomer-{number}")


def _mqtt_device(device: DeviceSettings) -> MqttDevice:
    options = device.options
    assert isinstance(options, MqttDeviceOptions)
    own = {point.id: point.options for point in device.points if isinstance(point.options, MqttPointOptions)}
    usual = MqttDevice(
        device=SimulatedDevice(device_id=device.id, points=device.points, faults=MQTT_FAULTS),
        topic=options.topic,
        subscribe=tuple(map(options.resolved, options.subscribe)),
        envelope=options.envelope,
        payload=options.payload,
        model=options.model or "",
        availability=tuple(
            Availability(
                topic=options.resolved(item.topic),
                path=item.path,
                online=next(iter(item.online), ""),
                offline=next(iter(item.offline), ""),
                is_shared=TOPIC_PLACE not in item.topic,
            )
            for item in options.availability
        ),
        paths={point_id: point.path for point_id, point in own.items()},
        topics={point_id: options.resolved(point.topic) for point_id, point in own.items()},
    )
    if options.time is None:
        return usual
    return replace(usual, time_path=options.time.path, time_format=options.time.format)
