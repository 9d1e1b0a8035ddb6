"""What became of polls and messages: told to the log, the counters, the alarms and the control events, once per change."""

import structlog

from edge.collect.availability import Availability, Change
from edge.collect.connection import ConnectionState, DriverCall
from edge.collect.control_events import ControlEvents, connection_fault, device_fault, stalled_call
from edge.collect.device import DeviceState
from edge.collect.guard import DriverFault, text_of
from edge.collect.refusals import RefusalTally, Refused
from edge.domain.author import Author
from edge.domain.driver import ConnectionLost, DeviceUnreachable, DriverError, DriverMisconfigured, MalformedResponse

# Faults of a driver in a row, of whatever devices, after which the transport itself is suspected and opened anew.
FAULTS_BEFORE_RESTART = 3
# While something waits for room in the outbox, it is offered again this often.
OFFER_INTERVAL_S = 1.0

_REASONS: dict[type[Exception], str] = {
    DeviceUnreachable: "unreachable",
    MalformedResponse: "malformed_response",
    ConnectionLost: "connection_lost",
    DriverMisconfigured: "misconfigured",
}
SILENCE = "silence"

_log = structlog.get_logger(__name__)


class Outcomes:
    """The book of one connection."""

    def __init__(
        self, connection: ConnectionState, devices: dict[str, DeviceState], events: ControlEvents, author: Author
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._events = events
        self._author = author
        self._refusals = RefusalTally()
        self._is_refusing = False
        # A fault of the connection stands in this run's log.
        self._is_fault_logged = False

    def answered(self, state: DeviceState, now_s: float) -> None:
        """A device gave a sample that can be used."""
        state.heard_s = now_s
        self._connection.answered()
        if self._connection.has_alarm:
            self._connection.last_error = None
            self._clear_connection_alarm()
        if state.has_alarm:
            _log.info("driver_recovered", device_id=state.id)
            self._clear_alarm(state)
        before = state.availability
        state.availability, change = before.after_answer()
        if before.failures or change:
            state.last_error = None
        if change is Change.RESTORED:
            self._restored(state, now_s)

    def _restored(self, state: DeviceState, now_s: float) -> None:
        since = state.lost_since
        assert since is not None, "a device is lost from a moment on"
        lost_for_s = since.seconds_until(self._author.moment())
        state.restored(now_s)
        _log.info("device_connection_restored", device_id=state.id, lost_for_s=lost_for_s)
        self._events.connection_restored(state, since=since, lost_for_s=lost_for_s)

    def begin(self) -> None:
        """Clear what an earlier run left open of devices that are disabled now."""
        for state in self._devices.values():
            self.configured(state)

    def configured(self, state: DeviceState) -> None:
        """Clear the alarms of what is not used any more: there will be no good sample to clear them.

        That a device is lost stays as it was told: whether it would answer is not known while it is not asked.
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
        self._events.alarm_cleared(device_fault(state.id), state=state)

    def _clear_connection_alarm(self) -> None:
        self._connection.has_alarm = False
        self._is_fault_logged = False
        self._events.alarm_cleared(connection_fault(self._connection.id))

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
        self._events.connection_lost(state, reason=reason, since=state.lost_since, detail=state.last_error)

    def faulted(self, state: DeviceState, fault: DriverFault) -> None:
        """The driver broke on one device: a bug in it, told with its traceback once until the device is good again."""
        state.counters.faults += 1
        state.faults += 1
        self._connection.faults += 1
        state.last_error = text_of(fault)
        if state.faults > 1:
            _log.debug("driver_failed", device_id=state.id, error=state.last_error)
            return
        _log.error("driver_failed", device_id=state.id, connection_id=self._connection.id, exc_info=fault)
        if not state.has_alarm:
            state.has_alarm = True
            self._events.alarm_raised(device_fault(state.id), state.last_error, state=state)

    def connection_faulted(self, fault: DriverFault) -> None:
        """The driver broke, and nobody knows on which device: at opening, or on a message."""
        self._connection.faults += 1
        self._connection.last_error = text_of(fault)
        if self._is_fault_logged:
            _log.debug("driver_failed", connection_id=self._connection.id, error=self._connection.last_error)
            return
        self._is_fault_logged = True
        _log.error("driver_failed", connection_id=self._connection.id, exc_info=fault)
        if not self._connection.has_alarm:
            self._connection.has_alarm = True
            self._events.alarm_raised(connection_fault(self._connection.id), self._connection.last_error)

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
        self._events.alarm_raised(identity, message, state=self._device(call.device_id))

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
        self._events.alarm_cleared(stalled_call(self._connection.id, device_id), state=self._device(device_id))

    def _device(self, device_id: str | None) -> DeviceState | None:
        return None if device_id is None else self._devices[device_id]

    @property
    def is_transport_suspect(self) -> bool:
        """Whether the driver broke so often without any answer in between that its transport may be to blame."""
        return self._connection.faults >= FAULTS_BEFORE_RESTART

    def refused(self, state: DeviceState, measured_at_ms: int) -> None:
        """A sample for which the outbox had no room."""
        state.counters.samples_refused += 1
        self._refusals.refuse(state.id, measured_at_ms)
        if not self._is_refusing:
            self._is_refusing = True
            _log.error("samples_refused", connection_id=self._connection.id, device_id=state.id)

    def catch_up(self, now_s: float, *, is_last: bool = False) -> None:
        """Offer again what the outbox refused, and declare the samples it refused."""
        self._events.offer_again()
        if self._events.has_waiting:
            return
        if self._refusals:
            self._refusals.declare(self._declare, now_s=now_s, is_last=is_last)
        if self._is_refusing and not self._refusals:
            self._is_refusing = False
            _log.info("samples_accepted_again", connection_id=self._connection.id)

    @property
    def catch_up_s(self) -> float | None:
        """In how many seconds `catch_up` should be called again; None if nothing waits."""
        return OFFER_INTERVAL_S if self._events.has_waiting or self._refusals else None

    def _declare(self, device_id: str, refused: Refused) -> bool:
        return self._events.offer_refused(self._devices[device_id], refused)
