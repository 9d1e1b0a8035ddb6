"""Time as the gateway knows it. Order never rests on wall time (DESIGN section 7)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class ClockState(StrEnum):
    """Whether wall time can be trusted at the moment: the kernel says that it follows a reference."""

    SYNCHRONIZED = "synchronized"
    UNSYNCHRONIZED = "unsynchronized"


class Clock(Protocol):
    """Where time comes from; the tests bring their own."""

    def unix_ms(self) -> int:
        """Wall time in milliseconds since 1970, right or wrong."""

    def uptime_ms(self) -> int:
        """Milliseconds since the machine booted, suspended time included. Never set back."""

    def monotonic_s(self) -> float:
        """Seconds on the clock that scheduling uses (the event loop's)."""

    def state(self) -> ClockState:
        """Whether `unix_ms` can be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One moment on every clock there was, so that a later run, or a later boot of the machine, can measure from it."""

    unix_ms: int
    uptime_ms: int
    boot_id: UUID
    clock: ClockState

    def seconds_until(self, later: "Moment") -> float | None:
        """Return how long after this one another moment was.

        None if no clock tells: the machine was booted in between, and its wall time could not be trusted at one of the
        two moments.
        """
        if later.boot_id == self.boot_id:
            return max(0.0, (later.uptime_ms - self.uptime_ms) / 1000)
        if ClockState.UNSYNCHRONIZED in {self.clock, later.clock}:
            return None
        return max(0.0, (later.unix_ms - self.unix_ms) / 1000)


# RFC 3339 with an offset, in capitals and without leap seconds: what every reader of such times takes.
OFFSET_TIME_PATTERN = r"^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"
_OFFSET_TIME = re.compile(OFFSET_TIME_PATTERN, re.ASCII)


def rfc3339(unix_ms: int) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds."""
    instant = datetime.fromtimestamp(unix_ms // 1000, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{unix_ms % 1000:03d}Z"


def unix_ms_of(text: str) -> int:
    """Read an RFC 3339 time that names its offset.

    Raises ValueError for anything else, a time without offset included: whose clock would it be?
    """
    if _OFFSET_TIME.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no time such as 2026-11-24T00:00:00+01:00")
    instant = datetime.fromisoformat(text)
    # Integer arithmetic: a float of seconds would round the millisecond.
    delta = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
