"""Where to go on reading a stream, if it is still the one we knew, and how much of it is taken in at once.

A server that was restored from a backup accepts a checkpoint that is ahead of the stream and waits in silence. So
before every subscription the event at the checkpoint is compared with the one that was dealt with there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from edge.domain.event import RecordedEvent
from edge.domain.event_store import EventStore, StreamNotFound
from edge.storage.remembered import Checkpoint

# While catching up, this many events make one transaction …
CHUNK_EVENTS_MAX = 64
# … or this many bytes.
CHUNK_BYTES_MAX = 1024 * 1024


class Resumption(NamedTuple):
    """Where to go on."""

    # The newest pair that still stands; None = read the stream from its start.
    after: Checkpoint | None
    # The stream has lost events that it once had.
    has_gone_back: bool


@dataclass(kw_only=True)
class Chunk:
    """Events that were read and not yet taken in."""

    events: list[RecordedEvent] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, event: RecordedEvent) -> None:
        """Put another one in."""
        self.events.append(event)
        self.size_bytes += len(event.data) + len(event.metadata)

    @property
    def is_full(self) -> bool:
        """Whether it should be taken in."""
        return len(self.events) >= CHUNK_EVENTS_MAX or self.size_bytes >= CHUNK_BYTES_MAX

    def take_out(self) -> list[RecordedEvent]:
        """Empty it."""
        events, self.events, self.size_bytes = self.events, [], 0
        return events


class _Finding(Enum):
    STANDS = auto()
    # Another event is there, or none any more.
    GONE = auto()
    # Truncated: it was there, but cannot be compared.
    HIDDEN = auto()


async def find_resumption(event_store: EventStore, stream: str, checkpoints: Sequence[Checkpoint]) -> Resumption:
    """Compare remembered pairs, newest first, with the stream. Raises EventStoreError."""
    if not checkpoints:
        return Resumption(None, has_gone_back=False)
    try:
        newest = await event_store.read_backward(stream, limit=1)
    except StreamNotFound:
        return Resumption(None, has_gone_back=True)
    # An empty answer: all of it is truncated, and nothing can be said.
    last = newest[0].revision if newest else checkpoints[0].revision
    has_gone_back = False
    for checkpoint in checkpoints:
        finding = _Finding.GONE if checkpoint.revision > last else await _look(event_store, stream, checkpoint)
        if finding is _Finding.STANDS:
            return Resumption(checkpoint, has_gone_back)
        if finding is _Finding.HIDDEN:
            # Whatever is older is hidden as well.
            break
        has_gone_back = True
    return Resumption(None, has_gone_back)


async def _look(event_store: EventStore, stream: str, checkpoint: Checkpoint) -> _Finding:
    try:
        events = await event_store.read_forward(stream, from_revision=checkpoint.revision, limit=1)
    except StreamNotFound:
        return _Finding.GONE
    # A truncated event is skipped silently: then a later one comes, or nothing.
    if not events or events[0].revision != checkpoint.revision:
        return _Finding.HIDDEN
    return _Finding.STANDS if events[0].event_id == checkpoint.event_id else _Finding.GONE
