"""Entries that the event store does not take: copied aside with the reason, so that the stream can go on."""

from typing import NamedTuple
from uuid import UUID

from edge.storage.database import Reader, Writer
from edge.storage.entry import Entry


class Quarantined(NamedTuple):
    """An entry that was set aside."""

    entry: Entry
    reason: str
    quarantined_at_ms: int
    # The new entry that `retry` made of it.
    retry_position: int | None


async def add_quarantined(transaction: Writer, entry: Entry, *, reason: str, now_ms: int) -> bool:
    """Set an entry aside. False: it was set aside already."""
    if await transaction.fetch_one("SELECT 1 FROM quarantine WHERE position = ?", (entry.position,)) is not None:
        return False
    await transaction.execute(
        "INSERT INTO quarantine (position, stream, event_id, type, data, metadata, source_key, reason,"
        " quarantined_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.position,
            entry.stream,
            entry.event_id.bytes,
            entry.type,
            entry.data,
            entry.metadata,
            entry.source_key,
            reason,
            now_ms,
        ),
    )
    return True


async def count_quarantined(reader: Reader) -> int:
    """Return how many entries are set aside."""
    row = await reader.fetch_one("SELECT count(*) FROM quarantine")
    assert row is not None, "an aggregate gives one row"
    return int(row[0])


async def load_quarantined(reader: Reader) -> list[Quarantined]:
    """Return what was set aside, oldest first."""
    rows = await reader.fetch_all(
        "SELECT position, stream, event_id, type, data, metadata, source_key, reason, quarantined_at_ms,"
        " retry_position FROM quarantine ORDER BY position"
    )
    return [
        Quarantined(
            Entry(position, stream, UUID(bytes=event_id), event_type, data, metadata, source_key), reason, at_ms, retry
        )
        for position, stream, event_id, event_type, data, metadata, source_key, reason, at_ms, retry in rows
    ]


async def mark_retried(transaction: Writer, position: int, *, retry_position: int) -> None:
    """Note which new entry was made of one that was set aside."""
    await transaction.execute("UPDATE quarantine SET retry_position = ? WHERE position = ?", (retry_position, position))
