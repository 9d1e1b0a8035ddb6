"""Which updates were answered, and which wait for their answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from edge.storage.database import Reader, Writer

# An update comes back at most after a restore of the event store; nobody restores a backup that is older.
KEEP_ANSWERS_DAYS = 400
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpdate:
    """An event of the configuration stream that was read and has no answer yet."""

    event_id: UUID
    revision: int
    type: str
    data: bytes
    metadata: bytes
    read_at_ms: int


async def has_answer(reader: Reader, update_event_id: UUID) -> bool:
    """Whether an update has been answered; then it never is again."""
    row = await reader.fetch_one("SELECT 1 FROM answers WHERE update_event_id = ?", (update_event_id.bytes,))
    return row is not None


async def find_outcome(reader: Reader, update_event_id: UUID) -> str | None:
    """Return what became of an update; None if it has no answer yet."""
    row = await reader.fetch_one("SELECT outcome FROM answers WHERE update_event_id = ?", (update_event_id.bytes,))
    return None if row is None else str(row[0])


async def has_any_answer(reader: Reader) -> bool:
    """Whether this file holds an answer at all. If not, the status stream is read first: the file may be a new one."""
    return await reader.fetch_one("SELECT 1 FROM answers LIMIT 1") is not None


async def add_answer(
    transaction: Writer, *, update_event_id: UUID, answer_event_id: UUID, outcome: str, answered_at_ms: int
) -> None:
    """Write down that an update is answered; it is no longer pending. The first answer stands."""
    await transaction.execute(
        "INSERT OR IGNORE INTO answers (update_event_id, answer_event_id, outcome, answered_at_ms) VALUES (?, ?, ?, ?)",
        (update_event_id.bytes, answer_event_id.bytes, outcome, answered_at_ms),
    )
    await transaction.execute("DELETE FROM pending_updates WHERE event_id = ?", (update_event_id.bytes,))


async def remove_old_answers(transaction: Writer, *, now_ms: int) -> None:
    """Forget answers that nobody can ask for any more."""
    await transaction.execute("DELETE FROM answers WHERE answered_at_ms < ?", (now_ms - KEEP_ANSWERS_DAYS * DAY_MS,))


async def add_pending(transaction: Writer, updates: Sequence[PendingUpdate]) -> None:
    """Keep updates until they are answered; those already kept stay as they are."""
    for update in updates:
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


async def remove_pending(transaction: Writer, event_id: UUID) -> None:
    """Drop an update that needs no answer from us."""
    await transaction.execute("DELETE FROM pending_updates WHERE event_id = ?", (event_id.bytes,))
