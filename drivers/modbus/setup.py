"""What is written to a device before it is read: the writes of a profile's `setup`. Pure.

A setting often lies in an EEPROM that bears some ten thousand writes. So a write is read back first, and left out where
the device holds the value already: a unit that misses an answer now and then is not worn out by it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from drivers.decoders.modbus_pdu import PDU_LENGTH_MAX
from drivers.modbus.question import Question, raw_question, write_question

WritableTable: TypeAlias = Literal["holding", "coil"]

# The protocol's limit for one request.
REGISTERS_WRITTEN_MAX = 123
# While a device needs longer than this before it measures, its readings are `warming_up`.
PAUSE_MS_MAX = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupWrite:
    """One write: a value, several values in a row, or a whole frame that no standard function makes."""

    table: WritableTable = "holding"
    # The number on the wire (PDU), counted from 0.
    address: int | None = None
    # One value by FC06 or FC05 (any value but 0 switches a coil on), several by FC16 or FC15.
    value: int | None = None
    values: tuple[int, ...] = ()
    # Or the PDU in hexadecimal digits, without unit id and CRC: sent as it stands.
    frame: str | None = None
    # Silence that the device needs afterwards.
    pause_ms: int = 0

    def question(self, unit: int) -> Question:
        """Return the request that does it."""
        if self.frame is not None:
            return raw_question(unit, bytes.fromhex(self.frame))
        assert self.address is not None, "mistakes() was asked"
        one = () if self.value is None else (self.value,)
        # A value of its own is written by the function for one; a list of one by that for many: some take only that.
        return write_question(unit, self.table, self.address, self.values or one, is_single=not self.values)

    def is_held(self, values: Sequence[int | bool]) -> bool:
        """Whether the device already has what would be written, by what it holds at the write's place."""
        wanted = self.values or (() if self.value is None else (self.value,))
        if self.table == "coil":
            return [bool(value) for value in values] == [bool(value) for value in wanted]
        return list(values) == [value & 0xFFFF for value in wanted]

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._frame_mistakes() if self.frame is not None else self._write_mistakes())

    def _frame_mistakes(self) -> Iterator[str]:
        if self.address is not None or self.value is not None or self.values:
            yield "a frame holds everything; leave address, value and values out"
        try:
            pdu = bytes.fromhex(self.frame or "")
        except ValueError:
            yield f"frame is {self.frame!r}; write hexadecimal digits, two for each byte"
            return
        if not 1 <= len(pdu) <= PDU_LENGTH_MAX or not 1 <= pdu[0] <= 127:
            yield f"frame is {self.frame!r}; it must start with a function code and have at most {PDU_LENGTH_MAX} bytes"
        yield from self._pause_mistakes()

    def _write_mistakes(self) -> Iterator[str]:
        if self.address is None:
            yield "address is missing"
        elif not 0 <= self.address <= 0x10000 - max(1, len(self.values)):
            yield f"address is {self.address}; it must be from 0 to 65535, that of the last value included"
        if (self.value is None) == (not self.values):
            yield "give either value or values"
        if len(self.values) > REGISTERS_WRITTEN_MAX:
            yield f"values are {len(self.values)}; one request holds {REGISTERS_WRITTEN_MAX}"
        for value in (*self.values, *(() if self.value is None else (self.value,))):
            # -1 is as good as 65535.
            if not -0x8000 <= value <= 0xFFFF:
                yield f"{value} does not fit into a register"
        yield from self._pause_mistakes()

    def _pause_mistakes(self) -> Iterator[str]:
        if not 0 <= self.pause_ms <= PAUSE_MS_MAX:
            yield f"pause_ms is {self.pause_ms}; it must be from 0 to {PAUSE_MS_MAX}"
