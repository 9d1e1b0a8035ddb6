"""One device behind a connection: what is asked of it, what was learnt about it, how far its setup is."""

from collections.abc import Collection, Mapping, Sequence

import structlog

from drivers.decoders.modbus_device import DeviceCodec, ReadBlock
from drivers.modbus.options import ModbusDeviceOptions, ModbusPointOptions
from drivers.modbus.plan import Block, plan_blocks, replaced, split
from drivers.modbus.setup import SetupWrite
from edge.domain.reading import Reading, Reason, bad
from edge.domain.settings import DeviceSettings

# The poll waits for a shorter pause of the setup; during a longer one the other devices of the line are polled.
PAUSE_S_WAITED = 0.1

log = structlog.get_logger()


class ModbusDevice:
    """A device as its driver knows it. Outlives connections: a block that it refused is not asked for again."""

    def __init__(self, settings: DeviceSettings) -> None:
        assert isinstance(settings.options, ModbusDeviceOptions)
        self.id = settings.id
        self.options = settings.options
        self._points: dict[str, ModbusPointOptions] = {}
        for point in settings.points:
            assert isinstance(point.options, ModbusPointOptions)
            self._points[point.id] = point.options
        self._codec = DeviceCodec(settings)
        self.blocks = plan_blocks(self._points, settings.options)
        # Points that the device says it does not have.
        self._unsupported: set[str] = set()
        self._written = 0
        self._ready_s = 0.0
        # It was silent when its setup was last read back.
        self.hides_setup = False

    def readings(self, blocks: Collection[ReadBlock]) -> Mapping[str, Reading]:
        """Return the readings of all points that the device has; what could not be read is bad."""
        return self._codec.polled(blocks, without=self._unsupported)

    def warming_up(self) -> Mapping[str, Reading]:
        """Return what is to be said while the device is there, but not yet ready to measure."""
        codecs = self._codec.codecs
        return {point_id: bad(Reason.WARMING_UP, codec.unit) for point_id, codec in codecs.items()}

    def split(self, block: Block) -> Sequence[Block]:
        """Learn that the device refuses these points together; returns the requests for each of them."""
        parts = split(block, self._points)
        if len(parts) == 1:
            return ()
        self.blocks = replaced(self.blocks, block, parts)
        log.info("modbus_block_split", device_id=self.id, table=block.table, address=block.address, count=block.count)
        return parts

    def rejoin(self, block: Block, parts: Sequence[Block]) -> None:
        """Undo a split: each of its parts was refused, too, so the points are not at fault together."""
        self.blocks = tuple(each for each in replaced(self.blocks, parts[0], (block,)) if each not in parts)

    def ask_last(self, block: Block) -> None:
        """Ask for a block last from now on: a poll that ends at it has read all others."""
        if block in self.blocks:
            self.blocks = (*(each for each in self.blocks if each is not block), block)

    def look_for_unsupported(self, block: Block, values: Sequence[int | bool]) -> None:
        """Learn which points the device says it lacks; they are not asked for again until the daemon restarts."""
        found = {point_id for point_id in block.point_ids if self._is_unsupported(point_id, block, values)}
        if not found:
            return
        self._unsupported |= found
        left = {point_id: self._points[point_id] for point_id in block.point_ids if point_id not in found}
        smaller = tuple(part for part in plan_blocks(left, self.options) if block.holds(part))
        self.blocks = replaced(self.blocks, block, smaller)
        log.info("modbus_points_unsupported", device_id=self.id, points=sorted(found))

    def _is_unsupported(self, point_id: str, block: Block, values: Sequence[int | bool]) -> bool:
        point = self._points[point_id]
        start = point.address - block.address
        if not point.unsupported_raw or point.table != block.table or not 0 <= start <= block.count - point.length:
            return False
        return self._codec.codecs[point_id].is_unsupported(values[start : start + point.length])

    def begin_setup(self) -> None:
        """Start the setup over: the connection is new, or the device was silent and may have restarted."""
        self._written = 0
        self._ready_s = 0.0

    def is_set_up(self, now_s: float) -> bool:
        """Whether all of the setup is done and its last pause is over."""
        return self._written == len(self.options.setup) and now_s >= self._ready_s

    def wait_s(self, now_s: float) -> float:
        """Return how long the device must be left alone after the last write of its setup."""
        return max(0.0, self._ready_s - now_s)

    @property
    def next_write(self) -> SetupWrite | None:
        """Return the next write of the setup; None if there is none left."""
        return None if self._written == len(self.options.setup) else self.options.setup[self._written]

    def held_at(self, write: SetupWrite) -> Block | None:
        """Return where a write of the setup can be read back; None for a frame: only its maker knows what it does."""
        if write.frame is not None or write.address is None:
            return None
        return Block(table=write.table, address=write.address, count=max(1, len(write.values)))

    def written(self, now_s: float) -> None:
        """Note that the next write of the setup is done."""
        self._ready_s = now_s + self.options.setup[self._written].pause_ms / 1000
        self._written += 1

    def needs_no_write(self) -> None:
        """Note that the device holds already what the next write of the setup would write."""
        self._written += 1
