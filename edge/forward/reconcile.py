"""Judges events that were read back: is the stream the known one, which are ours, what of ours has landed. Pure."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

from edge.domain.event import RecordedEvent
from edge.domain.event_store import NO_STREAM
from edge.storage.cursors import Span

# What SQLite can hold as an integer, and so the last position or sequence that a file could ever give.
NUMBER_MAX = 2**63 - 1


class Standing(Enum):
    """Whether the stream still holds what was acknowledged."""

    HOLDS = auto()
    # Nothing at or after the acknowledged revision is visible: truncated, or the stream is shorter.
    UNSEEN = auto()
    # The store was restored to an older state, or replaced.
    WENT_BACK = auto()


def standing(acked: int, acked_event_id: UUID | None, page: Sequence[RecordedEvent]) -> Standing:
    """Judge by the first page from the acknowledged revision (included) on."""
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


# The newest, the oldest, and between them some that lie about twice as far back each time: 8 span hundreds of events.
MARKS_MAX = 8


class Mark(NamedTuple):
    """An acknowledged event."""

    revision: int
    event_id: UUID


class Marks:
    """Some of a stream's acknowledged events, oldest first.

    A store that was restored and then grew to exactly the acknowledged revision takes our next append. From then on the
    newest acknowledged event stands, and older ones do not: the marks tell. The first one was compared; of the rest
    those go first that stand close together for their age, since what a restore loses reaches back further than the
    moment of the restore.
    """

    def __init__(self) -> None:
        self._marks: list[Mark] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing was acknowledged in this run."""
        return not self._marks

    def note(self, mark: Mark) -> None:
        """Add the newest acknowledged event."""
        marks = self._marks
        marks.append(mark)
        if len(marks) > MARKS_MAX:
            ages = [mark.revision + 1 - older.revision for older in marks]
            del marks[min(range(1, MARKS_MAX), key=lambda index: ages[index - 1] / ages[index + 1])]

    def begin(self, mark: Mark | None) -> None:
        """Begin again: what was acknowledged up to this event was just compared, or there is none."""
        self._marks = [] if mark is None else [mark]

    def before(self, revision: int) -> list[Mark]:
        """Return the marks below a revision, oldest first."""
        return [mark for mark in self._marks if mark.revision < revision]


class Kinship(Enum):
    """How an event in one of our streams relates to this database."""

    # This file gave it its position.
    OURS = auto()
    # Our gateway id, but a run or position this file does not know: it was restored, lost its tail, or has a clone.
    UNKNOWN_RUN = auto()
    # Another writer's event in our stream.
    FOREIGN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """An event's kinship; run and position where it carries them."""

    kinship: Kinship
    run: UUID | None = None
    position: int | None = None


def origin_of(event: RecordedEvent, *, gateway_id: str, is_known: Callable[[UUID, int], bool]) -> Origin:
    """Return the origin of an event. One that cannot be read is foreign."""
    metadata = _object(event.metadata)
    run, position = _run(metadata.get("run")), _number(metadata.get("position"))
    if run is None or position is None or _object(event.data).get("gatewayId") != gateway_id:
        return Origin(kinship=Kinship.FOREIGN)
    kinship = Kinship.OURS if is_known(run, position) else Kinship.UNKNOWN_RUN
    return Origin(kinship=kinship, run=run, position=position)


@dataclass(kw_only=True)
class Remains:
    """What a stream that went back still holds of ours."""

    # The stream's last event; None = there is none.
    tail: RecordedEvent | None = None
    # The newest event of the part that did not change, and its position: what comes after it is to be sent again, …
    known: RecordedEvent | None = None
    position: int = 0
    # … except entries that stand above it nevertheless: revision -> position.
    above: dict[int, int] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """The revision up to which nothing changed."""
        return NO_STREAM if self.known is None else self.known.revision

    def landed(self, before: Iterable[Span]) -> list[Span]:
        """Return what must not be sent again; `before`: what the cursor knew of that, from earlier restores."""
        # The log is one order: what stood below an event that stands, stands.
        found = [span for span in before if span.revision < self.found]
        last_revision = NO_STREAM
        for revision, position in sorted(self.above.items()):
            # Appends are exact: between two entries of ours that stand in a row, none is missing.
            if found and revision == last_revision + 1 and position > found[-1].last:
                found[-1] = found[-1]._replace(last=position)
            else:
                found.append(Span(position, position, revision))
            last_revision = revision
        return found


@dataclass(kw_only=True)
class Landed:
    """What stands in the stream after the acknowledged revision, gathered event by event."""

    revision: int
    event_id: UUID | None
    # The newest entry of ours among them; 0 = none.
    position: int = 0
    count: int = 0
    # The first foreign event, and the first of our gateway id from a run or position that this database does not know.
    foreign: RecordedEvent | None = None
    of_unknown_run: tuple[RecordedEvent, Origin] | None = None

    def add(self, event: RecordedEvent, origin: Origin) -> None:
        """Take in the next event."""
        self.revision, self.event_id = event.revision, event.event_id
        if origin.kinship is Kinship.OURS and origin.position is not None:
            self.position = max(self.position, origin.position)
            self.count += 1
        elif origin.kinship is Kinship.UNKNOWN_RUN:
            self.of_unknown_run = self.of_unknown_run or (event, origin)
        else:
            self.foreign = self.foreign or event


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an event that is set aside tells of itself."""

    run: UUID | None
    device_id: str | None
    sequence: int | None


def facts_of(data: bytes, metadata: bytes) -> Facts:
    """Read an event of our own."""
    body = _object(data)
    return Facts(
        run=_run(_object(metadata).get("run")),
        device_id=_text(body.get("deviceId")),
        sequence=_number(body.get("sequence")),
    )


def _object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _run(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _number(value: object) -> int | None:
    """Return a position or sequence as this file gives them: from 1 on."""
    # JSON's `true` would pass for the integer 1.
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 < value <= NUMBER_MAX else None


def _text(value: object) -> str | None:
    # JSON can escape half a character, which could not be written again.
    if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
        return None
    return value
