"""Looks at Modbus units: which of them answer (`scan`, and a first look), and what registers one has (`probe`)."""

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
from drivers.modbus.plan import Block
from drivers.modbus.wire import RequestRefused, Wire, open_wire
from edge.domain.commissioning import Found, RegisterRange, Search, Stretch, Wishes
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse
from edge.domain.settings import ConnectionSettings

# What most devices give at once; some small ones refuse more (facts of the catalogue: 32 and less).
BLOCK_LENGTH = 32


def scan(connection: ConnectionSettings, wishes: Wishes) -> Search:
    """Return the search for units."""
    return Search(
        rows_are="units",
        effort=f"{len(wishes.units)} asked",
        steps=len(wishes.units),
        run=lambda _context: _scanned(connection, wishes),
    )


async def _scanned(connection: ConnectionSettings, wishes: Wishes) -> AsyncGenerator[Sequence[Found], None]:
    """Ask each unit for one register. Raises ConnectionLost."""
    assert isinstance(connection.options, ModbusConnectionOptions)
    known = _known(connection)
    async with aclosing(ask_units(connection.options, wishes.units, timeout_ms=wishes.timeout_ms)) as answers:
        async for unit, answer in answers:
            yield [Found(name=str(unit), answer=answer, device_id=known.get(unit, ""))] if answer else []


async def ask_units(
    options: ModbusConnectionOptions, units: Iterable[int], *, timeout_ms: int
) -> AsyncGenerator[tuple[int, str], None]:
    """Ask each unit for a register, and give its answer; empty if none came. A refusal is an answer as well.

    A gateway that hangs up when asked for a unit that it does not know is called again for the next one. Raises
    ConnectionLost if it cannot be called.
    """
    waiting = deque(units)
    while waiting:
        async with open_wire(replace(options, response_timeout_ms=timeout_ms)) as wire:
            async for answer in _ask_until_lost(wire, waiting):
                yield answer


async def _ask_until_lost(wire: Wire, waiting: deque[int]) -> AsyncGenerator[tuple[int, str], None]:
    while waiting:
        unit = waiting.popleft()
        try:
            answer = await _answer_of(wire, unit)
        except ConnectionLost:
            yield unit, ""
            return
        yield unit, answer


async def _answer_of(wire: Wire, unit: int) -> str:
    block = Block(table="holding", address=0, count=1, point_ids=())
    try:
        await wire.read(unit, block)
    except DeviceUnreachable:
        return ""
    except RequestRefused as refusal:
        return f"refused: {refusal}"
    except MalformedResponse as error:
        return f"malformed, perhaps two devices at once: {error}"
    return "answered"


def _known(connection: ConnectionSettings) -> Mapping[int, str]:
    return {
        device.options.address: device.id
        for device in connection.devices
        if isinstance(device.options, ModbusDeviceOptions)
    }


async def read_range(connection: ConnectionSettings, wanted: RegisterRange) -> AsyncGenerator[Stretch, None]:
    """Read so many registers (or bits) from an address on, in as few requests as the unit allows.

    A block that it refuses, or answers wrongly, is asked for in halves, down to single addresses. Raises
    ConnectionLost, or DeviceUnreachable if the unit does not answer.
    """
    options = connection.options
    assert isinstance(options, ModbusConnectionOptions)
    if wanted.timeout_ms is not None:
        options = replace(options, response_timeout_ms=wanted.timeout_ms)
    end = wanted.start + wanted.count
    async with open_wire(options) as wire:
        for address in range(wanted.start, end, BLOCK_LENGTH):
            block = Block(table=wanted.table, address=address, count=min(BLOCK_LENGTH, end - address))
            async for stretch in _read(wire, wanted.unit, block):
                yield stretch


async def _read(wire: Wire, unit: int, block: Block) -> AsyncGenerator[Stretch, None]:
    waiting = [block]
    while waiting:
        part = waiting.pop()
        try:
            values = await wire.read(unit, part)
        except (RequestRefused, MalformedResponse) as error:
            if part.count == 1:
                yield Stretch(address=part.address, count=1, refusal=str(error))
            else:
                waiting += reversed(_halves(part))
            continue
        yield Stretch(address=part.address, count=part.count, values=values)


def _halves(block: Block) -> tuple[Block, Block]:
    first = block.count // 2
    return (
        Block(table=block.table, address=block.address, count=first),
        Block(table=block.table, address=block.address + first, count=block.count - first),
    )
