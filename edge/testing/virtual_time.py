"""An event loop on which waiting takes no time: when all tasks wait, the clock jumps to the next timer. Public API.

A time-out of ten minutes is then tested in a millisecond. A test is the same each time as long as only timers and the
program itself wake a task: no threads, no sockets.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from edge.domain.clock import ClockState

T = TypeVar("T")

# 2026-11-23T10:00:00Z: any start does, as long as it is the same each time.
START_UNIX_MS = 1_795_428_000_000


class NothingLeftToHappen(AssertionError):  # noqa: N818 - a deadlock of the program under test
    """All tasks wait, and no timer is set."""


class _JumpingSelector(selectors.BaseSelector):
    """Looks at the loop's own pipe, but instead of waiting moves the clock."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now_s = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Register a file; the loop's own pipe is the only one."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Forget a file."""
        return self._real.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, move the clock to the end of the time-out."""
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise NothingLeftToHappen
        self.now_s += timeout
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return the registered files."""
        return self._real.get_map()

    def close(self) -> None:
        """Close the selector that looks."""
        self._real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop; its time starts at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jumping.now_s


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end on a new virtual-time loop."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


class VirtualClock:
    """The gateway's clock, on the time of the loop that runs when it is made."""

    def __init__(self, state: ClockState = ClockState.SYNCHRONIZED, *, error_ms: int = 0) -> None:
        self.clock_state = state
        # How far its wall time is beside the truth.
        self.error_ms = error_ms
        self._loop = asyncio.get_running_loop()

    def monotonic_s(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def unix_ms(self) -> int:
        """The start's time, the loop's, and the error."""
        return START_UNIX_MS + self.error_ms + round(self.monotonic_s() * 1000)

    def uptime_ms(self) -> int:
        """A minute at the start."""
        return 60_000 + round(self.monotonic_s() * 1000)

    def state(self) -> ClockState:
        """As it was made, or set since."""
        return self.clock_state
