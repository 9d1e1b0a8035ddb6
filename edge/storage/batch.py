"""What one commit writes: numbered, encoded entries and the statements that put them into the file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge.domain.event import Draft
from edge.storage import control_entry
from edge.storage.alarms import remembering
from edge.storage.block import encode_block
from edge.storage.cursor_row import LastSample
from edge.storage.database import Statement
from edge.storage.entry import Entry
from edge.storage.numbering import Numbering

_INSERT_BLOCK = (
    "INSERT INTO blocks (last_position, first_position, entry_count, committed_at_ms, checksum, body)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_INSERT_CONTROL = f"INSERT INTO control_entries ({control_entry.COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Entries on their way to disk. It keeps its numbers and bytes until it is there, however often that is tried."""

    entries: Sequence[Entry] = ()
    statements: Sequence[Statement] = ()
    # The newest sample in here of each device.
    samples: dict[str, LastSample] = field(default_factory=dict)
    # Samples in it must leave the reserved part of the quota to control events.
    has_telemetry: bool = False
    # The events in here that open or close an alarm.
    declarations: Sequence[Draft] = ()
    # To be called, in order, once it is on disk.
    on_committed: Sequence[Callable[[], None]] = ()

    @property
    def streams(self) -> set[int]:
        """The numbers of the streams that have entries in here."""
        return {entry.stream for entry in self.entries}

    @property
    def size_bytes(self) -> int:
        """Data and metadata of all entries."""
        return sum(len(entry.data) + len(entry.metadata) for entry in self.entries)


def form_batch(drafts: Sequence[Draft], numbering: Numbering, *, committed_at_ms: int) -> Batch:
    """Number and encode drafts in order, and say what writes them; the rows of new streams are added when it is written."""
    entries = [numbering.entry(draft) for draft in drafts]
    telemetry = [entry for draft, entry in zip(drafts, entries, strict=True) if draft.is_telemetry]
    control = [entry for draft, entry in zip(drafts, entries, strict=True) if not draft.is_telemetry]
    statements: list[Statement] = []
    if telemetry:
        statements.append(Statement(_INSERT_BLOCK, [encode_block(telemetry, committed_at_ms=committed_at_ms)]))
    if control:
        rows = [control_entry.control_row(entry, committed_at_ms=committed_at_ms) for entry in control]
        statements.append(Statement(_INSERT_CONTROL, rows))
        statements += remembering(drafts)
    devices = {draft.device_id for draft in drafts if draft.device_id is not None}
    return Batch(
        entries=entries,
        statements=statements,
        samples={device_id: numbering.last_sample(device_id) for device_id in devices},
        has_telemetry=bool(telemetry),
        declarations=[draft for draft in drafts if draft.opens is not None or draft.closes is not None],
        on_committed=[draft.on_accepted for draft in drafts if draft.on_accepted is not None],
    )
