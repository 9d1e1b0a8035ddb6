"""What is asked of a unit, and what its answer must look like: protocol data units (PDU), without frames. Pure."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from drivers.decoders.modbus_pdu import EXCEPTION_BIT, READ_TABLES, WRITTEN_TABLES
from drivers.decoders.modbus_point import BIT_TABLES, Table

# What an answer shows of the request it belongs to where frames carry no number (RTU): unit, first bytes, length.
Shape: TypeAlias = tuple[int, bytes, int | None]

FUNCTION_CODES: dict[Table, int] = {table: function for function, table in READ_TABLES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request, and how its answer begins and how long it is."""

    unit: int
    pdu: bytes
    answer_start: bytes
    # None: the length is not known for an unusual function.
    answer_length: int | None
    # For people: "holding 3 to 6".
    text: str

    @property
    def function(self) -> int:
        """Return the function code."""
        return self.pdu[0]

    @property
    def shape(self) -> Shape:
        """Return all by which an answer on an RTU line can be told from others."""
        return self.unit, self.answer_start, self.answer_length

    @property
    def is_its_own_answer(self) -> bool:
        """Whether the right answer equals the request (FC05, FC06): on a line with echo it proves nothing by itself."""
        return self.answer_start == self.pdu

    @property
    def reply_length(self) -> int:
        """Return how many bytes the answer's PDU has, as far as that is known."""
        return self.answer_length or 0

    @property
    def may_equal_its_answer(self) -> bool:
        """Whether an answer that equals the request could be the right one."""
        return self.is_its_own_answer or self.answer_length is None

    def is_answered_by(self, pdu: bytes) -> bool:
        """Whether this has the function, the count and the length of the right answer."""
        fits = self.answer_length is None or len(pdu) == self.answer_length
        return fits and pdu.startswith(self.answer_start)

    def is_refused_by(self, pdu: bytes) -> bool:
        """Whether this is an exception to the function asked for."""
        return len(pdu) == 2 and pdu[0] == self.pdu[0] | EXCEPTION_BIT


@lru_cache(maxsize=4096)
def read_question(unit: int, table: Table, address: int, count: int) -> Question:
    """Ask for so many registers or bits of a table."""
    function = FUNCTION_CODES[table]
    data_length = -(-count // 8) if table in BIT_TABLES else 2 * count
    return Question(
        unit=unit,
        pdu=struct.pack(">BHH", function, address, count),
        answer_start=bytes((function, data_length)),
        answer_length=2 + data_length,
        text=f"{table} {address}" if count == 1 else f"{table} {address} to {address + count - 1}",
    )


def write_question(
    unit: int, table: Literal["holding", "coil"], address: int, values: Sequence[int], *, is_single: bool
) -> Question:
    """Write registers (FC06, FC16) or coils (FC05, FC15); a coil is on for any value but 0.

    A negative value is written as its two's complement.
    """
    start = struct.pack(">HH", address, len(values))
    if table == "coil":
        if is_single:
            pdu = struct.pack(">BHH", 5, address, 0xFF00 if values[0] else 0)
        else:
            bits = sum(1 << index for index, value in enumerate(values) if value)
            packed = bits.to_bytes(-(-len(values) // 8), "little")
            pdu = b"\x0f" + start + bytes((len(packed),)) + packed
    elif is_single:
        pdu = struct.pack(">BHH", 6, address, values[0] & 0xFFFF)
    else:
        data = b"".join(struct.pack(">H", value & 0xFFFF) for value in values)
        pdu = b"\x10" + start + bytes((len(data),)) + data
    return raw_question(unit, pdu)


def raw_question(unit: int, pdu: bytes) -> Question:
    """Send these bytes as they are: a write of the standard, or what a maker asks for beside it."""
    is_write = pdu[0] in WRITTEN_TABLES and len(pdu) >= 5
    return Question(
        unit=unit,
        pdu=pdu,
        # A write is answered by its function, address, and value or count.
        answer_start=pdu[:5] if is_write else pdu[:1],
        answer_length=5 if is_write else None,
        text=f"the write {pdu.hex(' ')}" if is_write else f"the frame {pdu.hex(' ')}",
    )


def registers_of(pdu: bytes) -> tuple[int, ...]:
    """Return the registers of a read's answer."""
    return struct.unpack(f">{pdu[1] // 2}H", pdu[2:])


def bits_of(pdu: bytes, count: int) -> list[bool]:
    """Return the first bits of a read's answer; the first is the lowest of the first byte."""
    number = int.from_bytes(pdu[2:], "little")
    return [bool(number >> index & 1) for index in range(count)]
