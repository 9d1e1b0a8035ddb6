"""The time of frames and silences on a line, and the load that they make. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions, ModbusPointOptions
from drivers.modbus.plan import Block, plan_blocks
from drivers.modbus.question import read_question
from edge.domain.serial_line import character_s, line_format
from edge.domain.settings import ConnectionSettings, DeviceSettings

# The standard's silence between frames: 3.5 characters, and a fixed time where these are shorter (over 19200 baud).
GAP_CHARACTERS = 3.5
GAP_S_MIN = 0.00175
# Behind a converter the speed is not known; it keeps the line's own silence. This one shows a doubled answer.
CONVERTER_GAP_S = 0.002
# Above this load a device that is asked twice makes the others late.
LOAD_MAX = 0.7
# From the end of a request to the start of its answer: cheap sensors need 5 to 20 ms.
TURNAROUND_S = 0.01
# Unit and CRC, around a PDU.
FRAME_AROUND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTime:
    """The times of one line; all 0 for Modbus/TCP."""

    character_s: float = 0.0
    gap_s: float = 0.0

    def on_line_s(self, characters: int) -> float:
        """Return how long so many characters take."""
        return characters * self.character_s


def line_time(options: ModbusConnectionOptions) -> LineTime:
    """Return the times of a connection's line."""
    if options.transport == "serial":
        one_s = character_s(options.baud_rate, line_format(options.format))
        return LineTime(character_s=one_s, gap_s=max(GAP_S_MIN, GAP_CHARACTERS * one_s))
    return LineTime(gap_s=CONVERTER_GAP_S if options.transport == "rtu_over_tcp" else 0.0)


def bus_load(connection: ConnectionSettings) -> float:
    """Return the part of the time in which the line is in use, 0 for other transports than a serial line.

    The sum over all enabled devices of what their requests take, by their poll intervals. A request takes its own
    characters and those of its answer at the line's speed, the turn-around, and the gap before the next one.
    """
    assert isinstance(connection.options, ModbusConnectionOptions)
    if connection.options.transport != "serial":
        return 0.0
    line = line_time(connection.options)
    devices = (device for device in connection.devices if device.enabled)
    return sum(_poll_s(device, connection.options, line) / device.poll_interval_s for device in devices)


def bus_load_cautions(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    """Warn of a line with too much to carry."""
    load = bus_load(connection)
    if load > LOAD_MAX:
        assert isinstance(connection.options, ModbusConnectionOptions)
        now = f"the line is in use {100 * load:.0f} % of the time at {connection.options.baud_rate} baud"
        remedy = "ask less often (poll_interval_s), or raise the speed"
        yield "", f"{now}; over {100 * LOAD_MAX:.0f} % values come late: {remedy}"


def _poll_s(device: DeviceSettings, connection: ModbusConnectionOptions, line: LineTime) -> float:
    options = device.options
    assert isinstance(options, ModbusDeviceOptions)
    points = {point.id: point.options for point in device.points if isinstance(point.options, ModbusPointOptions)}
    own_gap_ms = options.request_gap_ms
    gap_ms = connection.request_gap_ms if own_gap_ms is None else own_gap_ms
    gap_s = max(line.gap_s, gap_ms / 1000)
    return sum(
        line.on_line_s(_characters(block, options.address)) + TURNAROUND_S + gap_s
        for block in plan_blocks(points, options)
    )


def _characters(block: Block, unit: int) -> int:
    question = read_question(unit, block.table, block.address, block.count)
    return len(question.pdu) + question.reply_length + 2 * FRAME_AROUND
