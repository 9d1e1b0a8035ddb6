"""The packed row of the table `cursors`: everything that start must know, in one page."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TypeAlias
from uuid import UUID

from edge.storage.block import CHECKSUM_SIZE
from edge.storage.cursors import Cursor, Span, Witness

FORMAT = 1

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
    parts = [_HEAD.pack(FORMAT, row.position, len(row.streams), len(row.devices))]
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
    if version != FORMAT:
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
