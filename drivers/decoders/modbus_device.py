"""A Modbus device's registers, as they were read in blocks, to the readings of its points. No I/O."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from drivers.decoders.modbus_options import Table
from drivers.decoders.modbus_point import PointCodec
from drivers.decoders.modbus_status import judged, status_rules
from edge.domain.reading import Reading, Reason, bad
from edge.domain.settings import DeviceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBlock:
    """Registers (or bits) that lie in a row in one table, and what they held."""

    table: Table
    address: int
    values: Sequence[int | bool]

    def at(self, address: int, count: int) -> Sequence[int | bool] | None:
        """Return the values of so many registers from this address on; None if not all of them lie in the block."""
        first = address - self.address
        return self.values[first : first + count] if 0 <= first <= len(self.values) - count else None


class DeviceCodec:
    """The points of one device, prepared once."""

    def __init__(self, device: DeviceSettings) -> None:
        self.codecs: Mapping[str, PointCodec] = {point.id: PointCodec(point) for point in device.points}
        self._rules = status_rules(device)

    def polled(self, blocks: Collection[ReadBlock], *, without: Collection[str] = ()) -> dict[str, Reading]:
        """Return the readings of all points after a poll, in the profile's order.

        What lies in no block could not be read: such points are bad, `comm_error`, and a status or decimals register
        that is missing takes the points that need it along. `without`: points that the device does not have; they get
        no reading, and as status registers say nothing. Raises ValueError for what are no registers.
        """
        statuses: dict[str, int | None] = {status_id: None for status_id in self._rules if status_id not in without}
        statuses |= self._statuses(blocks)
        readings = {}
        for point_id, codec in self.codecs.items():
            if point_id not in without:
                reading = _reading(codec, blocks, _decimals(codec, blocks))
                readings[point_id] = reading or bad(Reason.COMM_ERROR, codec.unit)
        return judged(readings, statuses, self._rules)

    def decoded(self, blocks: Collection[ReadBlock]) -> dict[str, Reading]:
        """Return the readings of the points that lie in these blocks, judged by what is in them and by nothing else.

        A status register that lies elsewhere says nothing; a decimals register that lies elsewhere counts as 0.
        Raises ValueError for what are no registers.
        """
        readings = {}
        for point_id, codec in self.codecs.items():
            reading = _reading(codec, blocks, _decimals(codec, blocks) or 0)
            if reading is not None:
                readings[point_id] = reading
        return judged(readings, self._statuses(blocks), self._rules)

    def _statuses(self, blocks: Iterable[ReadBlock]) -> dict[str, int | None]:
        found = {status_id: _values(self.codecs[status_id], blocks) for status_id in self._rules}
        return {
            status_id: self.codecs[status_id].status(values)
            for status_id, values in found.items()
            if values is not None
        }


def decode_block(
    device: DeviceSettings, table: Table, address: int, values: Sequence[int | bool]
) -> Mapping[str, Reading]:
    """Return the readings of all points of a device that lie in one block; see `DeviceCodec.decoded`."""
    return DeviceCodec(device).decoded([ReadBlock(table=table, address=address, values=values)])


def _reading(codec: PointCodec, blocks: Iterable[ReadBlock], decimals: int | None) -> Reading | None:
    values = _values(codec, blocks)
    return None if values is None else codec.reading(values, decimals=decimals)


def _values(codec: PointCodec, blocks: Iterable[ReadBlock]) -> Sequence[int | bool] | None:
    options = codec.options
    return _at(blocks, options.table, options.address, options.length)


def _decimals(codec: PointCodec, blocks: Iterable[ReadBlock]) -> int | None:
    address = codec.options.decimals_address
    values = None if address is None else _at(blocks, codec.options.table, address, 1)
    return None if values is None else int(values[0])


def _at(blocks: Iterable[ReadBlock], table: Table, address: int, count: int) -> Sequence[int | bool] | None:
    found = (block.at(address, count) for block in blocks if block.table == table)
    return next((values for values in found if values is not None), None)
