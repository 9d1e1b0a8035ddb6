"""The event store as the gateway sees it, and what can be wrong with it, named by remedy."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from edge.domain.event import NewEvent, RecordedEvent

# "Revision" of a stream that does not exist: appending to it expects this, and its first event has revision 0.
NO_STREAM = -1


class EventStoreError(Exception):
    """A call did not succeed. The subclass names the remedy."""


class EventStoreUnavailable(EventStoreError):  # noqa: N818 - the vocabulary's words
    """Not reached, not ready, not leader, or the call certainly had no effect. Remedy: back off and try again."""


class OutcomeUnknown(EventStoreError):  # noqa: N818
    """The append may or may not have happened. Remedy: read the stream back (reconcile)."""


class WrongExpectedRevision(EventStoreError):  # noqa: N818
    """The stream is not where the append expected it. Nothing was written. Remedy: reconcile.

    `actual` is the stream's last revision, NO_STREAM, or None where the server did not say.
    """

    def __init__(self, message: str, *, actual: int | None) -> None:
        super().__init__(message)
        self.actual = actual


class StreamNotFound(EventStoreError):  # noqa: N818
    """The stream has never had an event, or was deleted softly. Remedy: expect NO_STREAM, or find out why."""


class StreamDeleted(EventStoreError):  # noqa: N818
    """The stream has a tombstone and never takes events again. Remedy: an operator decides; the stream is parked."""


class AppendTooLarge(EventStoreError):  # noqa: N818
    """More than the server takes in one append. Remedy: split; a single event goes to quarantine."""


class RequestRefused(EventStoreError):  # noqa: N818
    """The server calls the request itself wrong. Remedy: split to find the event; quarantine it if others pass."""


class CredentialRefused(EventStoreError):  # noqa: N818
    """User or password is wrong, or the user is disabled. Remedy: a person; until then try slowly, drop nothing."""


class Right(StrEnum):
    """What a user may do with one stream."""

    READ = "read"
    APPEND = "append to"


class AccessRefused(EventStoreError):  # noqa: N818
    """The user lacks a right on one stream. Remedy: a person gives it; meanwhile that stream waits alone.

    `user` is None where the gateway has no credential.
    """

    def __init__(self, *, stream: str, right: Right, user: str | None) -> None:
        super().__init__(f"{user or 'a caller without a user'} may not {right} {stream}")
        self.stream = stream
        self.right = right
        self.user = user


class EventStoreMisconfigured(EventStoreError):  # noqa: N818
    """The URI, credential or certificate cannot be used; raised when the store is opened. Remedy: a person."""


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The subscription has delivered everything there was; what follows is live."""


class EventStore(Protocol):
    """The few operations the gateway needs. Every one is bounded in time and raises only EventStoreError."""

    async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> int | None:
        """Append atomically after exactly this revision (NO_STREAM = the stream must not exist).

        Returns when the events stand at expected_revision + 1 and on, whether written now or by an earlier try: the
        last event's commit position, its place in the one order of the whole store; None where the server does not
        tell, as after an earlier try. An earlier try's position may be lower than those of appends that were answered
        since. Raises WrongExpectedRevision, OutcomeUnknown, EventStoreUnavailable, StreamDeleted, AppendTooLarge,
        RequestRefused, AccessRefused, CredentialRefused.
        """

    async def read_forward(self, stream: str, *, from_revision: int, limit: int) -> list[RecordedEvent]:
        """Read up to `limit` events, from `from_revision` (included) on. Truncated events are skipped silently.

        Raises StreamNotFound, StreamDeleted, EventStoreUnavailable, AccessRefused, CredentialRefused.
        """

    async def read_backward(self, stream: str, *, limit: int, from_revision: int | None = None) -> list[RecordedEvent]:
        """Read up to `limit` events backward from `from_revision` (included), or from the end.

        An empty list: the stream exists, but all its events are truncated. Raises as `read_forward`.
        """

    def subscribe(
        self, stream: str, *, after_revision: int
    ) -> AbstractAsyncContextManager[AsyncIterator[RecordedEvent | CaughtUp]]:
        """Follow a stream from after this revision (NO_STREAM = from its start), which may not exist yet.

        The iterator never ends by itself: a lost subscription raises EventStoreUnavailable; StreamDeleted,
        AccessRefused and CredentialRefused are raised as such. Cancellation is never swallowed.
        """
