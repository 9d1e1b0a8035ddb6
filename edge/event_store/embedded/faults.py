"""Faults between a client and the store, on request: for tests only."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias

import grpc

from edge.domain.event_store import Right

if TYPE_CHECKING:
    from google.protobuf.message import Message


class Refusal(Exception):  # noqa: N818 - ends a call, is not an error of ours
    """End the call with this gRPC status."""

    def __init__(self, code: grpc.StatusCode, details: str, *trailers: tuple[str, str]) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.trailers = trailers


class Stage(Enum):
    """Where an append is hit."""

    BEFORE_COMMIT = auto()
    AFTER_COMMIT = auto()


@dataclass(frozen=True, slots=True)
class EndCall:
    """The call ends with this status."""

    code: grpc.StatusCode
    details: str = "a fault was asked for"
    trailers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing is answered until the client gives up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The append is answered with this error message (the `details` of its status)."""

    details: "Message"


@dataclass(frozen=True, slots=True)
class Delay:
    """The append goes on, later."""

    seconds: float


Effect: TypeAlias = EndCall | Silence | Answer | Delay


@dataclass(frozen=True, slots=True)
class AppendFault:
    """The fault of one append."""

    stage: Stage
    effect: Effect


LOST_REQUEST = AppendFault(Stage.BEFORE_COMMIT, EndCall(grpc.StatusCode.UNAVAILABLE))
LOST_ANSWER = AppendFault(Stage.AFTER_COMMIT, EndCall(grpc.StatusCode.UNAVAILABLE))
SILENCE_BEFORE_COMMIT = AppendFault(Stage.BEFORE_COMMIT, Silence())
SILENCE_AFTER_COMMIT = AppendFault(Stage.AFTER_COMMIT, Silence())


@dataclass(slots=True)
class Faults:
    """The faults in force. Default: none."""

    # Of the next appends, in order; None lets one pass.
    appends: deque[AppendFault | None] = field(default_factory=deque)
    # Of the next reads and subscriptions.
    reads: deque[EndCall | None] = field(default_factory=deque)
    # Every call ends with UNAVAILABLE, running subscriptions too (once the log wakes them).
    unavailable: bool = False
    # Rights on streams that no caller has. `$all` may be named.
    denied: set[tuple[str, Right]] = field(default_factory=set)
    # How many appends came, those a fault met included.
    appends_seen: int = 0

    def check_available(self) -> None:
        """Raise if the store is to be unavailable."""
        if self.unavailable:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "Server Is Shutting Down", ("exception", "server-shutting-down"))

    def check_right(self, stream: str, right: Right) -> None:
        """Raise where the caller may not do that with the stream."""
        if (stream, right) in self.denied:
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "Access Denied")

    def next_append(self) -> AppendFault | None:
        """Take the fault of the append that came now."""
        self.appends_seen += 1
        self.check_available()
        return self.appends.popleft() if self.appends else None

    def check_read(self) -> None:
        """Take the fault of the read that came now, if there is one."""
        self.check_available()
        fault = self.reads.popleft() if self.reads else None
        if fault is not None:
            raise Refusal(fault.code, fault.details, *fault.trailers)


async def suffer(fault: AppendFault | None, stage: Stage) -> "Message | None":
    """Let a fault happen if this is its stage. Returns the message to answer with instead, if it gives one."""
    if fault is None or fault.stage is not stage:
        return None
    match fault.effect:
        case EndCall(code=code, details=details, trailers=trailers):
            raise Refusal(code, details, *trailers)
        case Silence():
            await asyncio.Event().wait()
        case Delay(seconds=seconds):
            await asyncio.sleep(seconds)
        case Answer(details=message):
            return message
    return None
