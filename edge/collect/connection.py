"""A connection: its state, and the results of its polls and messages. Each change of state is reported once."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog

from edge.collect.availability import Availability, Change
from edge.collect.declarations import (
    OFFER_INTERVAL_S,
    Declarations,
    Outbox,
    connection_fault,
    device_fault,
    stalled_call,
)
from edge.collect.device import DeviceState
from edge.collect.guard import DriverFault, text_of
from edge.collect.wishes import Wish
from edge.domain.author import Author
from edge.domain.backoff import Backoff
from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
    DriverError,
    DriverMisconfigured,
    MalformedResponse,
    SeenName,
)

# A wire that was plugged in again is in use within half a minute; a host that is down is not hammered.
REOPEN = Backoff(first_s=1.0, longest_s=30.0)

# After so many faults of a driver in a row, on any devices, the transport is suspected and opened again.
FAULTS_BEFORE_RESTART = 3
_REASONS: dict[type[Exception], str] = {
    DeviceUnreachable: "unreachable",
    MalformedResponse: "malformed_response",
    ConnectionLost: "connection_lost",
    DriverMisconfigured: "misconfigured",
}
SILENCE = "silence"

_log = structlog.get_logger(__name__)


class DriverCall(NamedTuple):
    """A call of a driver that should return by itself."""

    # As the driver has it: open, poll, close.
    name: str
    # None: it is about the connection.
    device_id: str | None
    # Seconds of the monotonic clock.
    began_s: float


class ConnectionState:
    """One connection's transport. Each change of state is logged once."""

    # Lists the names that device groups saw and did not adopt.
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
        # Such a fault stands in this run's log.
        self.is_fault_logged = False
        # The call of the driver that has not returned for too long: until it does, nothing is measured behind it.
        self.stalled: DriverCall | None = None
        # About which devices (None: the connection itself) an alarm says that a call does not return; raised in this
        # run or an earlier one.
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

    def faulted(self, error: str) -> None:
        """Note that the driver broke on no known device."""
        self.faults += 1
        self.last_error = error

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


class Outcomes:
    """Applies results of polls and messages to device and connection state; reports changes to log and outbox."""

    def __init__(
        self, connection: ConnectionState, devices: Mapping[str, DeviceState], outbox: Outbox, author: Author
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._author = author
        self._told = Declarations(connection.id, devices, outbox, author)

    def answered(self, state: DeviceState, now_s: float) -> None:
        """A device gave a sample that can be used."""
        self._connection.answered()
        if self._connection.has_alarm:
            self._connection.last_error = None
            self._clear_connection_alarm()
        if state.has_alarm:
            _log.info("driver_recovered", device_id=state.id)
            self._clear_alarm(state)
        if state.answered(now_s) is Change.RESTORED:
            self._restored(state, now_s)

    def _restored(self, state: DeviceState, now_s: float) -> None:
        since = state.lost_since
        assert since is not None, "a device is lost from a moment on"
        lost_for_s = since.seconds_until(self._author.moment())
        state.restored(now_s)
        _log.info("device_connection_restored", device_id=state.id, lost_for_s=lost_for_s)
        self._told.connection_restored(state, since=since, lost_for_s=lost_for_s)

    def begin(self) -> None:
        """Clear what an earlier run left open of devices that are disabled now."""
        for state in self._devices.values():
            self.configured(state)

    def configured(self, state: DeviceState) -> None:
        """Clear the alarms of what is not used any more: there will be no good sample to clear them.

        A lost device stays lost: whether it would answer is not known while it is not polled.
        """
        if not state.is_enabled and state.has_alarm:
            self._clear_alarm(state)
        call = self._connection.stalled
        is_stalled = call is not None and call.device_id == state.id
        if not state.is_enabled and state.id in self._connection.stalls_told and not is_stalled:
            self._clear_stall(state.id)
        if self._connection.has_alarm and not any(device.is_enabled for device in self._devices.values()):
            self._clear_connection_alarm()

    def _clear_alarm(self, state: DeviceState) -> None:
        state.faults = 0
        state.has_alarm = False
        self._told.alarm_cleared(device_fault(state.id), state=state)

    def _clear_connection_alarm(self) -> None:
        self._connection.has_alarm = False
        self._connection.is_fault_logged = False
        self._told.alarm_cleared(connection_fault(self._connection.id))

    def failed(self, state: DeviceState, error: DriverError, now_s: float) -> None:
        """A poll that gave nothing."""
        state.counters.polls_failed += 1
        self._connection.failures += 1
        following, change = state.availability.after_failure(now_s)
        self._missed(state, error, following, change)

    def left(self, state: DeviceState, error: DriverError, heard_s: float) -> None:
        """A pushing device said that it leaves, or said nothing for too long."""
        following, change = state.availability.after_silence(heard_s)
        self._missed(state, error, following, change)

    def _missed(self, state: DeviceState, error: DriverError, following: Availability, change: Change | None) -> None:
        is_first = state.availability.failures == 0
        state.availability = following
        state.last_error = text_of(error)
        if is_first and isinstance(error, DriverMisconfigured):
            _log.error("device_misconfigured", device_id=state.id, error=state.last_error)
        if change is not Change.LOST:
            _log.debug("poll_failed", device_id=state.id, error=state.last_error)
            return
        reason = _REASONS.get(type(error), SILENCE)
        since_s = following.silent_since_s
        assert since_s is not None, "a device is lost from a moment on"
        state.lost_since = self._author.moment(age_s=self._author.clock.monotonic_s() - since_s)
        _log.warning(
            "device_connection_lost",
            device_id=state.id,
            attempts=following.failures,
            reason=reason,
            error=state.last_error,
        )
        self._told.connection_lost(state, reason=reason, since=state.lost_since, detail=state.last_error)

    def faulted(self, state: DeviceState, fault: DriverFault) -> None:
        """The driver broke on one device: a bug in it, told with its traceback once until the device is good again."""
        self._connection.faults += 1
        error = text_of(fault)
        if not state.faulted(error):
            _log.debug("driver_failed", device_id=state.id, error=error)
            return
        _log.error("driver_failed", device_id=state.id, connection_id=self._connection.id, exc_info=fault)
        if not state.has_alarm:
            state.has_alarm = True
            self._told.alarm_raised(device_fault(state.id), error, state=state)

    def connection_faulted(self, fault: DriverFault) -> None:
        """The driver broke on no known device: at opening, or on a message."""
        error = text_of(fault)
        self._connection.faulted(error)
        if self._connection.is_fault_logged:
            _log.debug("driver_failed", connection_id=self._connection.id, error=error)
            return
        self._connection.is_fault_logged = True
        _log.error("driver_failed", connection_id=self._connection.id, exc_info=fault)
        if not self._connection.has_alarm:
            self._connection.has_alarm = True
            self._told.alarm_raised(connection_fault(self._connection.id), error)

    def stalled(self, call: DriverCall, now_s: float) -> None:
        """A call of the driver does not return. Nothing behind the connection is measured until it does."""
        self._connection.stalled = call
        for_s = round(now_s - call.began_s, 3)
        told = {"connection_id": self._connection.id, "device_id": call.device_id, "call": call.name}
        _log.error("driver_stalled", **told, for_s=for_s)
        if call.device_id in self._connection.stalls_told:
            return
        self._connection.stalls_told.add(call.device_id)
        message = f"the driver's {call.name} has not returned for {for_s:g} s"
        identity = stalled_call(self._connection.id, call.device_id)
        self._told.alarm_raised(identity, message, state=self._device(call.device_id))

    def returned(self, call: DriverCall, now_s: float) -> None:
        """A call has returned, with whatever outcome. If one like it was told as stalled, this ends it."""
        self._connection.stalled = None
        if call.device_id not in self._connection.stalls_told:
            return
        told = {"connection_id": self._connection.id, "device_id": call.device_id, "call": call.name}
        _log.info("driver_returned", **told, after_s=round(now_s - call.began_s, 3))
        self._clear_stall(call.device_id)

    def _clear_stall(self, device_id: str | None) -> None:
        self._connection.stalls_told.discard(device_id)
        self._told.alarm_cleared(stalled_call(self._connection.id, device_id), state=self._device(device_id))

    def _device(self, device_id: str | None) -> DeviceState | None:
        return None if device_id is None else self._devices[device_id]

    @property
    def is_transport_suspect(self) -> bool:
        """Whether the driver broke so often without any answer in between that its transport may be to blame."""
        return self._connection.faults >= FAULTS_BEFORE_RESTART

    def refused(self, state: DeviceState, measured_at_ms: int) -> None:
        """A sample for which the outbox had no room."""
        state.counters.samples_refused += 1
        self._told.refused(state, measured_at_ms)

    def catch_up(self, now_s: float, *, is_last: bool = False) -> None:
        """Offer again what the outbox refused, and declare the samples it refused."""
        if self._told.has_rest:
            self._told.catch_up(now_s, is_last=is_last)

    @property
    def catch_up_s(self) -> float | None:
        """In how many seconds `catch_up` should be called again; None if nothing waits."""
        return OFFER_INTERVAL_S if self._told.has_rest else None
