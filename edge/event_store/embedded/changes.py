"""What may be asked of the log, what becomes of it, and the group that goes to disk together."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from edge.event_store.embedded.database import Batch
from edge.event_store.embedded.rule import Decision, Expected, Head

METADATA_PREFIX = "$$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Events for one stream. `body` holds them as `wire` encodes them."""

    stream: str
    expected: Expected
    ids: Sequence[str]
    body: bytes
    # `$metadata` events: the last one's document.
    document: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """End a stream: softly (reads find nothing, a later append revives it) or for ever."""

    stream: str
    expected: Expected
    for_ever: bool


Change: TypeAlias = Append | Delete


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

    pending: list[Pending] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    heads: dict[str, Head] = field(default_factory=dict)
    # Appends with events, and the revision of their first.
    written: list[tuple[Append, int]] = field(default_factory=list)


def with_metadata(head: Head, document: bytes) -> Head:
    """Apply `$tb`, `$maxCount` and `$maxAge`. What is no such document changes nothing, as on the real server."""
    try:
        fields = json.loads(document)
    except ValueError:
        return head
    if not isinstance(fields, dict):
        return head

    def number(key: str) -> int | None:
        value = fields.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    return replace(head, truncate_before=number("$tb") or 0, max_count=number("$maxCount"), max_age_s=number("$maxAge"))
