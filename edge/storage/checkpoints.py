"""How far a subscription has come, with the ids of the events there, to find out if the stream is the one we knew."""

from typing import NamedTuple
from uuid import UUID

from edge.storage.database import Reader, Writer

# A restored store is recognised by the newest pair that still matches; what is older than these is read again.
CHECKPOINTS_KEPT = 100


class Checkpoint(NamedTuple):
    """An event that was dealt with, and where it stands."""

    revision: int
    event_id: UUID


async def add_checkpoint(transaction: Writer, stream: str, checkpoint: Checkpoint) -> None:
    """Remember another pair; the oldest go."""
    await transaction.execute(
        "REPLACE INTO checkpoints (stream, revision, event_id) VALUES (?, ?, ?)",
        (stream, checkpoint.revision, checkpoint.event_id.bytes),
    )
    await transaction.execute(
        "DELETE FROM checkpoints WHERE stream = ? AND revision <= (SELECT revision FROM checkpoints"
        " WHERE stream = ? ORDER BY revision DESC LIMIT 1 OFFSET ?)",
        (stream, stream, CHECKPOINTS_KEPT),
    )


async def load_checkpoints(reader: Reader, stream: str, *, limit: int = CHECKPOINTS_KEPT) -> list[Checkpoint]:
    """Return the remembered pairs of a stream, newest first."""
    rows = await reader.fetch_all(
        "SELECT revision, event_id FROM checkpoints WHERE stream = ? ORDER BY revision DESC LIMIT ?", (stream, limit)
    )
    return [Checkpoint(revision, UUID(bytes=event_id)) for revision, event_id in rows]


async def remove_checkpoints(transaction: Writer, stream: str, *, above_revision: int) -> None:
    """Forget pairs that no longer match, because the stream went back."""
    await transaction.execute("DELETE FROM checkpoints WHERE stream = ? AND revision > ?", (stream, above_revision))
