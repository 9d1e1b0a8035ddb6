"""A control event as a row of its own, under its own checksum: a damaged block cannot take an answer with it."""

from hashlib import blake2b
from uuid import UUID

from edge.storage.block import CHECKSUM_SIZE
from edge.storage.connection import Row, SqlValue
from edge.storage.entry import Entry
from edge.storage.errors import BlockDamaged

COLUMNS = "position, stream, committed_at_ms, event_id, type, data, metadata, checksum"


def control_row(entry: Entry, *, committed_at_ms: int) -> tuple[SqlValue, ...]:
    """Lay an entry out as a row, in the order of COLUMNS."""
    return (
        entry.position,
        entry.stream,
        committed_at_ms,
        entry.event_id.bytes,
        entry.type,
        entry.data,
        entry.metadata,
        _checksum(entry),
    )


def control_entry(row: Row) -> Entry:
    """Read a row. Raises BlockDamaged when it is not what was written."""
    position, stream, _, event_id, event_type, data, metadata, checksum = row
    if len(event_id) != 16:
        raise BlockDamaged(position, "the event id of a control entry has not 16 bytes")
    entry = Entry(position, stream, UUID(bytes=event_id), event_type, data, metadata)
    if _checksum(entry) != checksum:
        raise BlockDamaged(position, "checksum mismatch of a control entry")
    return entry


def _checksum(entry: Entry) -> bytes:
    digest = blake2b(digest_size=CHECKSUM_SIZE)
    numbers = b"%d,%d,%d,%d," % (entry.position, entry.stream, len(entry.type), len(entry.data))
    for part in (numbers, entry.event_id.bytes, entry.type.encode(), entry.data, entry.metadata):
        digest.update(part)
    return digest.digest()
