"""What of a site file can be simulated: its connections as plain data, for servers that know no driver."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
from drivers.mqtt.options import TOPIC_PLACE, MqttConnectionOptions, MqttDeviceOptions, MqttPointOptions
from drivers.serial.options import SerialConnectionOptions, SerialDeviceOptions, SerialPointOptions
from drivers.simulation import instruments, mqtt_messages
from drivers.simulation.faults import MODBUS_RTU_FAULTS, MODBUS_TCP_FAULTS, MQTT_FAULTS, SERIAL_FAULTS, Faults
from drivers.simulation.modbus_server import Framing
from drivers.simulation.mqtt_messages import Availability, MqttDevice
from drivers.simulation.register_map import ServedUnit
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.serial_device import SerialDevice
from edge.domain.device_group import NAME_PLACE, member
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings, PointSettings

# Names that a group has not listed: one that is seen, or as many as it adopts.
NEWCOMERS_MAX = 2


@dataclass(frozen=True, kw_only=True)
class ServedHost:
    """A TCP host: Modbus/TCP, or RTU behind a converter."""

    framing: Framing
    units: tuple[ServedUnit, ...]


@dataclass(frozen=True, kw_only=True)
class ServedBus:
    """A serial line with Modbus RTU devices."""

    units: tuple[ServedUnit, ...]


@dataclass(frozen=True, kw_only=True)
class ServedPort:
    """A serial line with instruments."""

    devices: tuple[SerialDevice, ...]


@dataclass(frozen=True, kw_only=True)
class ServedTopics:
    """What devices publish at a broker."""

    devices: tuple[MqttDevice, ...]


@dataclass(frozen=True, kw_only=True)
class NotServed:
    """A connection that cannot be simulated, and why."""

    reason: str


Served: TypeAlias = ServedHost | ServedBus | ServedPort | ServedTopics | NotServed


def served(connection: ConnectionSettings) -> Served:
    """Say how a connection is simulated."""
    options = connection.options
    if isinstance(options, ModbusConnectionOptions):
        if options.transport == "serial":
            return ServedBus(units=tuple(_units(connection, MODBUS_RTU_FAULTS)))
        is_tcp = options.transport == "tcp"
        faults = MODBUS_TCP_FAULTS if is_tcp else MODBUS_RTU_FAULTS
        return ServedHost(framing="tcp" if is_tcp else "rtu", units=tuple(_units(connection, faults)))
    if isinstance(options, SerialConnectionOptions):
        return ServedPort(devices=tuple(map(_serial_device, connection.devices)))
    if isinstance(options, MqttConnectionOptions):
        newcomers = (device for group in connection.groups for device in _newcomers(group))
        return ServedTopics(devices=tuple(map(_mqtt_device, (*connection.devices, *newcomers))))
    return NotServed(reason=f"its driver is {connection.driver}")


def left_out(item: Served) -> Iterator[str]:
    """Name the devices for which we cannot speak."""
    if isinstance(item, ServedPort):
        yield from (device.device.device_id for device in item.devices if not instruments.is_served(device))
    if isinstance(item, ServedTopics):
        yield from (device.device.device_id for device in item.devices if not mqtt_messages.is_served(device))


def _simulated(device: DeviceSettings, faults: Faults) -> SimulatedDevice:
    return SimulatedDevice(device_id=device.id, points=device.points, faults=faults)


def _units(connection: ConnectionSettings, faults: Faults) -> Iterator[ServedUnit]:
    for device in connection.devices:
        assert isinstance(device.options, ModbusDeviceOptions)
        yield ServedUnit(device=_simulated(device, faults), address=device.options.address)


def _serial_device(device: DeviceSettings) -> SerialDevice:
    options = device.options
    assert isinstance(options, SerialDeviceOptions)
    return SerialDevice(
        device=_simulated(device, SERIAL_FAULTS),
        decoder=options.decoder,
        fields={point.id: _field(point) for point in device.points},
        ask=options.ask,
        address=options.address,
        terminator=options.terminator,
        layout=options.layout,
        separator=options.separator,
        pattern=options.pattern,
        command=options.command,
    )


def _field(point: PointSettings) -> str:
    assert isinstance(point.options, SerialPointOptions)
    return point.id if point.options.field == "" else str(point.options.field)


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
        device=_simulated(device, MQTT_FAULTS),
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
