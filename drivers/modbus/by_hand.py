"""Decodes a Modbus frame, or registers, without the device: what `decode` does."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from drivers.decoders.frame import FrameMalformed
from drivers.decoders.modbus_device import decode_block
from drivers.decoders.modbus_frame import parse_response
from drivers.decoders.modbus_options import BIT_TABLES, Table
from drivers.decoders.modbus_pdu import WRITTEN_TABLES
from drivers.modbus.options import ModbusDeviceOptions, ModbusPointOptions
from drivers.modbus.plan import Block, plan_blocks
from edge.domain.by_hand import Given, Undecodable, bytes_of, numbers_of
from edge.domain.reading import Sample
from edge.domain.settings import DeviceSettings


def decode(device: DeviceSettings, given: Given) -> list[Sample]:
    """Decode a frame, or registers with a place or without one. Raises Undecodable."""
    try:
        place, values = _placed(device, given)
    except FrameMalformed as error:
        raise Undecodable(str(error)) from error
    if place.table in BIT_TABLES:
        values = _bits(values)
    readings = decode_block(device, place.table, place.address, values)
    if not readings:
        last = place.address + len(values) - 1
        where = f"{place.table} {place.address}" + (f" to {last}" if last > place.address else "")
        raise Undecodable(
            f"{device.id} has no point that lies in {where} as a whole; --start and --table place the values"
        )
    return [Sample(device_id=device.id, readings=readings)]


def _bits(values: Sequence[int | bool]) -> list[bool]:
    wrong = next((value for value in values if value not in {0, 1}), None)
    if wrong is not None:
        raise Undecodable(f"{wrong} is no bit: coils and discrete inputs are 0 or 1")
    return [bool(value) for value in values]


def _placed(device: DeviceSettings, given: Given) -> tuple[Block, Sequence[int | bool]]:
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
    """Return the place of values.

    Without a start it is, in this order:

    1. a block of just this length that the device would be asked for, one with published points first;
    2. the block of the published points alone;
    3. from the first block on, as far as the device has points.

    Raises Undecodable if the values cannot all stand there.
    """
    published, others = _blocks(device, table)
    if start is not None:
        return Block(table=table or (published or others)[0].table, address=start, count=count)
    alone, _ = _blocks(device, table, only_values=True)
    first = (published or others)[0]
    # Fewer registers than a block has: they begin where the block begins.
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

    `only_values`: for a question that leaves out status and decimals. Raises Undecodable if there is nothing.
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
