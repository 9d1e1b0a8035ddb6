"""The state of a connection: open or lost, and when it is tried again."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from edge.collect.guard import text_of
from edge.collect.wishes import Wish
from edge.domain.backoff import Backoff
from edge.domain.driver import SeenName

# A wire that was plugged in again is in use within half a minute; a host that is down is not hammered.
REOPEN = Backoff(first_s=1.0, longest_s=30.0)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverCall:
    """A call of a driver that should return by itself."""

    # As the driver has it: open, poll, close.
    name: str
    # None: it is about the connection.
    device_id: str | None
    # Seconds of the monotonic clock.
    began_s: float


class ConnectionState:
    """One connection's transport. Each change of state is logged once."""

    # Lists the names that device groups saw and did not take on.
    seen: Callable[[], Sequence[SeenName]]
    # Polls one of its devices before its time; None where devices speak by themselves.
    poll_now: Callable[[str], Awaitable[None]] | None
    # Writes what is wished at one of its devices; None where nothing can be written.
    write: Callable[[Wish, float], Awaitable[None]] | None

    def __init__(self, connection_id: str, *, has_alarm: bool = False, stalls_told: Iterable[str | None] = ()) -> None:
        self.id = connection_id
        self.is_open = False
        self.last_error: str | None = None
        # Losses since the last answer: a transport that opens and gives nothing is not a recovered one.
        self.losses = 0
        # Polls without answer since the last answer or the last opening, of whatever device.
        self.failures = 0
        # Faults of the driver in a row since the last answer or opening.
        self.faults = 0
        # An alarm is open for a fault that no single device had; raised in this run or an earlier one.
        self.has_alarm = has_alarm
        # The call of the driver that has not returned for too long: until it does, nothing is measured behind it.
        self.stalled: DriverCall | None = None
        # About which devices (None: the connection itself) an alarm says that a call does not return; raised in this run
        # or an earlier one.
        self.stalls_told = set(stalls_told)
        self.seen = tuple
        self.poll_now = None
        self.write = None

    def why_unreached(self, timeout_s: float) -> str:
        """Say why a device behind it did not have its turn in time."""
        why = "the line is busy" if self.stalled is None else f"its driver's {self.stalled.name} does not return"
        return f"was not reached within {timeout_s:g} s: {why}"

    def opened(self) -> None:
        """Note that the transport is open."""
        self.is_open = True
        self.failures = 0
        self.faults = 0
        if self.losses == 0:
            _log.info("connection_opened", connection_id=self.id)

    def answered(self) -> None:
        """Note that something came through."""
        self.failures = 0
        self.faults = 0
        if self.losses:
            _log.info("connection_restored", connection_id=self.id, attempts=self.losses)
            self.losses = 0
            self.last_error = None

    def lost(self, error: Exception, chance: Callable[[], float]) -> float:
        """Note that the transport is lost or could not be opened, and return the seconds until the next try."""
        self.is_open = False
        self.losses += 1
        self.last_error = text_of(error)
        if self.losses == 1:
            _log.warning("connection_lost", connection_id=self.id, error=self.last_error)
        return REOPEN.delay_s(self.losses, chance)
