"""How far each stream has been forwarded. In memory; the outbox writes them with a later commit, packed into one row.

That row tells everything that start must know, in one page.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import NamedTuple, TypeAlias
from uuid import UUID

from edge.storage import sql
from edge.storage.database import Statement
from edge.storage.entries import CHECKSUM_SIZE, Entry

# A stream gets a span only by a restore that escaped notice until the stream had grown again. More are never needed.
SPANS_MAX = 8

ROW_FORMAT = 1

# The last accepted sample of a device: its run and its sequence there.
LastSample: TypeAlias = tuple[UUID, int]

_HEAD = struct.Struct("<BqII")
_STREAM = struct.Struct("<IqqqI16s")
_DEVICE = struct.Struct("<16sIB")
_COUNT = struct.Struct("<I")
_SPAN = struct.Struct("<Iqqq")
_WITNESS = struct.Struct("<Iq16sq")
# Stands for "no revision known"; NO_STREAM is -1 and known.
_UNKNOWN = -2
_NO_EVENT = bytes(16)


class Span(NamedTuple):
    """Entries of a stream, by position, that the event store holds although the cursor may stand before them."""

    first: int
    last: int
    # Where the first of them stands in the stream.
    revision: int


def covers(spans: Iterable[Span], position: int) -> bool:
    """Whether one of the spans holds an entry."""
    return any(span.first <= position <= span.last for span in spans)


class Witness(NamedTuple):
    """The acknowledged event with the highest commit position of all streams."""

    stream: int
    revision: int
    event_id: UUID
    commit_position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """One stream's state.

    `forwarded_position` is a bound, not the position of an event: every entry of the stream up to it is in the event
    store. While nothing is pending it moves along with the log, so that an entry after months of silence costs no scan
    of those months. `acked_event_id` tells which event is the last one there.
    """

    # The revision of the stream's last event, NO_STREAM, or None: never appended to from this file, or not known any
    # more. The forwarder then adopts the stream.
    acked_revision: int | None = None
    # The event at `acked_revision`; None = unknown, or there is no such event.
    acked_event_id: UUID | None = None
    forwarded_position: int = 0
    # The stream's newest entry.
    last_position: int = 0
    # Entries not yet forwarded. An estimate after `rewind` or a damaged block; exact again when the stream caught up.
    pending: int = 0
    # What must not be sent again although it may come after `forwarded_position`.
    landed: tuple[Span, ...] = ()

    @property
    def is_lagging(self) -> bool:
        """Whether entries of the stream are still to be forwarded."""
        return self.last_position > self.forwarded_position

    def has_landed(self, position: int) -> bool:
        """Whether the event store holds an entry that comes after the cursor."""
        return covers(self.landed, position)


NOWHERE = Cursor()


class Cursors:
    """The cursors of all streams, by the streams' numbers."""

    def __init__(self, cursors: dict[int, Cursor] | None = None, *, witness: Witness | None = None) -> None:
        self._cursors = dict(cursors or {})
        # While this event stands in the event store, so does everything that the cursors call acknowledged. None: there
        # is no event of which that is known. The forwarder sets it.
        self.witness = witness
        # Called after each change, so that the row is written in time; the outbox sets it.
        self.on_change: Callable[[], None] = lambda: None

    def __getitem__(self, stream: int) -> Cursor:
        return self._cursors.get(stream, NOWHERE)

    def all(self) -> dict[int, Cursor]:
        """All cursors, by stream."""
        return dict(self._cursors)

    def copy(self) -> "Cursors":
        """Return cursors that may be moved without moving these."""
        return Cursors(self._cursors, witness=self.witness)

    def lagging(self) -> dict[int, Cursor]:
        """Return the cursors of the streams of which something is still to be forwarded, parked ones included."""
        return {stream: cursor for stream, cursor in self._cursors.items() if cursor.is_lagging}

    def acknowledge(self, stream: int, *, revision: int, event_id: UUID | None, position: int, count: int = 0) -> None:
        """Note that the event store holds the stream's entries up to `position`, the last of them at `revision`.

        `count` is how many entries that were (for the depth in statistics). A position that was passed already is no
        step back: adopting a stream's tail acknowledges an old entry.
        """
        cursor = self[stream]
        forwarded = max(position, cursor.forwarded_position)
        pending = 0 if forwarded >= cursor.last_position else max(1, cursor.pending - count)
        self._put(
            stream,
            replace(
                cursor,
                acked_revision=revision,
                acked_event_id=event_id,
                forwarded_position=forwarded,
                pending=pending,
            ),
        )

    def advance(self, stream: int, *, position: int) -> None:
        """Note that nothing up to `position` is left to forward: the rest is quarantined, damaged or dropped."""
        cursor = self[stream]
        if position > cursor.forwarded_position:
            pending = 0 if position >= cursor.last_position else cursor.pending
            self._put(stream, replace(cursor, forwarded_position=position, pending=pending))

    def rewind(
        self,
        stream: int,
        *,
        revision: int | None,
        event_id: UUID | None,
        position: int,
        count: int = 0,
        landed: Iterable[Span] = (),
    ) -> None:
        """Note that the event store went back: of this stream it only holds what is up to `position`.

        Everything retained after it, except what has `landed` nevertheless, is pending again; `count`, where the caller
        knows it, is how many that are. `revision` is the stream's last one, NO_STREAM, or None = find out (adopt).
        """
        cursor = self[stream]
        pending = max(cursor.pending, count, 1) if cursor.last_position > position else 0
        self._put(
            stream,
            replace(
                cursor,
                acked_revision=revision,
                acked_event_id=event_id,
                forwarded_position=position,
                pending=pending,
                landed=tuple(landed)[-SPANS_MAX:],
            ),
        )
        self.witness = None

    def note_committed(self, entries: Iterable[Entry]) -> None:
        """Take in what a commit has just put on disk; only the outbox calls this."""
        for entry in entries:
            cursor = self._cursors.get(entry.stream, NOWHERE)
            forwarded = cursor.forwarded_position if cursor.is_lagging else entry.position - 1
            self._cursors[entry.stream] = Cursor(
                acked_revision=cursor.acked_revision,
                acked_event_id=cursor.acked_event_id,
                forwarded_position=forwarded,
                last_position=entry.position,
                pending=cursor.pending + 1,
                landed=cursor.landed,
            )
        self.on_change()

    def forwarded_through(self, last_position: int) -> int:
        """Return the position up to which every entry of every stream is forwarded; `last_position` if all are."""
        return min((cursor.forwarded_position for cursor in self.lagging().values()), default=last_position)

    def _put(self, stream: int, cursor: Cursor) -> None:
        self._cursors[stream] = cursor
        self.on_change()


class CursorRowDamaged(Exception):  # noqa: N818 - the vocabulary's words
    """The row is not what was written. Remedy: decode all blocks, and reconcile every stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorRow:
    """What the row says."""

    # Entries up to here are accounted for in the rest; later ones must be looked at.
    position: int = 0
    streams: Mapping[int, Cursor] = field(default_factory=dict)
    devices: Mapping[str, LastSample] = field(default_factory=dict)
    witness: Witness | None = None


def encode_cursor_row(row: CursorRow) -> tuple[bytes, bytes]:
    """Pack into (checksum, body)."""
    parts = [_HEAD.pack(ROW_FORMAT, row.position, len(row.streams), len(row.devices))]
    for stream, cursor in row.streams.items():
        parts.append(
            _STREAM.pack(
                stream,
                _UNKNOWN if cursor.acked_revision is None else cursor.acked_revision,
                cursor.forwarded_position,
                cursor.last_position,
                cursor.pending,
                _NO_EVENT if cursor.acked_event_id is None else cursor.acked_event_id.bytes,
            )
        )
    for device_id, (run, sequence) in row.devices.items():
        name = device_id.encode()
        parts.extend((_DEVICE.pack(run.bytes, sequence, len(name)), name))
    spans = [(stream, *span) for stream, cursor in row.streams.items() for span in cursor.landed]
    parts += [_COUNT.pack(len(spans)), *(_SPAN.pack(*span) for span in spans)]
    if row.witness is not None:
        stream, revision, event_id, position = row.witness
        parts.append(_WITNESS.pack(stream, revision, event_id.bytes, position))
    body = zlib.compress(b"".join(parts))
    return _checksum(body), body


def decode_cursor_row(checksum: bytes, body: bytes) -> CursorRow:
    """Unpack. Raises CursorRowDamaged when it is not, to the last bit, what was written."""
    if _checksum(body) != checksum:
        raise CursorRowDamaged("checksum mismatch")
    content = zlib.decompress(body)
    version, position, stream_count, device_count = _HEAD.unpack_from(content)
    if version != ROW_FORMAT:
        raise CursorRowDamaged(f"unknown format {version}")
    at = _HEAD.size
    streams = {}
    for _ in range(stream_count):
        stream, revision, forwarded, last, pending, event_id = _STREAM.unpack_from(content, at)
        streams[stream] = Cursor(
            acked_revision=None if revision == _UNKNOWN else revision,
            acked_event_id=None if event_id == _NO_EVENT else UUID(bytes=event_id),
            forwarded_position=forwarded,
            last_position=last,
            pending=pending,
        )
        at += _STREAM.size
    devices = {}
    for _ in range(device_count):
        run, sequence, length = _DEVICE.unpack_from(content, at)
        at += _DEVICE.size
        devices[content[at : at + length].decode()] = (UUID(bytes=run), sequence)
        at += length
    witness = _decode_rest(content, at, streams)
    return CursorRow(position=position, streams=streams, devices=devices, witness=witness)


def cursor_statement(row: CursorRow) -> Statement:
    """Say what writes the cursors' row."""
    return Statement(sql.WRITE_CURSORS, [encode_cursor_row(row)])


def _decode_rest(content: bytes, at: int, streams: dict[int, Cursor]) -> Witness | None:
    """Put spans into their streams' cursors; return the witness. An older release's row ends before both."""
    if at == len(content):
        return None
    (span_count,) = _COUNT.unpack_from(content, at)
    at += _COUNT.size
    for stream, *span in _SPAN.iter_unpack(content[at : at + span_count * _SPAN.size]):
        streams[stream] = replace(streams[stream], landed=(*streams[stream].landed, Span(*span)))
    at += span_count * _SPAN.size
    if at == len(content):
        return None
    stream, revision, event_id, position = _WITNESS.unpack_from(content, at)
    return Witness(stream, revision, UUID(bytes=event_id), position)


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=CHECKSUM_SIZE).digest()
