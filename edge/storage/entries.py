"""An event in the outbox, and how it lies on disk.

Telemetry: one group commit is one row of `blocks`, made of columns that are compressed together, under a checksum.

    body = format (1 byte), the last 10 bytes of every event id, then zlib over the columns below

The random part of the ids stays outside: it does not compress, and it would spoil the code for what does. Metadata is
nearly the same in all events of a run: a block holds each distinct text once, without the position it ends with. The
names of deliveries are nearly the same, too, but in two bytes: they are written byte by byte, like the times of the
ids. Format 2 has these names. A block without any is written in format 1, as it always was.

A control event is a row of its own, under its own checksum: a damaged block cannot take an answer with it.

The checksum is 8 bytes of BLAKE2b over a row's numbers and its body. SQLite has none of its own and its integrity_check
misses two of three flipped bits; 32 bits of a CRC would miss one damaged block in four thousand million, and cost no
less here. Every read verifies it.
"""

import re
import struct
import zlib
from array import array
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise, repeat
from typing import NamedTuple
from uuid import UUID

from edge.domain.reading import DELIVERY_LENGTH
from edge.storage.connection import Row, SqlValue
from edge.storage.errors import BlockDamaged

FORMAT_WITHOUT_DELIVERIES = 1

BLOCK_FORMAT = 2

CHECKSUM_SIZE = 8
COMPRESSION_LEVEL = 6

# What zlib may refer back to from the first byte on: it makes a block of 5 entries a third smaller. It is a part of
# both formats. Change a letter and no block in the field can be read any more: another dictionary is another format.
DICTIONARY = (
    b'"schemaVersion":1,"producer":"greenhouse-edge/0.1.0","run":"","bootId":"","siteFileDigest":"sha256:'
    b'","configVersion":,"$causationId":"","$correlationId":"","position":"unsynchronized","uptimeMs":'
    b'"origin":"history","previous":{"run":"","value":null,"quality":"bad","reason":"comm_error"}"sensor_fault"}'
    b'"uncertain","reason":"out_of_range"}"value":true,"unit":"%","unit":"[ppm]","relative_humidity":{"value":'
    b'"co2_concentration":{"value":"substrate_temperature":{"value":"water_content":{"value":"ec":{"value":'
    b'"unit":"mS/cm","ph":{"value":{"siteId":"","gatewayId":"","deviceId":"","measuredAt":"2026-'
    b'","clock":"synchronized","origin":"live","sequence":,"readings":{"air_temperature":{"value":,"unit":"Cel"'
    b',"quality":"good"},SensorReadingReceived'
)

# The first 6 bytes of a UUIDv7 are its time: they compress well, byte by byte. The rest is chance.
_ID_HEAD = 6
_ID_TAIL = 10

_NUMBERS = struct.Struct("<qqqq")
_COLUMN_HEAD = struct.Struct("<cI")
_LENGTH = struct.Struct("<I")
# The widths a column of numbers can have; `=` says that all its numbers are the same.
_WIDTHS = (("B", 1 << 8), ("H", 1 << 16), ("I", 1 << 32))

# Events are written compactly (`edge.domain.author.encode_json`), and a quote within a JSON string is escaped: these
# patterns cannot match inside a text. Parsing whole events would take four times as long, and start waits for this.
DEVICE = re.compile(rb'"deviceId":"([^"\\]*)"')
_SEQUENCE = re.compile(rb'"sequence":(\d+)')
_RUN = re.compile(rb'"run":"([0-9a-f-]{36})"')


class Entry(NamedTuple):
    """One accepted event, with its place in the local order.

    A named tuple, not a dataclass: it is made once per sample when accepted and once when read back, and costs a third.
    """

    position: int
    # The local number of the stream (`StreamNames` has its name).
    stream: int
    event_id: UUID
    type: str
    data: bytes
    metadata: bytes
    # What the driver gave with the sample; never sent.
    source_key: bytes = b""
    delivery: bytes = b""


class Keyed(NamedTuple):
    """A recorded sample as its sender would send it again."""

    source_key: bytes
    delivery: bytes
    event_id: UUID


class Page(NamedTuple):
    """A piece of the backlog, in the order of positions."""

    entries: list[Entry]
    # Everything up to here was looked at; the next page starts after it.
    scanned_to: int


class Block(NamedTuple):
    """A row of the table `blocks`."""

    last_position: int
    first_position: int
    entry_count: int
    committed_at_ms: int
    checksum: bytes
    body: bytes


def encode_block(entries: Sequence[Entry], *, committed_at_ms: int) -> Block:
    """Pack entries, in the order of their positions, into a row."""
    body = _pack(entries)
    first, last = entries[0].position, entries[-1].position
    checksum = _block_checksum(last, first, len(entries), committed_at_ms, body)
    return Block(last, first, len(entries), committed_at_ms, checksum, body)


def decode_block(block: Block) -> list[Entry]:
    """Unpack a row. Raises BlockDamaged when it is not, to the last bit, what was written."""
    last, first, count, committed_at_ms, checksum, body = block
    if _block_checksum(last, first, count, committed_at_ms, body) != checksum:
        raise BlockDamaged(last, "checksum mismatch")
    if body[0] not in {FORMAT_WITHOUT_DELIVERIES, BLOCK_FORMAT}:
        raise BlockDamaged(last, f"unknown format {body[0]}")
    return _unpack(body, count, first)


def _block_checksum(last: int, first: int, count: int, committed_at_ms: int, body: bytes) -> bytes:
    digest = blake2b(_NUMBERS.pack(last, first, count, committed_at_ms), digest_size=CHECKSUM_SIZE)
    digest.update(body)
    return digest.digest()


def _pack(entries: Sequence[Entry]) -> bytes:
    ids = [entry.event_id.bytes for entry in entries]
    heads = b"".join([event_id[:_ID_HEAD] for event_id in ids])
    tails = b"".join([event_id[_ID_HEAD:] for event_id in ids])
    types: dict[bytes, int] = {}
    texts: dict[bytes, int] = {}
    columns = (
        [second.position - first.position - 1 for first, second in pairwise(entries)],
        [entry.stream for entry in entries],
        [types.setdefault(entry.type.encode(), len(types)) for entry in entries],
        [texts.setdefault(_without_position(entry), len(texts)) for entry in entries],
        [len(entry.source_key) for entry in entries],
        [len(entry.data) for entry in entries],
    )
    parts = [
        *(_pack_column(column) for column in columns),
        _pack_texts(list(types)),
        _pack_texts(list(texts)),
        *(heads[byte::_ID_HEAD] for byte in range(_ID_HEAD)),
        *(entry.source_key for entry in entries),
        *(entry.data for entry in entries),
    ]
    has_deliveries = any(entry.delivery for entry in entries)
    if has_deliveries:
        parts += _pack_deliveries(entries)
    packer = zlib.compressobj(COMPRESSION_LEVEL, zdict=DICTIONARY)
    head = bytes([BLOCK_FORMAT if has_deliveries else FORMAT_WITHOUT_DELIVERIES])
    return b"".join((head, tails, packer.compress(b"".join(parts)), packer.flush()))


def _unpack(body: bytes, count: int, first_position: int) -> list[Entry]:
    tails_end = 1 + count * _ID_TAIL
    source = _Source(zlib.decompressobj(zdict=DICTIONARY).decompress(body[tails_end:]))
    gaps = source.column(count - 1)
    streams, type_numbers, text_numbers, key_lengths, lengths = (source.column(count) for _ in range(5))
    types = [text.decode() for text in source.texts()]
    texts = source.texts()
    heads = bytearray(count * _ID_HEAD)
    for byte in range(_ID_HEAD):
        heads[byte::_ID_HEAD] = source.take(count)
    positions = list(accumulate(gaps, lambda position, gap: position + gap + 1, initial=first_position))
    keys = [source.take(length) for length in key_lengths]
    data = [source.take(length) for length in lengths]
    deliveries = source.deliveries(count) if body[0] == BLOCK_FORMAT else [b""] * count
    return [
        Entry(
            position,
            stream,
            UUID(bytes=bytes(heads[index * _ID_HEAD : (index + 1) * _ID_HEAD]) + tail),
            types[type_number],
            data[index],
            _with_position(texts[text_number], position),
            keys[index],
            deliveries[index],
        )
        for index, (position, stream, tail, type_number, text_number) in enumerate(
            zip(
                positions,
                streams,
                (body[start : start + _ID_TAIL] for start in range(1, tails_end, _ID_TAIL)),
                type_numbers,
                text_numbers,
                strict=True,
            )
        )
    ]


def _without_position(entry: Entry) -> bytes:
    # The author writes the position last. What does not end so is kept as it is; the first byte tells.
    ending = b"%d}" % entry.position
    if entry.metadata.endswith(ending):
        return b"p" + entry.metadata[: -len(ending)]
    return b"w" + entry.metadata


def _with_position(text: bytes, position: int) -> bytes:
    return b"%b%d}" % (text[1:], position) if text.startswith(b"p") else text[1:]


def _pack_column(numbers: list[int]) -> bytes:
    if not numbers:
        return b""
    largest = max(numbers)
    if largest == min(numbers):
        return _COLUMN_HEAD.pack(b"=", largest)
    width = next(code for code, limit in _WIDTHS if largest < limit)
    return width.encode() + struct.pack(f"<{len(numbers)}{width}", *numbers)


def _pack_texts(texts: list[bytes]) -> bytes:
    return _LENGTH.pack(len(texts)) + b"".join([_LENGTH.pack(len(text)) + text for text in texts])


def _pack_deliveries(entries: Sequence[Entry]) -> list[bytes]:
    names = b"".join(entry.delivery for entry in entries)
    return [
        _pack_column([1 if entry.delivery else 0 for entry in entries]),
        *(names[byte::DELIVERY_LENGTH] for byte in range(DELIVERY_LENGTH)),
    ]


class _Source:
    """The decompressed columns, taken piece by piece from the front."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, length: int) -> bytes:
        start = self._at
        self._at = start + length
        return self._content[start : self._at]

    def length(self) -> int:
        (value,) = _LENGTH.unpack(self.take(_LENGTH.size))
        return int(value)

    def column(self, count: int) -> Sequence[int]:
        if not count:
            return ()
        width = self.take(1).decode()
        if width == "=":
            return list(repeat(self.length(), count))
        return struct.unpack(f"<{count}{width}", self.take(count * array(width).itemsize))

    def deliveries(self, count: int) -> list[bytes]:
        are_there = self.column(count)
        names = bytearray(sum(are_there) * DELIVERY_LENGTH)
        for byte in range(DELIVERY_LENGTH):
            names[byte::DELIVERY_LENGTH] = self.take(len(names) // DELIVERY_LENGTH)
        ends = accumulate(is_there * DELIVERY_LENGTH for is_there in are_there)
        return [
            bytes(names[end - DELIVERY_LENGTH : end]) if is_there else b""
            for end, is_there in zip(ends, are_there, strict=True)
        ]

    def texts(self) -> list[bytes]:
        return [self.take(self.length()) for _ in range(self.length())]


def control_row(entry: Entry, *, committed_at_ms: int) -> tuple[SqlValue, ...]:
    """Lay an entry out as a row, in the order of `sql.INSERT_CONTROL`."""
    return (
        entry.position,
        entry.stream,
        committed_at_ms,
        entry.event_id.bytes,
        entry.type,
        entry.data,
        entry.metadata,
        _control_checksum(entry),
    )


def control_entry(row: Row) -> Entry:
    """Read a row. Raises BlockDamaged when it is not what was written."""
    position, stream, _, event_id, event_type, data, metadata, checksum = row
    if len(event_id) != 16:
        raise BlockDamaged(position, "the event id of a control entry has not 16 bytes")
    entry = Entry(position, stream, UUID(bytes=event_id), event_type, data, metadata)
    if _control_checksum(entry) != checksum:
        raise BlockDamaged(position, "checksum mismatch of a control entry")
    return entry


def _control_checksum(entry: Entry) -> bytes:
    digest = blake2b(digest_size=CHECKSUM_SIZE)
    numbers = b"%d,%d,%d,%d," % (entry.position, entry.stream, len(entry.type), len(entry.data))
    for part in (numbers, entry.event_id.bytes, entry.type.encode(), entry.data, entry.metadata):
        digest.update(part)
    return digest.digest()


def run_of(metadata: bytes) -> UUID | None:
    """Return the run that an event of ours says it is of."""
    run = _RUN.search(metadata)
    return None if run is None else UUID(run[1].decode())


class Sampled(NamedTuple):
    """Which sample an entry is."""

    device_id: str
    run: UUID
    sequence: int


def sampled(entry: Entry) -> Sampled | None:
    """Tell which sample an entry is; None if it does not say."""
    device = DEVICE.search(entry.data)
    sequence = _SEQUENCE.search(entry.data)
    run = _RUN.search(entry.metadata)
    if device is None or sequence is None or run is None:
        return None
    return Sampled(device[1].decode(), UUID(run[1].decode()), int(sequence[1]))
