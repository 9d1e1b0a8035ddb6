"""Which Modbus units of a connection answer: what `scan` does there."""

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

import click

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions
from drivers.modbus.plan import Block
from drivers.modbus.wire import RequestRefused, Wire, open_wire
from edge.cli.commission.found import Found, Search
from edge.domain.driver import ConnectionLost, DeviceUnreachable, MalformedResponse
from edge.domain.settings import ConnectionSettings

# Unit ids that a device can have (Modbus over Serial Line 2.2); 0 is the broadcast.
UNIT_MIN, UNIT_MAX = 1, 247
# Units that devices of some makers take as "whoever hears this".
ANY_UNIT_MAX = 255


def units_of(text: str) -> list[int]:
    """Read `1-247` or `1,3,10-20`. Raises ValueError."""
    units: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part.strip()!r} is no unit id and no range; write 1-247, or 1,3,10-20")
        low, high = int(first), int(last or first)
        if not 0 <= low <= high <= ANY_UNIT_MAX:
            raise ValueError(f"{part.strip()}: unit ids are from 0 to {ANY_UNIT_MAX}, the lower first")
        units.extend(range(low, high + 1))
    return list(dict.fromkeys(units))


def search_units(connection: ConnectionSettings, text: str, *, timeout_ms: int) -> Search:
    """Return the search for units. Raises click.UsageError if the text names none."""
    try:
        units = units_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--units") from error
    return Search(
        rows_are="units",
        effort=f"{len(units)} asked",
        steps=len(units),
        run=lambda _context: _scanned(connection, units, timeout_ms=timeout_ms),
    )


async def _scanned(
    connection: ConnectionSettings, units: Sequence[int], *, timeout_ms: int
) -> AsyncGenerator[Sequence[Found], None]:
    """Ask each unit for one register. Raises ConnectionLost."""
    assert isinstance(connection.options, ModbusConnectionOptions)
    known = _known(connection)
    async with aclosing(ask_units(connection.options, units, timeout_ms=timeout_ms)) as answers:
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
