"""Reads a range of registers of one Modbus unit, as far as it gives them: what `probe` looks at."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from drivers.decoders.modbus_options import Table
from drivers.modbus.options import ModbusConnectionOptions
from drivers.modbus.plan import Block
from drivers.modbus.wire import RequestRefused, Wire, open_wire
from edge.domain.driver import MalformedResponse

# What most devices give at once; some small ones refuse more (facts of the catalogue: 32 and less).
BLOCK_LENGTH = 32


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Addresses in a row that were read together, or that the unit does not give."""

    address: int
    count: int
    # Empty = not given.
    values: Sequence[int | bool] = ()
    # Why not.
    refusal: str = ""


async def read_range(
    options: ModbusConnectionOptions, unit: int, table: Table, *, start: int, count: int
) -> AsyncGenerator[Stretch, None]:
    """Read so many registers (or bits) from an address on, in as few requests as the unit allows.

    A block that it refuses, or answers wrongly, is asked for in halves, down to single addresses. Raises ConnectionLost,
    or DeviceUnreachable if the unit does not answer.
    """
    async with open_wire(options) as wire:
        for address in range(start, start + count, BLOCK_LENGTH):
            block = Block(table=table, address=address, count=min(BLOCK_LENGTH, start + count - address))
            async for stretch in _read(wire, unit, block):
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


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Join neighbours: a value may lie across two requests; refusals with the same words are one."""
    rows: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda each: each.address):
        last = rows[-1] if rows else None
        is_next = last is not None and last.address + last.count == stretch.address and last.refusal == stretch.refusal
        if last is not None and is_next:
            rows[-1] = Stretch(
                address=last.address,
                count=last.count + stretch.count,
                values=(*last.values, *stretch.values),
                refusal=last.refusal,
            )
        else:
            rows.append(stretch)
    return rows
