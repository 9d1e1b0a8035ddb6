"""Updates: which are answered and which wait; the configuration in force for each device, and the former ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from edge.storage.connection import Row
from edge.storage.database import OpenTransaction, Reader

# `configuration history` and the charts' marks want years, and a busy site has ten updates a day; a box that is fed
# junk once a second must not fill its disk with the answers' history.
HISTORY_ENTRIES_MAX = 10_000

_CONFIGURATIONS = (
    "SELECT device_id, version, update_event_id, update_revision, correlation_id, document, applied_at_ms"
    " FROM configurations"
)
_MISSING = "SELECT device_id, version, update_event_id FROM missing_configurations"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredConfiguration:
    """What is in force for one device, where that is more than the site file."""

    device_id: str
    version: int
    update_event_id: UUID | None
    update_revision: int | None
    correlation_id: str | None
    # JSON: the update's `configuration`.
    document: str
    applied_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceVersions:
    """The versions that the next update of a device is compared with; 0 = there was none."""

    # An update must be above this one, else it is `stale_version`.
    stale: int = 0
    # An update's `basedOn` must be this one, else there is a `conflict`.
    base: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingConfiguration:
    """What was applied last to a device, as the status stream tells, where this file does not hold it."""

    device_id: str
    version: int
    update_event_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryItem:
    """What became of an update (or of a former configuration)."""

    # None where the update could not be read.
    device_id: str | None
    version: int | None
    # applied, rejected, reverted.
    outcome: str
    update_event_id: UUID | None
    update_revision: int | None
    happened_at_ms: int
    # JSON: the document, `changedBy` and `reason`, the changes or the errors.
    body: str


async def find_version(reader: Reader, device_id: str) -> int:
    """Return the version in force for a device; 0 = the site file alone."""
    row = await reader.fetch_one("SELECT version FROM configurations WHERE device_id = ?", (device_id,))
    return 0 if row is None else int(row[0])


async def find_configuration(reader: Reader, device_id: str) -> StoredConfiguration | None:
    """Return what is in force for a device, where that is more than the site file."""
    row = await reader.fetch_one(f"{_CONFIGURATIONS} WHERE device_id = ?", (device_id,))
    return None if row is None else _stored(row)


async def load_configurations(reader: Reader) -> dict[str, StoredConfiguration]:
    """Return what is in force, by device."""
    rows = await reader.fetch_all(_CONFIGURATIONS)
    return {stored.device_id: stored for stored in map(_stored, rows)}


async def save_configuration(transaction: OpenTransaction, configuration: StoredConfiguration) -> None:
    """Put a device's configuration in the place of the one before; an older one is not missing any more."""
    await transaction.execute(
        "REPLACE INTO configurations (device_id, version, update_event_id, update_revision, correlation_id, document,"
        " applied_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            configuration.device_id,
            configuration.version,
            _optional_bytes(configuration.update_event_id),
            configuration.update_revision,
            configuration.correlation_id,
            configuration.document,
            configuration.applied_at_ms,
        ),
    )
    await transaction.execute(
        "DELETE FROM missing_configurations WHERE device_id = ? AND version <= ?",
        (configuration.device_id, configuration.version),
    )


async def find_missing(reader: Reader, device_id: str) -> MissingConfiguration | None:
    """Return what is missing for a device."""
    row = await reader.fetch_one(f"{_MISSING} WHERE device_id = ?", (device_id,))
    return None if row is None else _missing(row)


async def load_missing(reader: Reader) -> dict[str, MissingConfiguration]:
    """Return what is missing, by device."""
    rows = await reader.fetch_all(_MISSING)
    return {missing.device_id: missing for missing in map(_missing, rows)}


async def save_missing(transaction: OpenTransaction, missing: MissingConfiguration) -> None:
    """Write down what is to be looked for, in the place of an older version."""
    await transaction.execute(
        "REPLACE INTO missing_configurations (device_id, version, update_event_id) VALUES (?, ?, ?)",
        (missing.device_id, missing.version, missing.update_event_id.bytes),
    )


async def find_versions(reader: Reader, device_id: str) -> DeviceVersions:
    """Return the versions that a device's next update is compared with."""
    row = await reader.fetch_one(
        "SELECT stale_version, base_version FROM device_versions WHERE device_id = ?", (device_id,)
    )
    return DeviceVersions() if row is None else DeviceVersions(stale=row[0], base=row[1])


async def save_versions(transaction: OpenTransaction, device_id: str, versions: DeviceVersions) -> None:
    """Put a device's versions in the place of those before."""
    await transaction.execute(
        "REPLACE INTO device_versions (device_id, stale_version, base_version) VALUES (?, ?, ?)",
        (device_id, versions.stale, versions.base),
    )


async def append_history(transaction: OpenTransaction, item: HistoryItem) -> None:
    """Write down what became of an update; the oldest items go when there are too many."""
    await transaction.execute(
        "INSERT INTO configuration_history (device_id, version, outcome, update_event_id, update_revision,"
        " happened_at_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            item.device_id,
            item.version,
            item.outcome,
            _optional_bytes(item.update_event_id),
            item.update_revision,
            item.happened_at_ms,
            item.body,
        ),
    )
    await transaction.execute(
        "DELETE FROM configuration_history WHERE number <= (SELECT max(number) FROM configuration_history) - ?",
        (HISTORY_ENTRIES_MAX,),
    )


async def reposition_history(transaction: OpenTransaction, update_event_id: UUID, revision: int) -> bool:
    """Write down where an update stands now; False if the history does not know it."""
    found = await transaction.fetch_one(
        "SELECT 1 FROM configuration_history WHERE update_event_id = ?", (update_event_id.bytes,)
    )
    await transaction.execute(
        "UPDATE configuration_history SET update_revision = ? WHERE update_event_id = ?",
        (revision, update_event_id.bytes),
    )
    return found is not None


async def forget_revisions(transaction: OpenTransaction, *, above_revision: int, valid_outcomes: Sequence[str]) -> None:
    """Take in that the configuration stream went back: updates above a revision are not on it any more.

    What was valid among them stays in force and its versions stay used. But a producer that reads the stream cannot
    base an update on them, so the next one may be based on what the stream still holds.
    """
    marks = ", ".join("?" for _ in valid_outcomes)
    lost = await transaction.fetch_all(
        "SELECT DISTINCT device_id FROM configuration_history WHERE update_revision > ?"  # noqa: S608 - question marks
        f" AND outcome IN ({marks})",
        (above_revision, *valid_outcomes),
    )
    await transaction.execute(
        "UPDATE configuration_history SET update_revision = NULL WHERE update_revision > ?", (above_revision,)
    )
    left = await transaction.fetch_all(
        "SELECT device_id, max(version) FROM configuration_history"  # noqa: S608 - question marks
        f" WHERE update_revision IS NOT NULL AND outcome IN ({marks}) GROUP BY device_id",
        valid_outcomes,
    )
    bases: dict[str, int] = dict(left)
    for (device_id,) in lost:
        await transaction.execute(
            "UPDATE device_versions SET base_version = ? WHERE device_id = ?", (bases.get(device_id, 0), device_id)
        )


async def load_history(reader: Reader, *, device_id: str | None = None, limit: int = 100) -> list[HistoryItem]:
    """Return the newest items first, of one device or of all."""
    rows = await reader.fetch_all(
        "SELECT device_id, version, outcome, update_event_id, update_revision, happened_at_ms, body"
        " FROM configuration_history WHERE ? IS NULL OR device_id = ? ORDER BY number DESC LIMIT ?",
        (device_id, device_id, limit),
    )
    return [_history_item(row) for row in rows]


def _history_item(row: Row) -> HistoryItem:
    device_id, version, outcome, event_id, revision, happened_at_ms, body = row
    return HistoryItem(
        device_id=device_id,
        version=version,
        outcome=outcome,
        update_event_id=_optional_id(event_id),
        update_revision=revision,
        happened_at_ms=happened_at_ms,
        body=body,
    )


def _stored(row: Row) -> StoredConfiguration:
    device_id, version, event_id, revision, correlation_id, document, applied_at_ms = row
    return StoredConfiguration(
        device_id=device_id,
        version=version,
        update_event_id=_optional_id(event_id),
        update_revision=revision,
        correlation_id=correlation_id,
        document=document,
        applied_at_ms=applied_at_ms,
    )


def _missing(row: Row) -> MissingConfiguration:
    device_id, version, event_id = row
    return MissingConfiguration(device_id=device_id, version=version, update_event_id=UUID(bytes=event_id))


def _optional_id(value: bytes | None) -> UUID | None:
    return None if value is None else UUID(bytes=value)


def _optional_bytes(value: UUID | None) -> bytes | None:
    return None if value is None else value.bytes


# Answers to the updates on the last 20,000 revisions of the configuration stream: 1.5 MiB, years of a busy site. An
# older answer is needed only when the stream is read again from below it. Then the status stream is read again first,
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
    transaction: OpenTransaction,
    *,
    update_event_id: UUID,
    update_revision: int,
    answer_event_id: UUID,
    outcome: str,
    answered_at_ms: int,
) -> None:
    """Write down that an update is answered. The first answer stands."""
    await transaction.execute(
        "INSERT OR IGNORE INTO answers (update_event_id, update_revision, answer_event_id, outcome, answered_at_ms)"
        " VALUES (?, ?, ?, ?, ?)",
        (update_event_id.bytes, update_revision, answer_event_id.bytes, outcome, answered_at_ms),
    )


async def reposition_answer(transaction: OpenTransaction, update_event_id: UUID, revision: int) -> None:
    """Write down where an answered update stands now."""
    await transaction.execute(
        "UPDATE answers SET update_revision = ? WHERE update_event_id = ? AND update_revision <> ?",
        (revision, update_event_id.bytes, revision),
    )


async def remove_old_answers(transaction: OpenTransaction, *, checkpoint_revision: int) -> None:
    """Forget the answers to updates far below the checkpoint: a stream that still holds it is read from there on."""
    await transaction.execute("DELETE FROM answers WHERE update_revision <= ?", (checkpoint_revision - REVISIONS_KEPT,))


async def add_pending(transaction: OpenTransaction, update: PendingUpdate) -> None:
    """Keep an update until it is answered; one already kept stays as it is."""
    await transaction.execute(
        "INSERT OR IGNORE INTO pending_updates (event_id, revision, type, data, metadata, read_at_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (update.event_id.bytes, update.revision, update.type, update.data, update.metadata, update.read_at_ms),
    )


async def remove_pending(transaction: OpenTransaction, update_event_id: UUID) -> None:
    """Let go of an update that is answered."""
    await transaction.execute("DELETE FROM pending_updates WHERE event_id = ?", (update_event_id.bytes,))


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


async def remove_pending_above(transaction: OpenTransaction, revision: int) -> None:
    """Drop updates that the stream holds no more, because it went back."""
    await transaction.execute("DELETE FROM pending_updates WHERE revision > ?", (revision,))
