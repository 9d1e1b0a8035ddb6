"""The owner task of a connection whose devices speak when they like."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import structlog

from edge.collect.adoption import Adoption
from edge.collect.arrivals import Ledger, Receipt, Repeats
from edge.collect.connection import ConnectionState, Outcomes
from edge.collect.declarations import OFFER_INTERVAL_S
from edge.collect.device import DeviceState, InForce
from edge.collect.guard import DriverFault, device_of, driver_call, sample_of, text_of
from edge.collect.intake import Intake, Outcome, Prepared
from edge.collect.silence import SilenceWatch
from edge.collect.stall import CallWatch, opened, until_cancelled_inside
from edge.domain.backoff import Backoff
from edge.domain.clock import Clock
from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
    DriverError,
    PushedDriver,
    RecallingDriver,
    WindowedDriver,
)
from edge.domain.reading import Origin, Sample

# A full outbox has room again after its next commit, which is half a second away where all is well.
ROOM_WAIT_S = 0.1
# More than the outbox's queue holds: only samples that were sent again and again come so far.
RECEIPTS_MAX = 20_000
# More than the commits of an adoption take where all is well.
SLOW_ADOPTION_S = 1.0
# A commit takes some milliseconds; the whole stop may take some seconds.
LAST_COMMIT_S = 1.0
# After so many calls of `receive` in a row that gave nothing for the outbox, a pause. A flood of junk is still worked
# off at 10,000 messages a second; a driver that never stops takes a part of one core.
VAIN_IN_A_ROW = 200
VAIN_PAUSE_S = 0.02
# After an unexpected failure of `receive`: it must not take the machine while it lasts.
AFTER_FAULT = Backoff(first_s=0.1, longest_s=10.0)

_log = structlog.get_logger(__name__)


class Receiving:
    """Receives what the devices of one connection push, without end."""

    # The connection's device groups, if it has any.
    adoption: Adoption | None

    def __init__(
        self,
        *,
        driver: PushedDriver,
        connection: ConnectionState,
        devices: dict[str, DeviceState],
        intake: Intake,
        outcomes: Outcomes,
        watch: CallWatch,
        repeats: Repeats,
        deliveries: Sequence[bytes],
        hurry: Callable[[], None],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._driver = driver
        self._connection = connection
        self._devices = devices
        self._intake = intake
        self._outcomes = outcomes
        # Of `open` and `close`: `receive` may wait as long as the devices are silent.
        self._call_watch = watch
        self._repeats = repeats
        # By which of them earlier runs took what is on disk; the driver has not been told of them.
        self._deliveries = deliveries
        self._hurry = hurry
        # Half of what the sender lets be unacknowledged: from then on nothing waits for the commit interval.
        self._unacknowledged_max = math.inf
        self.adoption = None
        self._clock = clock
        self._chance = chance
        self._silence = SilenceWatch(connection, devices, outcomes, clock)
        self._ledger = Ledger(self._acknowledge)
        # Set each time that something was acknowledged.
        self._released = asyncio.Event()
        # Calls of `receive` since the last one that gave something for the outbox, which bounds those.
        self._vain = 0

    def configured(self, state: DeviceState) -> None:
        """Learn that a device has a new configuration."""
        self._outcomes.configured(state)
        if state.heard_s is None:
            # Enabled just now, or still waited for.
            self._silence.begin_with(state.id)
        self._silence.look_soon()

    def join(self, state: DeviceState) -> None:
        """Take on a device that was adopted just now."""
        self._devices[state.id] = state
        self._silence.begin_with(state.id)
        state.attach(self.configured)
        self._silence.look_soon()

    async def run(self) -> None:
        """Receive, and watch for silence beside it."""
        self._ledger = Ledger(self._acknowledge)
        self._silence.begin()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive_anew(), name=f"receive-{self._connection.id}")
            tasks.create_task(self._silence.run(), name=f"silence-{self._connection.id}")

    async def _receive_anew(self) -> None:
        while True:
            fault = await until_cancelled_inside(self._receive_for_ever, self._connection.id)
            # What was being taken in then is never settled. It was not acknowledged, and its sender has it still.
            self._ledger, self._silence.is_paused = Ledger(self._acknowledge), False
            self._outcomes.connection_faulted(fault)
            await asyncio.sleep(self._connection.lost(fault, self._chance))

    async def _receive_for_ever(self) -> None:
        while True:
            try:
                self._recall()
                async with opened(self._driver, self._call_watch):
                    self._connection.opened()
                    self._agree_on_window()
                    await self._receive_until_lost_or_stopped()
            except DriverError as error:
                lost: Exception = error
            except DriverFault as fault:
                self._outcomes.connection_faulted(fault)
                lost = fault
            await asyncio.sleep(self._connection.lost(lost, self._chance))

    def _recall(self) -> None:
        deliveries, self._deliveries = self._deliveries, ()
        with driver_call():
            if deliveries and isinstance(self._driver, RecallingDriver):
                self._driver.recall(deliveries)

    async def _receive_until_lost_or_stopped(self) -> None:
        try:
            await self._receive_until_lost()
        except asyncio.CancelledError:
            await self._acknowledge_last()
            raise

    async def _acknowledge_last(self) -> None:
        """Commit and acknowledge what was received while there is a connection: then it does not come again.

        A disk that takes nothing must not hold up the stop.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_COMMIT_S):
                while len(self._ledger):
                    self._hurry()
                    self._released.clear()
                    await self._released.wait()

    def _agree_on_window(self) -> None:
        with driver_call():
            if isinstance(self._driver, WindowedDriver):
                self._unacknowledged_max = int(self._driver.window) / 2

    async def _receive_until_lost(self) -> None:
        while True:
            if len(self._ledger) >= RECEIPTS_MAX:
                await self._wait_for_commits()
            try:
                if self.adoption is not None:
                    await self._take_on_new(self.adoption)
                with driver_call():
                    arrived: list[object] = list(await self._driver.receive())
                    samples = [item for item in arrived if isinstance(item, Sample)]
            except ConnectionLost:
                raise
            except DriverError as error:
                self._trouble(error)
            except DriverFault as fault:
                await self._fault(fault)
            else:
                faults = await self._take_all(samples)
                if len(samples) < len(arrived):
                    faults.append(DriverFault("the driver received what is no sample"))
                if faults:
                    await self._fault(faults[0])
            await self._breathe()

    async def _breathe(self) -> None:
        """Let other tasks run, even if the driver never waits."""
        self._vain += 1
        await asyncio.sleep(VAIN_PAUSE_S if self._vain % VAIN_IN_A_ROW == 0 else 0)

    async def _take_on_new(self, adoption: Adoption) -> None:
        """Adopt newly seen names, one commit each. `receive` is not called meanwhile."""
        began_s = self._clock.monotonic_s()
        self._silence.is_paused = True
        try:
            await adoption.take_on_new()
            # The driver keeps their messages until its next `receive`, and would then give them up.
            while adoption.is_postponed:
                await asyncio.sleep(OFFER_INTERVAL_S)
                await adoption.take_on_new()
        finally:
            self._silence.is_paused = False
            if self._clock.monotonic_s() - began_s >= SLOW_ADOPTION_S:
                self._silence.begin()

    def _trouble(self, error: DriverError) -> None:
        state = self._devices.get(device_of(error) or "")
        if state is None or not state.is_enabled:
            _log.debug("message_not_understood", connection_id=self._connection.id, error=text_of(error))
        elif isinstance(error, DeviceUnreachable):
            now_s = self._clock.monotonic_s()
            self._outcomes.left(state, error, now_s if state.heard_s is None else state.heard_s)
        else:
            state.counters.polls_failed += 1
            state.last_error = text_of(error)
            _log.debug("message_not_understood", device_id=state.id, error=state.last_error)

    async def _fault(self, fault: DriverFault) -> None:
        """Go on after a bug of the driver: at once where only one device's message met it. Raises ConnectionLost."""
        if self._told_of_device(fault):
            return
        self._outcomes.connection_faulted(fault)
        if self._outcomes.is_transport_suspect:
            raise ConnectionLost(text_of(fault)) from fault
        await asyncio.sleep(AFTER_FAULT.delay_s(self._connection.faults, self._chance))

    def _told_of_device(self, fault: DriverFault) -> bool:
        state = self._devices.get(fault.device_id or "")
        if state is not None and state.is_enabled:
            self._outcomes.faulted(state, fault)
        return state is not None

    async def _take_all(self, received: Sequence[Sample]) -> list[DriverFault]:
        """Take samples in the order of arrival. Returns the faults that are no single device's of this connection."""
        faults = []
        for receipt in self._ledger.enter(received):
            try:
                sample = sample_of(receipt.sample)
            except DriverFault as fault:
                if not self._told_of_device(fault):
                    faults.append(fault)
                # Unacknowledged, it would come again, and break again.
                receipt.settle()
                continue
            state = self._devices.get(sample.device_id)
            if state is None or not state.is_enabled:
                # Nothing is kept of it, so there is nothing to wait for.
                receipt.settle()
            elif self._repeats.repeats(sample):
                # Under the name of this delivery, too: it may be the one that comes again.
                self._repeats.remember(sample, self._repeats.original(sample))
                state.counters.samples_repeated += 1
                receipt.settle()
            else:
                await self._take(state, sample, receipt)
            if len(self._ledger) >= self._unacknowledged_max:
                self._hurry()
        return faults

    async def _take(self, state: DeviceState, sample: Sample, receipt: Receipt) -> None:
        in_force = state.in_force
        on_accepted, repeat_of = partial(self._accepted, state, receipt), self._repeats.original(sample)
        try:
            prepared = self._intake.prepare(state, in_force, sample, on_accepted, repeat_of=repeat_of)
        except DriverFault as fault:
            self._outcomes.faulted(state, fault)
            # Unacknowledged, it would come again, and break again.
            receipt.settle()
            return
        now_s = self._clock.monotonic_s()
        state.cycle_s = now_s
        # What a broker retained shows that the device lived once, not that it lives.
        if sample.origin is not Origin.RETAINED:
            self._outcomes.answered(state, now_s)
        outcome = self._intake.offer(state, in_force, prepared)
        if outcome is Outcome.REFUSED:
            outcome = await self._wait_for_room(state, in_force, prepared)
        # Of what was not worth an event, too: sent again after newer values, it would be news.
        self._repeats.remember(sample, None if prepared.draft is None else prepared.draft.event_id)
        if outcome is Outcome.SUPPRESSED:
            receipt.settle()
        else:
            self._vain = 0

    async def _wait_for_room(self, state: DeviceState, in_force: InForce, prepared: Prepared) -> Outcome:
        """Offer a sample until the outbox takes it. Meanwhile nothing is received: the sender keeps what it has.

        Refusing it instead would leave a hole in the order of acknowledgement, and acknowledge nothing any more.
        """
        with self._paused():
            while (outcome := self._intake.offer(state, in_force, prepared)) is Outcome.REFUSED:  # noqa: ASYNC110 - room has no event
                await asyncio.sleep(ROOM_WAIT_S)
        return outcome

    async def _wait_for_commits(self) -> None:
        """Receive nothing until some of what came is on disk.

        What is sent again while its first arrival waits for the disk takes no room in the outbox, but a place here:
        over hours of a dead disk and a broker that comes and goes, that adds up.
        """
        with self._paused():
            while len(self._ledger) >= RECEIPTS_MAX:  # noqa: ASYNC110 - as above
                await asyncio.sleep(ROOM_WAIT_S)

    @contextmanager
    def _paused(self) -> Iterator[None]:
        _log.warning("receiving_paused", connection_id=self._connection.id)
        self._silence.is_paused = True
        yield
        self._silence.begin()
        _log.info("receiving_resumed", connection_id=self._connection.id)

    def _accepted(self, state: DeviceState, receipt: Receipt) -> None:
        state.accepted()
        receipt.settle()

    def _acknowledge(self, samples: Sequence[Sample]) -> None:
        self._released.set()
        try:
            with driver_call():
                self._driver.accepted(samples)
        except (DriverError, DriverFault) as error:
            # The writer called us: it must not fall over a driver. The sender will send again.
            self._outcomes.connection_faulted(DriverFault(f"accepted() failed: {text_of(error)}"))
