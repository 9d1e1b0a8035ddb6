"""Which requests read a device's points: neighbours together, a value never torn. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from drivers.decoders.modbus_point import ModbusPointOptions, Table
from drivers.modbus.options import ModbusDeviceOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One request: so many registers (or bits) of one table, and the points that need something in it."""

    table: Table
    address: int
    count: int
    point_ids: tuple[str, ...] = ()
    # Never asked for together with anything else.
    is_own: bool = False

    @property
    def end(self) -> int:
        """Return the first address behind it."""
        return self.address + self.count

    def holds(self, other: "Block") -> bool:
        """Whether all of the other lies in this one."""
        return self.table == other.table and self.address <= other.address and other.end <= self.end


def plan_blocks(points: Mapping[str, ModbusPointOptions], options: ModbusDeviceOptions) -> tuple[Block, ...]:
    """Merge adjacent points into as few requests as the device allows.

    A block is at most `registers_max` long, unless a single value is longer, and skips at most `hole_max` registers
    between two points. Points on the same registers share them. A point with a decimals register needs both.
    """
    spans = [span for point_id, point in points.items() for span in _spans(point_id, point)]
    blocks: list[Block] = []
    # Point ids break ties, so that the same profile always gives the same requests.
    for span in sorted(spans, key=lambda span: (span.table, span.is_own, span.address, span.point_ids)):
        joined = _joined(blocks[-1], span, options) if blocks else None
        if joined is None:
            blocks.append(span)
        else:
            blocks[-1] = joined
    return tuple(blocks)


def _spans(point_id: str, point: ModbusPointOptions) -> Iterator[Block]:
    value = Block(
        table=point.table,
        address=point.address,
        count=point.length,
        point_ids=(point_id,),
        is_own=point.own_request,
    )
    yield value
    if point.decimals_address is not None:
        yield replace(value, address=point.decimals_address, count=1)


def _joined(block: Block, span: Block, options: ModbusDeviceOptions) -> Block | None:
    """Return a block that reads both; None if two requests are needed."""
    end = max(block.end, span.end)
    if block.table != span.table or block.is_own != span.is_own:
        return None
    is_same = (block.address, block.count) == (span.address, span.count)
    # What lies in the block already costs nothing, even where the device takes one value at a time.
    fits = block.holds(span) or (
        span.address - block.end <= options.hole_max and end - block.address <= options.registers_max
    )
    if not (is_same or (fits and not span.is_own)):
        return None
    point_ids = tuple(dict.fromkeys((*block.point_ids, *span.point_ids)))
    return replace(block, count=end - block.address, point_ids=point_ids)


def split(block: Block, points: Mapping[str, ModbusPointOptions]) -> tuple[Block, ...]:
    """Ask for each value of a block by a request of its own: the device refused them together."""
    parts: dict[tuple[int, int], Block] = {}
    for point_id in block.point_ids:
        for span in _spans(point_id, points[point_id]):
            if block.holds(span):
                place = (span.address, span.count)
                others = parts[place].point_ids if place in parts else ()
                parts[place] = replace(span, point_ids=(*others, point_id))
    return tuple(parts.values())


def replaced(blocks: Iterable[Block], old: Block, new: Iterable[Block]) -> tuple[Block, ...]:
    """Put other blocks in the place of one, for all later polls."""

    def each() -> Iterator[Block]:
        for block in blocks:
            if block is old:
                yield from new
            else:
                yield block

    return tuple(each())
