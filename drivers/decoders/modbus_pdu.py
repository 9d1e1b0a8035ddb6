"""Modbus requests and replies without the frame around them (protocol data units). No I/O.

Source: Modbus Application Protocol V1.1b3, sections 6 and 7.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.decoders.frame import FrameMalformed
from drivers.decoders.modbus_options import BIT_TABLES, Table

PDU_LENGTH_MAX = 253
EXCEPTION_BIT = 0x80
READ_TABLES: Mapping[int, Table] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
WRITTEN_TABLES: Mapping[int, Table] = {5: "coil", 6: "holding", 15: "coil", 16: "holding"}
_WRITES_ONE = frozenset({5, 6})

_NOTHING: tuple[int | bool, ...] = ()

# What FC05 says for on and off; a few devices know other values (a signal tower flashes at F000).
_COIL_WORDS = {0xFF00: True, 0x0000: False}

_EXCEPTIONS = {
    1: "function not known to it",
    2: "no such address",
    3: "value or count not allowed",
    4: "it failed at it",
    5: "accepted, but it needs more time",
    6: "busy",
    8: "memory error",
    10: "the gateway has no path to it",
    11: "the gateway got no answer from it",
}


class ExceptionReply(FrameMalformed):
    """The frame is valid, and the device refuses: its exception reply."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the device refused: {exception_text(code)}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a unit, or written to it."""

    unit: int
    function: int
    table: Table
    address: int
    count: int
    # What is written; none for a read. The value of a coil that is neither on nor off is its number.
    values: tuple[int | bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a unit answered."""

    unit: int
    function: int
    table: Table
    # A reply to a read does not say where its values stand: None without the request.
    address: int | None
    # What was read, or written by FC05 and FC06; of bits whose number only the request knows, all of the last byte.
    values: tuple[int | bool, ...]
    # How many values it is about (FC15 and FC16 answer with nothing else).
    count: int


def exception_text(code: int) -> str:
    """Say what an exception code means."""
    meaning = _EXCEPTIONS.get(code)
    return f"exception {code} ({meaning})" if meaning else f"exception {code}"


def request_length(head: bytes) -> int | None:
    """Return the length of a request PDU that begins like this; None if it begins like none."""
    if not head or (head[0] not in READ_TABLES and head[0] not in WRITTEN_TABLES):
        return None
    if head[0] in READ_TABLES or head[0] in _WRITES_ONE:
        return 5
    return 6 + head[5] if len(head) > 5 else None


def reply_length(head: bytes) -> int | None:
    """Return the length of a reply PDU that begins like this; None if it begins like none."""
    if len(head) < 2:
        return None
    if head[0] in READ_TABLES:
        return 2 + head[1]
    if head[0] in WRITTEN_TABLES:
        return 5
    return 2 if head[0] & ~EXCEPTION_BIT in {*READ_TABLES, *WRITTEN_TABLES} else None


def read_request(unit: int, pdu: bytes) -> Request:
    """Read a request. Raises FrameMalformed for what is none of the eight reads and writes, or contradicts itself."""
    if request_length(pdu) != len(pdu):
        raise FrameMalformed(f"{_shown(pdu)} is no request: its function or its length does not fit")
    function = pdu[0]
    table = READ_TABLES.get(function) or WRITTEN_TABLES[function]
    address, second = _word(pdu, 1), _word(pdu, 3)
    if function in _WRITES_ONE:
        value = _COIL_WORDS.get(second, second) if function == 5 else second
        return Request(unit=unit, function=function, table=table, address=address, count=1, values=(value,))
    values = _values(table, pdu[6:]) if function in WRITTEN_TABLES else ()
    if function in WRITTEN_TABLES and pdu[5] != _data_length(table, second):
        raise FrameMalformed(f"{_shown(pdu)} says it writes {second} values and has {pdu[5]} bytes of them")
    return Request(unit=unit, function=function, table=table, address=address, count=second, values=values[:second])


def read_reply(unit: int, pdu: bytes, request: Request | None = None) -> Reply:
    """Read a reply; with the request, also where its values stand and whether it answers this at all.

    Raises ExceptionReply for a refusal, FrameMalformed for what is no reply or answers something else.
    """
    if reply_length(pdu) != len(pdu):
        raise FrameMalformed(f"{_shown(pdu)} is no reply: its function or its length does not fit")
    if request is not None and (request.unit not in {unit, 0} or request.function != pdu[0] & ~EXCEPTION_BIT):
        asked = f"unit {request.unit}, function {request.function}"
        said = f"unit {unit}, function {pdu[0] & ~EXCEPTION_BIT}"
        raise FrameMalformed(f"the frame is of {said}; asked was {asked}")
    if pdu[0] & EXCEPTION_BIT:
        raise ExceptionReply(pdu[1])
    return _written(unit, pdu, request) if pdu[0] in WRITTEN_TABLES else _read(unit, pdu, request)


def _read(unit: int, pdu: bytes, request: Request | None) -> Reply:
    table = READ_TABLES[pdu[0]]
    if not pdu[1] or (table not in BIT_TABLES and pdu[1] % 2):
        raise FrameMalformed(f"{_shown(pdu)} holds {pdu[1]} bytes of values, which cannot be")
    values = _values(table, pdu[2:])
    if request is None:
        return Reply(unit=unit, function=pdu[0], table=table, address=None, values=values, count=len(values))
    if pdu[1] != _data_length(table, request.count):
        raise FrameMalformed(f"the frame holds {_counted(table, len(values))}; asked was for {request.count}")
    return Reply(
        unit=unit,
        function=pdu[0],
        table=table,
        address=request.address,
        values=values[: request.count],
        count=request.count,
    )


def _written(unit: int, pdu: bytes, request: Request | None) -> Reply:
    function, address, second = pdu[0], _word(pdu, 1), _word(pdu, 3)
    table = WRITTEN_TABLES[function]
    count, values = second, _NOTHING
    if function in _WRITES_ONE:
        count, values = 1, (_COIL_WORDS.get(second, second) if function == 5 else second,)
    if request is not None and (address, count) != (request.address, request.count):
        wanted = f"{request.count} at {request.address}"
        raise FrameMalformed(f"the frame confirms a write of {count} at {address}; written was {wanted}")
    if request is not None and values and values != request.values:
        raise FrameMalformed(f"the frame confirms the value {values[0]}; written was {request.values[0]}")
    return Reply(unit=unit, function=function, table=table, address=address, values=values, count=count)


def _values(table: Table, data: bytes) -> tuple[int | bool, ...]:
    if table in BIT_TABLES:
        # The first bit is the lowest of the first byte.
        return tuple(bool(byte >> index & 1) for byte in data for index in range(8))
    return tuple(_word(data, index) for index in range(0, len(data), 2))


def _data_length(table: Table, count: int) -> int:
    return -(-count // 8) if table in BIT_TABLES else 2 * count


def _counted(table: Table, count: int) -> str:
    return f"{count} bits" if table in BIT_TABLES else f"{count} register{'s' * (count != 1)}"


def _word(data: bytes, index: int) -> int:
    return int.from_bytes(data[index : index + 2], "big")


def _shown(pdu: bytes) -> str:
    return pdu.hex(" ") or "an empty frame"
