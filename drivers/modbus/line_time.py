"""How long frames and the silences between them take on a line. Pure."""

from dataclasses import dataclass

from drivers.modbus.options import ModbusConnectionOptions
from edge.domain.serial_line import character_s, line_format

# The standard's silence between frames: 3.5 characters, and a fixed time where these are shorter (over 19200 baud).
GAP_CHARACTERS = 3.5
GAP_S_MIN = 0.00175
# Behind a converter the speed is not known; it keeps the line's own silence. This one shows a doubled answer.
CONVERTER_GAP_S = 0.002


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
