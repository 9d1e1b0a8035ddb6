"""Changes of the log, their outcomes, and the group that goes to disk together."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from edge.event_store.embedded.database import Batch
from edge.event_store.embedded.rule import (
    METADATA_PREFIX,
    SOFT_DELETED,
    TOMBSTONE_REVISION,
    Decision,
    Expected,
    Head,
)

METADATA_TYPE = "$metadata"
TOMBSTONE_TYPE = "$streamDeleted"
_TRUNCATE_BEFORE = "$tb"
# The least that each of them may be; the most is what the server's numbers hold.
_LIMITS = {_TRUNCATE_BEFORE: 0, "$maxCount": 1, "$maxAge": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Events for one stream. `body` holds them as `wire` encodes them."""

    stream: str
    expected: Expected
    ids: Sequence[str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """End a stream: softly (reads find nothing, a later append revives it) or with a tombstone."""

    stream: str
    expected: Expected
    for_ever: bool


Change: TypeAlias = Append | Delete


class Bodies(Protocol):
    """How events are encoded: the log itself does not look inside."""

    def ids_of(self, body: bytes) -> Sequence[str]:
        """Return the ids of a stored append."""

    def document_of(self, body: bytes, index: int) -> bytes:
        """Return the data of one event of a stored append if it is JSON, else nothing."""

    def own_body(self, event_type: str, data: bytes) -> bytes:
        """Encode one event that the store itself writes, with an id of its own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change: the decision, the stream as it was when it was judged, and the last position written."""

    decision: Decision
    head: Head
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A change that waits for its group."""

    change: Change
    outcome: asyncio.Future[Outcome]

    @property
    def stream_family(self) -> str:
        """A stream and its metadata stream: a change of one may change the other's head."""
        return self.change.stream.lstrip("$")


@dataclass(slots=True)
class Group:
    """What one transaction holds. No two changes of one family, so that each is judged by committed heads."""

    # The position of the next event.
    position: int
    # When it is written, in the wire's ticks.
    created: int
    pending: list[Pending] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    heads: dict[str, Head] = field(default_factory=dict)
    # Appends with events, and the revision and the position of their first.
    written: list[tuple[Append, int, int]] = field(default_factory=list)

    def add(self, head: Head, events: int, body: bytes) -> Head:
        """Write events to the end of a stream."""
        grown = replace(head, last_revision=head.last_revision + events)
        self._write(grown, Batch(self.position, head.number, head.last_revision + 1, events, self.created, body))
        return grown

    def bury(self, head: Head, body: bytes) -> None:
        """Write the tombstone of a stream: it stands at a revision of its own, far behind all others."""
        self._write(
            replace(head, tombstoned=True),
            Batch(self.position, head.number, TOMBSTONE_REVISION, 1, self.created, body),
        )

    def _write(self, head: Head, batch: Batch) -> None:
        self.heads[head.name] = head
        self.batches.append(batch)
        self.position += batch.events


def with_metadata(head: Head, document: bytes) -> Head:
    """Apply `$tb`, `$maxCount` and `$maxAge`. A document with any value that these cannot have says nothing at all."""
    if head.name.startswith(METADATA_PREFIX):
        # What is written about a metadata stream has no effect.
        return head
    fields = _fields_of(document)
    limits: dict[str, int] = {}
    for key in _LIMITS.keys() & fields.keys():
        value = fields[key]
        if isinstance(value, bool) or not isinstance(value, int) or not _LIMITS[key] <= value <= SOFT_DELETED:
            limits = {}
            break
        limits[key] = value
    return replace(
        head,
        truncate_before=limits.get(_TRUNCATE_BEFORE, 0),
        max_count=limits.get("$maxCount"),
        max_age_s=limits.get("$maxAge"),
    )


def truncating(document: bytes, revision: int) -> bytes:
    """Return the metadata document with another `$tb`; what else it holds stays."""
    return json.dumps(_fields_of(document) | {_TRUNCATE_BEFORE: revision}, separators=(",", ":")).encode()


def _fields_of(document: bytes) -> dict[str, object]:
    try:
        fields = json.loads(document)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
