"""The clock of this machine, and whether the kernel says it follows a reference."""

import ctypes
import time

from edge.domain.clock import ClockState

# adjtimex(2): the return value of a clock that is not synchronized.
_TIME_ERROR = 5
# struct timex is 208 bytes on 64-bit Linux; its first field, `modes`, stays 0: only read.
_TIMEX_SIZE = 512
# The kernel is asked once a second, not once a sample: a clock needs minutes to synchronise, and hours to lose it.
_STATE_AGE_MAX_S = 1.0


class SystemClock:
    """Wall time, boot time and the kernel's own opinion of the wall time."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._state = ClockState.UNSYNCHRONIZED
        self._asked_at_s = float("-inf")

    def unix_ms(self) -> int:
        """Wall time in milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def uptime_ms(self) -> int:
        """Milliseconds since boot, suspended time included."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds on asyncio's clock."""
        return time.monotonic()

    def state(self) -> ClockState:
        """Ask the kernel (adjtimex), which NTP daemons tell. Where it cannot be asked, nothing is promised."""
        now_s = self.monotonic_s()
        if now_s - self._asked_at_s >= _STATE_AGE_MAX_S:
            outcome = self._libc.adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE))
            self._state = ClockState.UNSYNCHRONIZED if outcome in {-1, _TIME_ERROR} else ClockState.SYNCHRONIZED
            self._asked_at_s = now_s
        return self._state
