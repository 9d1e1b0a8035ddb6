"""One stream of the fake event store, what can befall an append to it, and the strong half of the append rule."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from edge.domain.event import NewEvent, RecordedEvent
from edge.domain.event_store import NO_STREAM, WrongExpectedRevision


class Weak(Enum):
    """Expected revisions that name no number. The gateway never uses them; teeth tests do."""

    ANY = auto()
    EXISTS = auto()


class NeverAnswered(Exception):  # noqa: N818 - what becomes of a weak append of known events in another order
    """The server says nothing, until the client gives up."""


class Fault(Enum):
    """What happens to one append."""

    # The request never arrives: OutcomeUnknown, nothing written.
    LOST_REQUEST = auto()
    # Written, but the answer is lost: OutcomeUnknown.
    LOST_ANSWER = auto()
    # OutcomeUnknown now; the append waits in `delayed` until the test lets it land (and is then judged by the rule).
    DELAYED = auto()
    # Refused before it left: EventStoreUnavailable.
    UNAVAILABLE = auto()


@dataclass(slots=True)
class StreamState:
    """One stream as the server keeps it; an event's index is its revision."""

    events: list[RecordedEvent] = field(default_factory=list)
    # Where each of them stands in the order of the whole store.
    positions: list[int] = field(default_factory=list)
    truncated_before: int = 0
    soft_deleted: bool = False
    tombstoned: bool = False

    @property
    def last(self) -> int:
        return len(self.events) - 1

    def revive(self) -> None:
        """Take an append after a soft deletion; one without events does it as well."""
        if self.soft_deleted:
            self.soft_deleted, self.truncated_before = False, self.last + 1


@dataclass(slots=True)
class ReadCount:
    """How often a stream was read, and how many events that gave."""

    calls: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class DelayedAppend:
    """An append that the client has given up and the server has not seen yet."""

    stream: str
    events: tuple[NewEvent, ...]
    expected: int | Weak


def known_strongly(state: StreamState, events: Sequence[NewEvent], expected: int) -> bool:
    """Whether exactly these events stand after the expected revision; raises where the server refuses."""
    if expected == state.last:
        return False
    after = state.events[expected + 1 : expected + 1 + len(events)] if expected < state.last else []
    same = [old.event_id == new.event_id for old, new in zip(after, events, strict=False)]
    if len(same) == len(events) > 0 and all(same):
        return True
    if expected == NO_STREAM and state.soft_deleted and not (same and same[0]):
        return False
    raise WrongExpectedRevision(f"the last revision is {state.last}, not {expected}", actual=state.last)
