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


async def add_quarantined(transaction: Writer, entry: Entry, *, reason: str, now_ms: int) -> None:
    """Set an entry aside; once, however often it is asked for."""
    await transaction.execute(
        "INSERT OR IGNORE INTO quarantine (position, stream, event_id, type, data, metadata, source_key, reason,"
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


async def quarantined_positions(reader: Reader) -> set[int]:
    """Return the positions of all entries that were set aside."""
    return {int(position) for (position,) in await reader.fetch_all("SELECT position FROM quarantine")}


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
