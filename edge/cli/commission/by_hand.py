"""What a device's bytes say, by its profile and without the device: the ways of the verb `decode`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import get_args

from drivers.decoders.frame import FrameMalformed
from drivers.decoders.modbus_device import decode_block
from drivers.decoders.modbus_frame import parse_response
from drivers.decoders.modbus_options import BIT_TABLES, Table
from drivers.decoders.modbus_pdu import WRITTEN_TABLES
from drivers.decoders.modbus_point import ModbusPointOptions
from drivers.modbus.options import ModbusDeviceOptions
from drivers.modbus.plan import Block, plan_blocks
from drivers.mqtt.device import DeviceMessages, Message, PayloadMalformed, device_on_topic
from drivers.mqtt.options import MqttDeviceOptions, PayloadTime
from drivers.serial.offline import decode_bytes
from drivers.serial.options import SerialDeviceOptions
from edge.cli.commission.shown import judged
from edge.cli.commission.typed import Undecodable, bytes_of, line_of, numbers_of
from edge.domain.reading import Reading, Reason, Sample
from edge.domain.settings import DeviceSettings

TABLES: tuple[Table, ...] = get_args(Table)

# LoRaWAN sensors were not sold before 2015: an older time is that of a clock which was never set.
OLDEST_RECORD_S = 1_420_070_400


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
    # Milliseconds since 1970; None = just now, or whenever its own time says.
    received_at_ms: int | None = None
    # Of times that are written without one.
    time_zone: str = "UTC"
    # Points that the daemon would not report as well.
    with_unpublished: bool = False


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One sample: its readings, and its own time where it has one."""

    readings: Mapping[str, Reading]
    measured_at_ms: int | None = None
    origin: str = "live"


def decode_by_hand(device: DeviceSettings, given: Given) -> list[Decoded]:
    """Decode what is given as the device's driver would; the published points, as the daemon would report them.

    Raises Undecodable.
    """
    try:
        samples = _decoded(device, given)
    except (FrameMalformed, PayloadMalformed) as error:
        raise Undecodable(str(error)) from error
    known = [replace(sample, readings=_shown(device, sample.readings, given)) for sample in samples]
    told = [sample for sample in known if sample.readings]
    if not told:
        silent = ", ".join(dict.fromkeys(point_id for sample in samples for point_id in sample.readings))
        raise Undecodable(f"this says only what {device.id} does not publish: {silent}; --all shows it")
    return told


def _shown(device: DeviceSettings, readings: Mapping[str, Reading], given: Given) -> Mapping[str, Reading]:
    published = judged(device, readings)
    return {**readings, **published} if given.with_unpublished else published


def _decoded(device: DeviceSettings, given: Given) -> list[Decoded]:
    if isinstance(device.options, ModbusDeviceOptions):
        return [Decoded(readings=_modbus(device, given))]
    if isinstance(device.options, SerialDeviceOptions):
        return [Decoded(readings=_serial(device, given))]
    if isinstance(device.options, MqttDeviceOptions):
        return _mqtt(device, given)
    raise Undecodable("a simulated device sends nothing that could be decoded")


def _modbus(device: DeviceSettings, given: Given) -> Mapping[str, Reading]:
    place, values = _modbus_values(device, given)
    if place.table in BIT_TABLES:
        values = _bits(values)
    readings = decode_block(device, place.table, place.address, values)
    if not readings:
        last = place.address + len(values) - 1
        where = f"{place.table} {place.address}" + (f" to {last}" if last > place.address else "")
        raise Undecodable(
            f"{device.id} has no point that lies in {where} as a whole; --start and --table place the values"
        )
    return readings


def _bits(values: Sequence[int | bool]) -> list[bool]:
    wrong = next((value for value in values if value not in {0, 1}), None)
    if wrong is not None:
        raise Undecodable(f"{wrong} is no bit: coils and discrete inputs are 0 or 1")
    return [bool(value) for value in values]


def _modbus_values(device: DeviceSettings, given: Given) -> tuple[Block, Sequence[int | bool]]:
    """Return the values, and where they stand."""
    if given.registers is not None:
        registers = numbers_of(given.registers)
        return _place(device, given.table, given.start, len(registers)), registers
    if given.frame is None:
        raise Undecodable("a Modbus device's values come in a --frame or as --registers")
    request = None if given.request is None else bytes_of(given.request)
    reply = parse_response(bytes_of(given.frame), request=request)
    if reply.function in WRITTEN_TABLES:
        raise Undecodable(f"this confirms a write at {reply.table} {reply.address}; it holds no readings")
    if given.table not in {None, reply.table}:
        raise Undecodable(f"the frame holds values of the table {reply.table}, not {given.table}")
    start = given.start if reply.address is None else reply.address
    if given.start not in {None, start}:
        raise Undecodable(f"the request asked from {start} on, --start says {given.start}")
    return _place(device, reply.table, start, len(reply.values)), reply.values


def _place(device: DeviceSettings, table: Table | None, start: int | None, count: int) -> Block:
    """Say where values stand. Without a start they are the first block that the device would be asked for.

    Of several blocks the one of just this length, those with published points before others; or the published points
    alone, where somebody asked for no more; else from the first block on, as far as the device has points. Raises
    Undecodable where the values cannot all stand there.
    """
    published, others = _blocks(device, table)
    if start is not None:
        return Block(table=table or (published or others)[0].table, address=start, count=count)
    alone, _ = _blocks(device, table, only_values=True)
    first = (published or others)[0]
    # Who has less than a block in hand began to read where the block begins.
    candidates = [*published, *alone, *(others if count > first.count else ())]
    fitting = next((block for block in candidates if block.count == count), None)
    if fitting is not None:
        return fitting
    end = max(block.address + block.count for block in (*published, *others) if block.table == first.table)
    # Of bits that came without their request, those that fill up the last byte are there as well.
    if first.table not in BIT_TABLES and first.address + count > end:
        raise Undecodable(
            f"{count} registers are more than {device.id} has from {first.table} {first.address} on;"
            " --start, or the --request, says where the first one stands"
        )
    return Block(table=first.table, address=first.address, count=count)


def _blocks(
    device: DeviceSettings, table: Table | None, *, only_values: bool = False
) -> tuple[Sequence[Block], Sequence[Block]]:
    """Return what the device would be asked for in this table: blocks with published points, and those without.

    `only_values`: what it would be asked for by somebody who wants no status and no decimals. Raises Undecodable if
    there is nothing.
    """
    assert isinstance(device.options, ModbusDeviceOptions)
    points = {point.id: point.options for point in device.points if isinstance(point.options, ModbusPointOptions)}
    shown = {point.id for point in device.points if point.publish}
    if only_values:
        points = {name: replace(point, decimals_address=None) for name, point in points.items() if name in shown}
    blocks = [block for block in plan_blocks(points, device.options) if table in {None, block.table}]
    if not blocks and not only_values:
        raise Undecodable(f"{device.id} has no point in the table {table}")
    # Numbers without a frame around them are registers, where there are any.
    blocks.sort(key=lambda block: table is None and block.table in BIT_TABLES)
    is_shown = [not shown.isdisjoint(block.point_ids) for block in blocks]
    return list(compress(blocks, is_shown)), [block for block, shows in zip(blocks, is_shown, strict=True) if not shows]


def _serial(device: DeviceSettings, given: Given) -> Mapping[str, Reading]:
    assert isinstance(device.options, SerialDeviceOptions)
    if given.line is not None:
        data = line_of(given.line, is_json=device.options.layout == "json")
    elif given.frame is not None:
        data = bytes_of(given.frame)
    else:
        raise Undecodable("a serial device's values come in a --line, or in a --frame")
    readings = decode_bytes(device, data, request=given.request or "")
    # A line that says nothing of a point is no fault of the device: the next one may.
    return {point_id: reading for point_id, reading in readings.items() if reading.reason is not Reason.COMM_ERROR}


def _mqtt(device: DeviceSettings, given: Given) -> list[Decoded]:
    received_at_ms = time.time_ns() // 1_000_000 if given.received_at_ms is None else given.received_at_ms
    if given.frame is not None:
        source = device if given.received_at_ms is not None else _with_any_past(device, received_at_ms)
        messages = DeviceMessages(source, time_zone=given.time_zone)
        return _samples(device, messages.decode_frame(bytes_of(given.frame), received_at_ms=received_at_ms))
    if given.payload is None:
        raise Undecodable("an MQTT device's values come in a --payload with its --topic (or in a LoRaWAN --frame)")
    own = device if given.topic is None else device_on_topic(device, given.topic)
    if own is None:
        raise Undecodable(f"no message of {device.id} comes on {given.topic!r}")
    messages = DeviceMessages(own, time_zone=given.time_zone)
    message = Message(
        topic=_own_topic(own) if given.topic is None else given.topic,
        payload=given.payload,
        is_retained=given.is_retained,
        received_at_ms=received_at_ms,
    )
    if (is_there := messages.availability(message)) is not None:
        raise Undecodable(f"this says that the device is {'there' if is_there else 'gone'}; it holds no readings")
    return _samples(own, messages.decode(message))


def _with_any_past(device: DeviceSettings, now_ms: int) -> DeviceSettings:
    """Return a device whose stored records may be years old: a frame in hand may have lain in a drawer."""
    assert isinstance(device.options, MqttDeviceOptions)
    own = device.options.time or PayloadTime(path="")
    return replace(
        device, options=replace(device.options, time=replace(own, past_max_s=now_ms / 1000 - OLDEST_RECORD_S))
    )


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
