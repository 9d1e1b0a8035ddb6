"""The owner task of a connection whose devices answer when asked: one call at a time, each device by its schedule."""

import asyncio
from collections.abc import Callable

from edge.collect.availability import FAILURES_BEFORE_LOST, retry_s
from edge.collect.connection import ConnectionState, Outcomes
from edge.collect.device import DeviceState
from edge.collect.guard import DriverFault, sample_of, text_of
from edge.collect.intake import Intake, Outcome
from edge.collect.schedule import Schedule
from edge.collect.stall import CallWatch, opened, until_cancelled_inside
from edge.collect.wishes import Wish, Wishes
from edge.domain.clock import Clock
from edge.domain.configuration import WriteFailed
from edge.domain.driver import (
    ConnectionLost,
    DriverError,
    DriverMisconfigured,
    PolledDriver,
    ValueRefused,
    WritingDriver,
)

# A driver in the process answers without ever waiting. So many polls in a row may be made before the rest of the
# gateway, the commit above all, gets its turn.
POLLS_IN_A_ROW = 16

# After these the device was told nothing.
NOTHING_SENT = (ValueRefused, DriverMisconfigured)


class Polling:
    """Polls the devices of one connection without end."""

    def __init__(
        self,
        *,
        driver: PolledDriver,
        connection: ConnectionState,
        devices: dict[str, DeviceState],
        intake: Intake,
        outcomes: Outcomes,
        watch: CallWatch,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._driver = driver
        self._connection = connection
        self._devices = devices
        self._intake = intake
        self._outcomes = outcomes
        self._watch = watch
        self._clock = clock
        self._chance = chance
        # A new configuration, or a request of a waiting caller.
        self._woken = asyncio.Event()
        self._schedule = Schedule((), start_s=0.0)
        # Polls that callers asked for and wait for, by device.
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._wishes = Wishes()

    def configured(self, state: DeviceState) -> None:
        """Learn that a device has a new configuration."""
        self._outcomes.configured(state)
        self._schedule.change(
            state.id, interval_s=state.interval_s, enabled=state.is_enabled, now_s=self._clock.monotonic_s()
        )
        self._woken.set()

    async def poll_now(self, device_id: str) -> None:
        """Poll a device before its time; returns when that was done, whatever came of it."""
        asked = self._asked.get(device_id)
        if asked is None:
            asked = self._asked[device_id] = asyncio.get_running_loop().create_future()
            self._schedule.hasten(device_id, self._clock.monotonic_s())
            self._woken.set()
        # Several callers may wait for one poll; one that gives up takes nothing from the others.
        await asyncio.shield(asked)

    async def write(self, wish: Wish, timeout_s: float) -> None:
        """Have a wish written between two polls. Raises WriteFailed."""
        why_not = self._why_not(self._devices[wish.device_id])
        if why_not is not None:
            raise WriteFailed(why_not, may_have_arrived=False)
        self._wishes.add(wish)
        self._woken.set()
        try:
            await wish.granted(timeout_s)
        except TimeoutError:
            raise WriteFailed(self._connection.why_unreached(timeout_s), may_have_arrived=wish.is_begun) from None

    def _why_not(self, state: DeviceState) -> str | None:
        """Say why a device is written nothing now; None if nothing stands against it."""
        if not state.is_enabled:
            return "is disabled by its configuration"
        if not self._connection.is_open:
            return f"is not reached: {self._connection.last_error or 'its connection is not open'}"
        if self._schedule.is_held(state.id, self._clock.monotonic_s()):
            return f"is left alone for a while: {state.last_error}"
        return None

    async def run(self) -> None:
        """Poll without end, whatever the driver does."""
        self._start()
        self._connection.poll_now = self.poll_now
        self._connection.write = self.write if isinstance(self._driver, WritingDriver) else None
        try:
            while True:
                fault = await until_cancelled_inside(self._poll_for_ever, self._connection.id)
                self._outcomes.connection_faulted(fault)
                await self._wait_to_open(ConnectionLost(str(fault)))
        finally:
            self._connection.poll_now = self._connection.write = None
            self._answer_all()

    async def _poll_for_ever(self) -> None:
        """Open the transport, poll until it is lost, open it again."""
        while True:
            try:
                async with opened(self._driver, self._watch):
                    self._connection.opened()
                    # It is not known which devices answer on the new transport; a longer wait would only hide recovery.
                    self._schedule.release(self._clock.monotonic_s())
                    await self._poll_until_lost()
            except DriverError as error:
                lost: DriverError = error
            except DriverFault as fault:
                self._outcomes.connection_faulted(fault)
                lost = ConnectionLost(str(fault))
            await self._wait_to_open(lost)

    def _start(self) -> None:
        intervals_s = [(state.id, state.interval_s) for state in self._devices.values()]
        now_s = self._clock.monotonic_s()
        self._schedule = Schedule(intervals_s, start_s=now_s)
        for state in self._devices.values():
            self._schedule.change(state.id, interval_s=state.interval_s, enabled=state.is_enabled, now_s=now_s)

    async def _poll_until_lost(self) -> None:
        polls = 0
        while True:
            now_s = self._clock.monotonic_s()
            self._outcomes.catch_up(now_s)
            if self._wishes.waiting:
                # One write, then a poll that is due: neither delays the other for long.
                await self._write_oldest()
                now_s = self._clock.monotonic_s()
            device_id = self._schedule.due(now_s)
            if device_id is not None:
                await self._poll(self._devices[device_id], now_s)
            elif not self._wishes.waiting:
                polls = 0
                await self._sleep_until(self._schedule.wake_s())
                continue
            self._doubt_transport()
            polls += 1
            if polls % POLLS_IN_A_ROW == 0:
                await asyncio.sleep(0)

    async def _write_oldest(self) -> None:
        wish = self._wishes.take()
        if wish is None:
            return
        state = self._devices[wish.device_id]
        why_not = self._why_not(state)
        if why_not is not None:
            wish.answer(WriteFailed(why_not, may_have_arrived=False))
            return
        failure: WriteFailed | None = WriteFailed(
            "was written to when its connection was stopped", may_have_arrived=True
        )
        wish.is_begun = True
        try:
            await self._write(wish)
            failure = None
        except (DriverError, DriverFault) as error:
            failure = WriteFailed(text_of(error), may_have_arrived=not isinstance(error, NOTHING_SENT))
            if isinstance(error, DriverFault):
                self._outcomes.faulted(state, error)
            elif isinstance(error, ConnectionLost):
                raise
        finally:
            wish.answer(failure)

    async def _write(self, wish: Wish) -> None:
        assert isinstance(self._driver, WritingDriver), "there are wishes only where they can be granted"
        with self._watch.call("write", device_id=wish.device_id):
            await self._driver.write(wish.device_id, wish.point_id, wish.value)

    async def _poll(self, state: DeviceState, started_s: float) -> None:
        hold_s = 0.0
        # The configuration as it is when the question goes out, whatever arrives before the answer.
        in_force = state.in_force
        try:
            with self._watch.call("poll", device_id=state.id):
                answer = await self._driver.poll(state.id)
            sample = sample_of(answer)
            prepared = self._intake.prepare(state, in_force, sample, state.accepted)
        except DriverError as error:
            self._outcomes.failed(state, error, self._clock.monotonic_s())
            if isinstance(error, ConnectionLost):
                raise
            hold_s = self._hold_s(state, started_s)
        except DriverFault as fault:
            self._outcomes.faulted(state, fault)
            hold_s = self._hold_s(state, started_s)
        else:
            self._outcomes.answered(state, self._clock.monotonic_s())
            if self._intake.offer(state, in_force, prepared) is Outcome.REFUSED:
                self._outcomes.refused(state, prepared.measured_at_ms)
        finally:
            self._finished(state, started_s, hold_s)

    def _finished(self, state: DeviceState, started_s: float, hold_s: float) -> None:
        now_s = self._clock.monotonic_s()
        state.cycle_s = now_s
        self._schedule.finished(state.id, started_s=started_s, now_s=now_s, hold_s=hold_s)
        asked = self._asked.pop(state.id, None)
        if asked is not None and not asked.done():
            asked.set_result(None)

    def _answer_all(self) -> None:
        """Release all waiting callers: nothing is polled any more."""
        asked, self._asked = self._asked, {}
        for each in asked.values():
            if not each.done():
                each.set_result(None)
        self._wishes.refuse_all("is not reached: its connection is stopped")

    def _hold_s(self, state: DeviceState, started_s: float) -> float:
        others = [other for other in self._devices.values() if other.is_enabled and other is not state]
        silent = sum(1 for other in others if other.availability.failures or other.faults)
        return retry_s(
            state.availability.failures + state.faults,
            interval_s=state.interval_s,
            poll_took_s=self._clock.monotonic_s() - started_s,
            silent_others=None if silent == len(others) else silent,
            chance=self._chance,
        )

    def _doubt_transport(self) -> None:
        """Give up a transport that looks open and carries nothing.

        A TCP connection to a router that forgot it stays "open" for a quarter of an hour; opening it anew costs nothing
        where really all devices are off.
        """
        if self._connection.failures >= FAILURES_BEFORE_LOST:
            enabled = sum(1 for state in self._devices.values() if state.is_enabled)
            if self._connection.failures >= FAILURES_BEFORE_LOST * enabled:
                raise ConnectionLost("no device answers any more")
        if self._outcomes.is_transport_suspect:
            raise ConnectionLost("the driver fails at every poll")

    async def _wait_to_open(self, error: DriverError) -> None:
        """Wait out the back-off. A poll that falls due meanwhile is one that nothing answers."""
        open_at_s = self._clock.monotonic_s() + self._connection.lost(error, self._chance)
        self._wishes.refuse_all(f"is not reached: {self._connection.last_error}")
        while (now_s := self._clock.monotonic_s()) < open_at_s:
            self._outcomes.catch_up(now_s)
            device_id = self._schedule.due(now_s)
            if device_id is None:
                await self._sleep_until(min(open_at_s, self._schedule.wake_s()))
                continue
            self._outcomes.failed(self._devices[device_id], error, now_s)
            self._finished(self._devices[device_id], now_s, 0.0)

    async def _sleep_until(self, moment_s: float) -> None:
        """Sleep until a moment, or a new configuration, or something that waits for the outbox."""
        wait_s = moment_s - self._clock.monotonic_s()
        catch_up_s = self._outcomes.catch_up_s
        if catch_up_s is not None:
            wait_s = min(wait_s, catch_up_s)
        try:
            async with asyncio.timeout(None if wait_s == float("inf") else wait_s):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()
