"""Notices a driver's call that does not return.

Such a call is never cancelled: half a request on a line does more harm than a late answer, and what hangs in a kernel
could not be cancelled anyway. A person is told, and told again when it returns.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from edge.collect.connection import DriverCall, Outcomes
from edge.collect.device import DeviceState
from edge.collect.guard import DriverFault, GuardedCall
from edge.domain.clock import Clock
from edge.domain.driver import Driver, DriverError

# A call may keep every device of the connection from being asked for this many poll intervals of the fastest one …
INTERVALS_MAX = 3
# … and at least for this long: the time-outs of a driver add up.
STALLED_S_MIN = 30.0
# At a stop a driver may take so long to end its call and to close: the whole stop has five seconds, two of them for a
# disk that takes nothing. A broker is given one to read our good-bye …
ENDING_S = 2.0
# … and then whatever the driver still waits for is cut off, one wait after the other.
CUT_OFF_S = 0.2

_log = structlog.get_logger(__name__)


class CallWatch:
    """Watches the calls of one connection's driver; there is one at a time."""

    def __init__(self, devices: Mapping[str, DeviceState], outcomes: Outcomes, clock: Clock) -> None:
        self._devices = devices
        self._outcomes = outcomes
        self._clock = clock
        # The call under way, and whether it was told that it does not return.
        self._call: DriverCall | None = None
        self._is_told = False

    def call(self, name: str, *, device_id: str | None = None) -> "WatchedCall":
        """Make a call of the driver, as `driver_call` does, and watch it until it returns."""
        return WatchedCall(self, DriverCall(name, device_id, self._clock.monotonic_s()))

    def began(self, call: DriverCall) -> None:
        """Note that a call is under way."""
        self._call = call

    def ended(self, call: DriverCall, *, has_returned: bool) -> None:
        """Note that a call is over, and whether by itself."""
        self._call = None
        self._is_told = False
        if has_returned:
            self._outcomes.returned(call, self._clock.monotonic_s())

    async def run(self) -> None:
        """Tell of each call that does not return, once."""
        while True:
            wait_s = self._look(self._clock.monotonic_s())
            await asyncio.sleep(wait_s)

    def _look(self, now_s: float) -> float:
        """Tell of the call under way if it takes too long. Returns the seconds until the next look."""
        # No call that begins after this look is due before the next one: nothing has to wake this task for it.
        if self._call is None:
            return STALLED_S_MIN
        left_s = self._call.began_s + self._limit_s() - now_s
        if not self._is_told and left_s > 0:
            return min(left_s, STALLED_S_MIN)
        if not self._is_told:
            self._is_told = True
            self._outcomes.stalled(self._call, now_s)
        # The owner task, which else does this, waits for the call.
        self._outcomes.catch_up(now_s)
        catch_up_s = self._outcomes.catch_up_s
        return STALLED_S_MIN if catch_up_s is None else catch_up_s

    def _limit_s(self) -> float:
        polled = [state for state in self._devices.values() if state.is_enabled and state.settings.is_polled]
        shortest_s = min((state.interval_s for state in polled), default=0.0)
        return max(INTERVALS_MAX * shortest_s, STALLED_S_MIN)


class WatchedCall(GuardedCall):
    """A guarded call that is watched until it returns."""

    __slots__ = ("_call", "_watch")

    def __init__(self, watch: CallWatch, call: DriverCall) -> None:
        super().__init__()
        self._watch = watch
        self._call = call

    def __enter__(self) -> None:
        self._watch.began(self._call)

    def outcome(self, error: BaseException | None) -> BaseException | None:
        """Return what is to be raised, as for any guarded call."""
        outcome = super().outcome(error)
        # At a stop of the gateway it is not known whether the call would have returned, so its alarm stays.
        self._watch.ended(self._call, has_returned=not isinstance(outcome, asyncio.CancelledError))
        return outcome


@asynccontextmanager
async def opened(driver: Driver, watch: CallWatch) -> AsyncIterator[None]:
    """Keep a driver's transport open. What goes wrong while closing is logged; the next `open` starts afresh."""
    with watch.call("open"):
        transport = driver.open()
        await transport.__aenter__()
    try:
        yield
    finally:
        try:
            with watch.call("close"):
                await transport.__aexit__(*sys.exc_info())
        except (DriverError, DriverFault):
            _log.warning("connection_close_failed", exc_info=True)


async def until_cancelled_inside(work: Callable[[], Coroutine[None, None, None]], connection_id: str) -> DriverFault:
    """Do work that never returns, in a task of its own; return once a driver has cancelled that task.

    A library's time-out may: one written before Python 3.11 cancels its caller and never takes that back, and for
    `driver_call` it then looks like the stop. The stop itself comes from outside, and ends this call as well, even if
    the driver would never end by itself.
    """
    task = asyncio.ensure_future(work())
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await _end(task, connection_id)
        raise
    if not task.cancelled():
        task.result()
        raise AssertionError("the work never returns")
    return DriverFault("the driver cancelled the task that called it")


async def _end(task: asyncio.Task[None], connection_id: str) -> None:
    """Cancel a task, again and again if what it waits for while it ends takes too long. Raises what the task raised."""
    patience_s = ENDING_S
    while not task.done():
        task.cancel()
        await _wait(task, patience_s)
        if not task.done() and patience_s == ENDING_S:
            _log.warning("driver_cut_off", connection_id=connection_id, after_s=ENDING_S)
        patience_s = CUT_OFF_S
    if not task.cancelled():
        task.result()


async def _wait(task: asyncio.Task[None], timeout_s: float) -> None:
    """Wait for a task, also while this one is cancelled again: the task would be left behind, and hold the wire.

    That happens when the gateway stops while a connection is being stopped.
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + timeout_s
    while not task.done() and (left_s := end_s - loop.time()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left_s)
