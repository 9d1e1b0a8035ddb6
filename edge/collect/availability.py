"""Whether a device answers, and how long to leave it alone when it does not. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from edge.domain.backoff import Backoff

# One missed answer is noise on a line and two may be; with the third the grower wants to know.
FAILURES_BEFORE_LOST = 3
# A device that comes back is noticed within half a minute, or at its next poll where polls are rarer than that.
RETRY_S_MAX = 30.0
# Where others answer on the same wire, all silent devices together get at most this part of its time …
WIRE_SHARE_OF_SILENT = 0.1
# … unless that would leave a device unasked for longer than this.
SHARED_RETRY_S_MAX = 120.0


class Change(StrEnum):
    """What is worth an event."""

    LOST = "lost"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """What is known about a device's answers."""

    # Polls without any answer, in a row.
    failures: int = 0
    is_lost: bool = False
    # When the first of the failures in a row, or the silence, began.
    silent_since_s: float | None = None

    def after_answer(self) -> tuple["Availability", Change | None]:
        """Return what is known once the device has answered, if only with an error of its own."""
        if self.failures == 0 and not self.is_lost:
            return self, None
        return Availability(), Change.RESTORED if self.is_lost else None

    def after_failure(self, now_s: float) -> tuple["Availability", Change | None]:
        """Return what is known after one more poll that nothing answered."""
        failures = self.failures + 1
        is_lost = self.is_lost or failures >= FAILURES_BEFORE_LOST
        since_s = now_s if self.silent_since_s is None else self.silent_since_s
        following = Availability(failures=failures, is_lost=is_lost, silent_since_s=since_s)
        return following, Change.LOST if is_lost and not self.is_lost else None

    def after_silence(self, heard_s: float) -> tuple["Availability", Change | None]:
        """Return what is known of a pushing device that said nothing for too long, or said that it leaves."""
        if self.is_lost:
            return self, None
        return replace(self, is_lost=True, silent_since_s=heard_s), Change.LOST


def is_silent(*, heard_s: float, max_silence_s: float, now_s: float) -> bool:
    """Whether a pushing device has said nothing for too long."""
    return now_s - heard_s >= max_silence_s


def retry_s(
    failures: int, *, interval_s: float, poll_took_s: float, silent_others: int | None, chance: Callable[[], float]
) -> float:
    """Return how long to leave a device alone after that many polls in a row that failed.

    `silent_others` counts the other devices of the wire that do not answer, None if no device answers: then no device
    waits for the wire and there is nothing to share. The caller polls at the next moment of the device's grid after
    this wait, hence never more often than its interval.
    """
    longest_s = max(interval_s, RETRY_S_MAX)
    # The first step stays below the interval: one failure skips no poll, and a loss is noticed soon.
    wait_s = Backoff(first_s=interval_s / 2, longest_s=longest_s).delay_s(failures, chance)
    if silent_others is None:
        return wait_s
    share_s = poll_took_s * (1 / WIRE_SHARE_OF_SILENT - 1) * (1 + silent_others)
    return max(wait_s, min(share_s, SHARED_RETRY_S_MAX))
