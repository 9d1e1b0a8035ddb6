"""What a device's bytes say, by its profile and without the device: the ways of the verb `decode`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from drivers.decoders.frame import FrameMalformed
from drivers.decoders.modbus_device import decode_block
from drivers.decoders.modbus_frame import parse_response
from drivers.decoders.modbus_options import BIT_TABLES, Table
from drivers.decoders.modbus_point import ModbusPointOptions
from drivers.modbus.options import ModbusDeviceOptions
from drivers.modbus.plan import Block, plan_blocks
from drivers.mqtt.device import DeviceMessages, Message, PayloadMalformed, device_on_topic
from drivers.mqtt.options import MqttDeviceOptions
from drivers.serial.offline import decode_bytes
from drivers.serial.options import SerialDeviceOptions
from edge.domain.reading import Reading, Sample
from edge.domain.settings import DeviceSettings

TABLES: tuple[Table, ...] = get_args(Table)


class Undecodable(ValueError):  # noqa: N818 - names the situation; the message says what is wrong
    """These bytes give no readings of this device."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a person has in hand: one of frame, registers, line or payload, and what places it."""

    frame: str | None = None
    registers: str | None = None
    line: str | None = None
    payload: bytes | None = None
    topic: str | None = None
    request: str | None = None
    table: Table | None = None
    start: int | None = None
    is_retained: bool = False
    # Milliseconds since 1970.
    received_at_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One sample: its readings, and its own time where it has one."""

    readings: Mapping[str, Reading]
    measured_at_ms: int | None = None
    origin: str = "live"


def decode_by_hand(device: DeviceSettings, given: Given) -> list[Decoded]:
    """Decode what is given as the device's driver would. Raises Undecodable."""
    try:
        if isinstance(device.options, ModbusDeviceOptions):
            return [Decoded(readings=_modbus(device, given))]
        if isinstance(device.options, SerialDeviceOptions):
            return [Decoded(readings=_serial(device, given))]
        if isinstance(device.options, MqttDeviceOptions):
            return _mqtt(device, given)
    except (FrameMalformed, PayloadMalformed) as error:
        raise Undecodable(str(error)) from error
    raise Undecodable("a simulated device sends nothing that could be decoded")


def bytes_of(text: str) -> bytes:
    """Read hexadecimal digits, with or without spaces, colons or 0x. Raises Undecodable."""
    digits = re.sub(r"0[xX]|[\s:,.-]", "", text)
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise Undecodable(f"{text!r} is not hexadecimal: two digits for each byte") from error


def numbers_of(text: str) -> list[int]:
    """Read `305,546` or `0x0131 0x0222`. Raises Undecodable."""
    try:
        numbers = [int(part, 0) for part in re.split(r"[\s,;]+", text.strip()) if part]
    except ValueError as error:
        raise Undecodable(f"{text!r} is no list of registers; write 305,546 or 0x0131,0x0222") from error
    if not numbers:
        raise Undecodable("there are no registers")
    wrong = next((number for number in numbers if not 0 <= number <= 0xFFFF), None)
    if wrong is not None:
        raise Undecodable(f"{wrong} is no register: these are from 0 to 65535")
    return numbers


def _modbus(device: DeviceSettings, given: Given) -> Mapping[str, Reading]:
    table, start = given.table, given.start
    values: Sequence[int | bool]
    if given.frame is not None:
        request = None if given.request is None else bytes_of(given.request)
        reply = parse_response(bytes_of(given.frame), request=request)
        if not reply.values:
            raise Undecodable(f"this answers a write of {reply.count} values; it holds none")
        if reply.function in {3, 6, 16} and table == "input":
            raise Undecodable("the frame answers a request for holding registers, not input registers")
        table, start, values = reply.table, start if reply.address is None else reply.address, reply.values
    elif given.registers is not None:
        values = numbers_of(given.registers)
    else:
        raise Undecodable("a Modbus device's values come in a --frame or as --registers")
    if start is None:
        place = _place(device, table, len(values))
        table, start = place.table, place.address
    elif table is None:
        table = _blocks(device)[0].table
    if table in BIT_TABLES:
        values = [bool(value) for value in values]
    readings = decode_block(device, table, start, values)
    if not readings:
        last = start + len(values) - 1
        raise Undecodable(
            f"{device.id} has no point in {table} {start} to {last}; --start and --table place the values"
        )
    return readings


def _blocks(device: DeviceSettings) -> Sequence[Block]:
    assert isinstance(device.options, ModbusDeviceOptions)
    points = {point.id: point.options for point in device.points if isinstance(point.options, ModbusPointOptions)}
    return plan_blocks(points, device.options)


def _place(device: DeviceSettings, table: Table | None, count: int) -> Block:
    """Say where values stand whose place nobody gave: in the first block that the device would be asked for.

    Of several the one of just this length; else all of them as one, where that has this length.
    """
    blocks = [block for block in _blocks(device) if table in {None, block.table}]
    if not blocks:
        raise Undecodable(f"{device.id} has no point in the table {table}")
    shown = {point.id for point in device.points if point.publish}
    told = [block for block in blocks if not shown.isdisjoint(block.point_ids)] or blocks
    fitting = next((block for block in told if block.count == count), None)
    if fitting is not None:
        return fitting
    first = told[0]
    same = [block for block in blocks if block.table == first.table]
    start, end = same[0].address, max(block.address + block.count for block in same)
    return Block(table=first.table, address=start, count=count) if end - start == count else first


def _serial(device: DeviceSettings, given: Given) -> Mapping[str, Reading]:
    if given.line is not None:
        data = given.line.encode()
    elif given.frame is not None:
        data = bytes_of(given.frame)
    else:
        raise Undecodable("a serial device's values come in a --line, or in a --frame")
    return decode_bytes(device, data, request=given.request or "")


def _mqtt(device: DeviceSettings, given: Given) -> list[Decoded]:
    samples: Sequence[Sample]
    if given.frame is not None:
        messages = DeviceMessages(device, time_zone="UTC")
        samples = messages.decode_frame(bytes_of(given.frame), received_at_ms=given.received_at_ms)
        return _samples(device, samples)
    if given.payload is None:
        raise Undecodable("an MQTT device's values come in a --payload with its --topic (or in a LoRaWAN --frame)")
    own = device if given.topic is None else device_on_topic(device, given.topic)
    if own is None:
        raise Undecodable(f"no message of {device.id} comes on {given.topic!r}")
    topic = _own_topic(own) if given.topic is None else given.topic
    message = Message(
        topic=topic,
        payload=given.payload,
        is_retained=given.is_retained,
        received_at_ms=given.received_at_ms,
    )
    messages = DeviceMessages(own, time_zone="UTC")
    if (is_there := messages.availability(message)) is not None:
        raise Undecodable(f"this says that the device is {'there' if is_there else 'gone'}; it holds no readings")
    return _samples(own, messages.decode(message))


def _own_topic(device: DeviceSettings) -> str:
    """Return a topic for a payload that came without one: where the device's only one has no wildcard."""
    assert isinstance(device.options, MqttDeviceOptions)
    topics = [device.options.resolved(pattern) for pattern in device.options.subscribe]
    if len(topics) != 1 or any(character in topics[0] for character in "+#"):
        raise Undecodable(f"{device.id} has several topics; name the payload's --topic")
    return topics[0]


def _samples(device: DeviceSettings, samples: Sequence[Sample]) -> list[Decoded]:
    if not samples:
        raise Undecodable(f"this says nothing of {device.id}")
    return [
        Decoded(readings=sample.readings, measured_at_ms=sample.measured_at_ms, origin=sample.origin.value)
        for sample in samples
    ]
