"""The events a collector writes about its devices, and their way to the outbox without waiting."""

from collections import deque
from collections.abc import Mapping
from typing import Protocol

import structlog

from edge.collect.device import DeviceState
from edge.collect.refusals import Refused
from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.author import Author
from edge.domain.clock import rfc3339
from edge.domain.event import Draft, EventType, Json

# Some hours of a flapping device while the disk takes nothing; each is less than 1 KiB.
WAITING_MAX = 1000
# The alarm that says: a driver broke its contract.
DRIVER_FAULT = "driver_fault"

_log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """The outbox as a collector uses it."""

    def offer(self, draft: Draft, *, can_wait: bool = False) -> bool:
        """Take a draft for the next commit, at once. False: the queue is full, it was never accepted.

        Who can wait and offer it again leaves room for those who cannot.
        """

    def hurry(self) -> None:
        """Commit now what waits."""


class ControlEvents:
    """Control events of one connection. Polling never waits for them: what the outbox refuses is offered again."""

    def __init__(self, outbox: Outbox, author: Author) -> None:
        self._outbox = outbox
        self._author = author
        self._waiting: deque[Draft] = deque()

    @property
    def has_waiting(self) -> bool:
        """Whether something still has to be offered again."""
        return bool(self._waiting)

    def offer_again(self) -> None:
        """Offer what was refused, in order."""
        while self._waiting and self._outbox.offer(self._waiting[0]):
            self._waiting.popleft()

    def connection_lost(self, state: DeviceState, *, reason: str, since_ms: int, detail: str) -> None:
        """Write that a device does not answer any more."""
        body: dict[str, Json] = {
            "reason": reason,
            "since": rfc3339(since_ms),
            "attempts": state.availability.failures,
            "detail": detail,
        }
        self._write(EventType.DEVICE_CONNECTION_LOST, state, body)

    def connection_restored(self, state: DeviceState, *, lost_for_s: float) -> None:
        """Write that a device answers again."""
        self._write(EventType.DEVICE_CONNECTION_RESTORED, state, {"lostForS": round(lost_for_s, 3)})

    def alarm_raised(self, state: DeviceState, *, message: str) -> None:
        """Write that the driver failed at a device in a way that is a bug."""
        self._write(EventType.ALARM_RAISED, state, {"alarm": DRIVER_FAULT, "message": message})

    def alarm_cleared(self, state: DeviceState) -> None:
        """Write that the device is good again."""
        self._write(EventType.ALARM_CLEARED, state, {"alarm": DRIVER_FAULT})

    def connection_alarm_raised(self, connection_id: str, *, message: str) -> None:
        """Write that the driver failed where no single device is concerned."""
        body = {"alarm": DRIVER_FAULT, "connectionId": connection_id, "message": message}
        self._send(self._author.control(EventType.ALARM_RAISED, body))

    def connection_alarm_cleared(self, connection_id: str) -> None:
        """Write that the connection is good again."""
        body = {"alarm": DRIVER_FAULT, "connectionId": connection_id}
        self._send(self._author.control(EventType.ALARM_CLEARED, body))

    def stall_raised(self, connection_id: str, state: DeviceState | None, *, message: str) -> None:
        """Write that a call of the driver does not return: a poll of a device, or one about the connection."""
        reference = None if state is None else state.reference
        self._send(self._author.alarm_raised(_stalled(connection_id, state), message, reference=reference))

    def stall_cleared(self, connection_id: str, state: DeviceState | None) -> None:
        """Write that the call has returned."""
        reference = None if state is None else state.reference
        self._send(self._author.alarm_cleared(_stalled(connection_id, state), reference=reference))

    def offer_refused(self, state: DeviceState, refused: Refused) -> bool:
        """Offer the declaration of refused samples; False if the outbox takes nothing yet."""
        body: dict[str, Json] = {
            "reason": "not_accepted",
            "run": str(self._author.run),
            "sequences": None,
            "count": refused.count,
            "firstMeasuredAt": rfc3339(refused.first_measured_at_ms),
            "lastMeasuredAt": rfc3339(refused.last_measured_at_ms),
        }
        return self._outbox.offer(self._draft(EventType.READINGS_DROPPED, state, body))

    def _draft(self, event_type: EventType, state: DeviceState, body: Mapping[str, Json]) -> Draft:
        return self._author.control(event_type, body, device_id=state.id, reference=state.reference)

    def _write(self, event_type: EventType, state: DeviceState, body: Mapping[str, Json]) -> None:
        self._send(self._draft(event_type, state, body))

    def _send(self, draft: Draft) -> None:
        self.offer_again()
        if not self._waiting and self._outbox.offer(draft):
            return
        if len(self._waiting) >= WAITING_MAX:
            _log.error("control_event_given_up", type=draft.type.value, waiting=WAITING_MAX)
            return
        self._waiting.append(draft)


def _stalled(connection_id: str, state: DeviceState | None) -> AlarmIdentity:
    device_id = None if state is None else state.id
    return AlarmIdentity(alarm=AlarmKind.DRIVER_STALLED, connection_id=connection_id, device_id=device_id)
