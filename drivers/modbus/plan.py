"""Which requests read a device's points: neighbours together, a value never torn. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from drivers.decoders.modbus_point import ModbusPointOptions, Table
from drivers.modbus.options import ModbusDeviceOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One request: so many registers (or bits) of one table, and the points whose values lie in them."""

    table: Table
    address: int
    count: int
    point_ids: tuple[str, ...]


def plan_blocks(points: Mapping[str, ModbusPointOptions], options: ModbusDeviceOptions) -> tuple[Block, ...]:
    """Merge adjacent points into as few requests as the device allows.

    A block is at most `registers_max` long, unless a single value is longer, and skips at most `hole_max` registers
    between two points. Two points on the same registers share them.
    """
    # Point ids break ties, so that the same profile always gives the same requests.
    ordered = sorted(points.items(), key=lambda item: (item[1].table, item[1].address, item[0]))
    blocks: list[Block] = []
    for point_id, point in ordered:
        joined = _joined(blocks[-1], point_id, point, options) if blocks else None
        if joined is None:
            blocks.append(Block(table=point.table, address=point.address, count=point.length, point_ids=(point_id,)))
        else:
            blocks[-1] = joined
    return tuple(blocks)


def _joined(block: Block, point_id: str, point: ModbusPointOptions, options: ModbusDeviceOptions) -> Block | None:
    end = max(block.address + block.count, point.address + point.length)
    hole = point.address - (block.address + block.count)
    if point.table != block.table or hole > options.hole_max or end - block.address > options.registers_max:
        return None
    return Block(
        table=block.table,
        address=block.address,
        count=end - block.address,
        point_ids=(*block.point_ids, point_id),
    )


def split(block: Block, points: Mapping[str, ModbusPointOptions]) -> tuple[Block, ...]:
    """Ask for each point of a block by a request of its own: the device refused them together."""
    return tuple(
        Block(
            table=block.table,
            address=points[point_id].address,
            count=points[point_id].length,
            point_ids=(point_id,),
        )
        for point_id in block.point_ids
    )


def replaced(blocks: Iterable[Block], refused: Block, parts: Iterable[Block]) -> tuple[Block, ...]:
    """Put the parts of a refused block in its place, for all later polls."""

    def each() -> Iterator[Block]:
        for block in blocks:
            if block is refused:
                yield from parts
            else:
                yield block

    return tuple(each())
