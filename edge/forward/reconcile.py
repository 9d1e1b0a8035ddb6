"""What events read back tell of a stream: whether it is still the one we knew, and what of ours landed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from edge.domain.event import RecordedEvent
from edge.domain.event_store import NO_STREAM
from edge.forward.origin import Kinship, Origin


class Standing(Enum):
    """Whether the stream still holds what was acknowledged."""

    HOLDS = auto()
    # Nothing at or after the acknowledged revision is visible: truncated, or the stream is shorter.
    UNSEEN = auto()
    # The store was restored to an older state, or replaced.
    WENT_BACK = auto()


def standing(acked: int, acked_event_id: UUID | None, page: Sequence[RecordedEvent]) -> Standing:
    """Judge by the first page from the acknowledged revision (included) on."""
    if acked == NO_STREAM:
        return Standing.HOLDS
    if not page:
        return Standing.UNSEEN
    first = page[0]
    # A first visible event beyond the acknowledged one: that was truncated, which is no restoration.
    if first.revision > acked or acked_event_id is None or first.event_id == acked_event_id:
        return Standing.HOLDS
    return Standing.WENT_BACK


def standing_at_end(acked: int, acked_event_id: UUID | None, tail: Sequence[RecordedEvent]) -> Standing:
    """Judge by the stream's last visible event; none = all of it is truncated.

    UNSEEN: the stream has grown between the two reads, so that what was read first tells nothing: read both again.
    """
    if not tail:
        return Standing.HOLDS
    if tail[0].revision > acked:
        return Standing.UNSEEN
    return standing(acked, acked_event_id, tail) if tail[0].revision == acked else Standing.WENT_BACK


@dataclass(kw_only=True)
class Landed:
    """What stands in the stream after the acknowledged revision, gathered event by event."""

    revision: int
    event_id: UUID | None
    # The newest entry of ours among them; 0 = none.
    position: int = 0
    count: int = 0
    # The first event of somebody else, and the first of our gateway id that this file does not know.
    foreign: RecordedEvent | None = None
    estranged: tuple[RecordedEvent, Origin] | None = None

    def add(self, event: RecordedEvent, origin: Origin) -> None:
        """Take in the next event."""
        self.revision, self.event_id = event.revision, event.event_id
        if origin.kinship is Kinship.OURS and origin.position is not None:
            self.position = max(self.position, origin.position)
            self.count += 1
        elif origin.kinship is Kinship.ESTRANGED:
            self.estranged = self.estranged or (event, origin)
        else:
            self.foreign = self.foreign or event
