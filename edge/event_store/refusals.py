"""From a failed call to one of our errors. Pure: knows the client library's errors by name only.

The table is section 1 of facts/event-store.md, "What the client raises".
"""

import re
from dataclasses import dataclass

from edge.domain.event_store import (
    NO_STREAM,
    AccessRefused,
    AppendTooLarge,
    CredentialRefused,
    EventStoreError,
    EventStoreUnavailable,
    OutcomeUnknown,
    RequestRefused,
    Right,
    StreamDeleted,
    StreamNotFound,
    WrongExpectedRevision,
)

_LAST_REVISION = re.compile(r"last event is (\d+) not ")
_NO_SUCH_STREAM = re.compile(r"^Stream .* does not exist$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailure:
    """What the library said."""

    # The name of its exception's class.
    kind: str
    # The gRPC status, where there is one: "UNAVAILABLE".
    code: str | None = None
    # The type of the error message the server answered with, where the library does not know it: "…Exceeded", or "".
    detail_type: str | None = None
    reason: str = ""

    @property
    def is_not_ready(self) -> bool:
        """Whether the server said "Server Is Not Ready" or "Server Is Busy": it did not even try."""
        return (self.detail_type or "").endswith("Empty")

    def __str__(self) -> str:
        parts = [part for part in (self.code, self.detail_type, self.reason) if part]
        return ": ".join([self.kind, *parts])


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user and the stream of a call: the server's refusal of a right names neither."""

    # None where the gateway has no credential.
    user: str | None
    stream: str


def append_error(failure: CallFailure, caller: Caller, *, attempts: int) -> EventStoreError:
    """Say what became of an append. `attempts` is how often the library sent it (it repeats by itself)."""
    certain = _certain_append_error(failure, caller)
    if certain is not None:
        return certain
    # An answer to the only attempt is certain. Of several, an earlier one may have been written all the same.
    if attempts == 0 or (attempts == 1 and _was_turned_away(failure)):
        return EventStoreUnavailable(str(failure))
    return OutcomeUnknown(str(failure))


def _certain_append_error(failure: CallFailure, caller: Caller) -> EventStoreError | None:
    match failure:
        case CallFailure(kind="WrongCurrentVersion"):
            return WrongExpectedRevision(failure.reason, actual=actual_revision(failure.reason))
        case CallFailure(kind="StreamIsDeleted"):
            return StreamDeleted(str(failure))
        case CallFailure(kind="MaximumAppendSizeExceededError") | CallFailure(code="RESOURCE_EXHAUSTED") if (
            failure.code is None or "message" in failure.reason.lower()
        ):
            return AppendTooLarge(str(failure))
        # 24.10 and later; esdbclient 1.1.7 does not know the message.
        case CallFailure(detail_type=detail) if detail and detail.endswith("SizeExceeded"):
            return AppendTooLarge(str(failure))
        case CallFailure(kind="BadRequestError" | "InvalidTransactionError") | CallFailure(code="INVALID_ARGUMENT"):
            return RequestRefused(str(failure))
        case _:
            return _access_error(failure, caller, Right.APPEND)


def _was_turned_away(failure: CallFailure) -> bool:
    """Whether the server said that it did not even try."""
    return failure.kind == "NodeIsNotLeader" or failure.is_not_ready


def read_error(failure: CallFailure, caller: Caller) -> EventStoreError:
    """Say why a read or a subscription failed."""
    match failure:
        case CallFailure(kind="NotFound"):
            return StreamNotFound(str(failure))
        case CallFailure(kind="StreamIsDeleted"):
            return StreamDeleted(str(failure))
        case _:
            return _access_error(failure, caller, Right.READ) or EventStoreUnavailable(str(failure))


def _access_error(failure: CallFailure, caller: Caller, right: Right) -> EventStoreError | None:
    if failure.code == "UNAUTHENTICATED":
        # The server does not tell which.
        user = "a caller without a user" if caller.user is None else f"{caller.user}: wrong password, or no such user"
        return CredentialRefused(f"the event store does not let in {user}")
    if failure.kind == "AccessDeniedError" or failure.code == "PERMISSION_DENIED":
        return AccessRefused(stream=caller.stream, right=right, user=caller.user)
    return None


def actual_revision(text: str) -> int | None:
    """Read the stream's last revision out of the library's text, the only place it stands."""
    if _NO_SUCH_STREAM.match(text):
        return NO_STREAM
    found = _LAST_REVISION.search(text)
    return None if found is None else int(found[1])
