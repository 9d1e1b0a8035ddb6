"""The server's decision on an append. Pure; follows `IndexWriter.CheckCommit` (facts/event-store.md, section 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

# The revision a stream without events is said to have.
NO_STREAM = -1
# What stands before a stream's name makes the name of its metadata stream.
METADATA_PREFIX = "$$"
# `$tb` of a softly deleted stream, and the revision of a tombstone (EventNumber.DeletedStream).
SOFT_DELETED = TOMBSTONE_REVISION = 2**63 - 1


class Weak(Enum):
    """Expected revisions that name no number: repeated events are only recognised while they are recent."""

    ANY = auto()
    EXISTS = auto()


Expected: TypeAlias = int | Weak


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """All that appends and reads need to know of a stream."""

    number: int
    name: str
    last_revision: int = NO_STREAM
    tombstoned: bool = False
    # Events before this revision are hidden; the stream's last revision stays.
    truncate_before: int = 0
    max_count: int | None = None
    max_age_s: int | None = None

    @property
    def is_softly_deleted(self) -> bool:
        """Whether reads say "not found" although events exist."""
        return self.truncate_before == SOFT_DELETED

    @property
    def first_visible(self) -> int:
        """The first revision that reads may show."""
        # The server keeps one event in each metadata stream, whatever else is asked for.
        max_count = 1 if self.name.startswith(METADATA_PREFIX) else self.max_count
        kept = 0 if max_count is None else self.last_revision + 1 - max_count
        return max(0, self.truncate_before, kept)


@dataclass(frozen=True, slots=True)
class Write:
    """The events are new and may be written."""


@dataclass(frozen=True, slots=True)
class AlreadyWritten:
    """Exactly these events stand there; `last_revision` is the last of them.

    `position` is known as long as the weak cache holds the last event: not after a restart.
    """

    last_revision: int
    position: int | None = None


@dataclass(frozen=True, slots=True)
class WrongRevision:
    """The stream is elsewhere, or the events are only partly those that stand there."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The stream takes no events."""


@dataclass(frozen=True, slots=True)
class NeverAnswered:
    """All events are known, in another order: a server was seen to say nothing, until the client gave up."""


Decision: TypeAlias = Write | AlreadyWritten | WrongRevision | Deleted | NeverAnswered


def check_append(
    head: Head,
    ids: Sequence[str],
    expected: Expected,
    *,
    ids_after: Sequence[str],
    recent: Mapping[str, tuple[str, int, int]],
    has_metadata: bool = False,
) -> Decision:
    """Decide about an append of events with these ids.

    `ids_after` are the ids that stand after the expected revision, as many as are appended or as there are;
    `recent` is the weak cache: id -> (the first stream that used it, revision, position).
    A stream that `has_metadata` exists, even if it has no event.
    """
    if head.tombstoned or (expected is Weak.EXISTS and head.is_softly_deleted):
        return Deleted()
    if isinstance(expected, Weak):
        exists = has_metadata or head.last_revision != NO_STREAM
        return _check_weakly(head, ids, recent) if expected is Weak.ANY or exists else WrongRevision()
    if expected > head.last_revision:
        return WrongRevision()
    if expected == head.last_revision:
        return Write()
    return _check_strongly(head, ids, expected, ids_after, recent)


def _check_weakly(head: Head, ids: Sequence[str], recent: Mapping[str, tuple[str, int, int]]) -> Decision:
    revisions: list[int] = []
    position = 0
    for event_id in ids:
        stream, revision, position = recent.get(event_id, (None, NO_STREAM, 0))
        if stream != head.name:
            return WrongRevision() if revisions else Write()
        revisions.append(revision)
    if revisions != sorted(revisions):
        return NeverAnswered()
    return AlreadyWritten(revisions[-1], position) if revisions else Write()


def _check_strongly(
    head: Head,
    ids: Sequence[str],
    expected: int,
    ids_after: Sequence[str],
    recent: Mapping[str, tuple[str, int, int]],
) -> Decision:
    matching = 0
    for event_id, known_id in zip(ids, ids_after, strict=False):
        if event_id != known_id:
            break
        matching += 1
    if ids and matching == len(ids):
        last_revision = expected + len(ids)
        stream, revision, position = recent.get(ids[-1], (None, NO_STREAM, 0))
        return AlreadyWritten(last_revision, position if (stream, revision) == (head.name, last_revision) else None)
    if matching == 0 and expected == NO_STREAM and head.is_softly_deleted:
        return Write()
    return WrongRevision()
