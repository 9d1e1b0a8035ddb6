"""Which updates were answered, and which wait for their answer."""

from dataclasses import dataclass
from uuid import UUID

from edge.storage.database import Reader, Writer

# Answers to the updates on the last 20,000 revisions of the configuration stream: 1.5 MiB, years of a busy site.
# An older answer is needed only when the stream is read again from below it. Then the status stream is read again first,
# and holds it. So this number counts only for an update that had no answer when a backup of the event store was taken:
# it is answered a second time (under the same event id) if more than these came before the backup was restored.
REVISIONS_KEPT = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpdate:
    """An event of the configuration stream that was read and has no answer yet."""

    event_id: UUID
    revision: int
    type: str
    data: bytes
    metadata: bytes
    read_at_ms: int


async def find_outcome(reader: Reader, update_event_id: UUID) -> str | None:
    """Return what became of an update; None if it has no answer yet."""
    row = await reader.fetch_one("SELECT outcome FROM answers WHERE update_event_id = ?", (update_event_id.bytes,))
    return None if row is None else str(row[0])


async def add_answer(
    transaction: Writer,
    *,
    update_event_id: UUID,
    update_revision: int,
    answer_event_id: UUID,
    outcome: str,
    answered_at_ms: int,
) -> None:
    """Write down that an update is answered; it is no longer pending. The first answer stands."""
    await transaction.execute(
        "INSERT OR IGNORE INTO answers (update_event_id, update_revision, answer_event_id, outcome, answered_at_ms)"
        " VALUES (?, ?, ?, ?, ?)",
        (update_event_id.bytes, update_revision, answer_event_id.bytes, outcome, answered_at_ms),
    )
    await transaction.execute("DELETE FROM pending_updates WHERE event_id = ?", (update_event_id.bytes,))


async def reposition_answer(transaction: Writer, update_event_id: UUID, revision: int) -> None:
    """Write down where an answered update stands now."""
    await transaction.execute(
        "UPDATE answers SET update_revision = ? WHERE update_event_id = ? AND update_revision <> ?",
        (revision, update_event_id.bytes, revision),
    )


async def remove_old_answers(transaction: Writer, *, checkpoint_revision: int) -> None:
    """Forget the answers to updates far below the checkpoint: a stream that still holds it is read from there on."""
    await transaction.execute("DELETE FROM answers WHERE update_revision <= ?", (checkpoint_revision - REVISIONS_KEPT,))


async def add_pending(transaction: Writer, update: PendingUpdate) -> None:
    """Keep an update until it is answered; one already kept stays as it is."""
    await transaction.execute(
        "INSERT OR IGNORE INTO pending_updates (event_id, revision, type, data, metadata, read_at_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (update.event_id.bytes, update.revision, update.type, update.data, update.metadata, update.read_at_ms),
    )


async def load_pending(reader: Reader) -> list[PendingUpdate]:
    """Return the unanswered updates in the order of the stream."""
    rows = await reader.fetch_all(
        "SELECT event_id, revision, type, data, metadata, read_at_ms FROM pending_updates ORDER BY revision"
    )
    return [
        PendingUpdate(
            event_id=UUID(bytes=event_id),
            revision=revision,
            type=event_type,
            data=data,
            metadata=metadata,
            read_at_ms=read_at_ms,
        )
        for event_id, revision, event_type, data, metadata, read_at_ms in rows
    ]


async def remove_pending_above(transaction: Writer, revision: int) -> None:
    """Drop updates that the stream holds no more, because it went back."""
    await transaction.execute("DELETE FROM pending_updates WHERE revision > ?", (revision,))
