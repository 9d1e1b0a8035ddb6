"""The control events of a connection, on their way to the outbox without waiting."""

import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import structlog

from edge.collect.device import DeviceState
from edge.domain.alarm import AlarmIdentity, AlarmKind, OpenAlarm, lost_device
from edge.domain.author import Author, encode_json
from edge.domain.clock import ClockState, Moment, rfc3339
from edge.domain.event import Draft
from edge.domain.facts import DeviceConnectionLost, DeviceConnectionRestored, ReadingsDropped
from edge.storage.remembered import OpenAlarms

# Some hours of a flapping device while the disk takes nothing; each is less than 1 KiB.
WAITING_MAX = 1000
# While something waits for room in the outbox, it is offered again this often.
OFFER_INTERVAL_S = 1.0
# A queue that is now full, now not, must not turn each refused sample into an event.
DECLARATION_INTERVAL_S = 10.0

_log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """The outbox as a collector uses it."""

    def offer(self, draft: Draft, *, can_wait: bool = False) -> bool:
        """Take a draft for the next commit, at once. False: the queue is full, it was never accepted.

        With `can_wait` the queue counts as full at half its size, so that a poll always finds room.
        """

    def hurry(self) -> None:
        """Commit now what waits."""


def device_fault(device_id: str) -> AlarmIdentity:
    """Return the alarm that says: the driver broke its contract at a device."""
    return AlarmIdentity(alarm=AlarmKind.DRIVER_FAULT, device_id=device_id)


def connection_fault(connection_id: str) -> AlarmIdentity:
    """Return the alarm that says: the driver broke its contract, and no single device was concerned."""
    return AlarmIdentity(alarm=AlarmKind.DRIVER_FAULT, connection_id=connection_id)


def stalled_call(connection_id: str, device_id: str | None) -> AlarmIdentity:
    """Return the alarm that says: a call of the driver does not return, about a device or the connection itself."""
    return AlarmIdentity(alarm=AlarmKind.DRIVER_STALLED, connection_id=connection_id, device_id=device_id)


def stalls_told(alarms: OpenAlarms, connection_id: str) -> list[str | None]:
    """Return about which devices of a connection (None: itself) an alarm says that a call does not return."""
    return [
        alarm.identity.device_id
        for alarm in alarms
        if alarm.identity.alarm == AlarmKind.DRIVER_STALLED and alarm.identity.connection_id == connection_id
    ]


def lost_since(alarms: OpenAlarms, device_id: str) -> Moment | None:
    """Return since when a device is lost, as an earlier run told it; None if it is not."""
    lost = alarms.find(lost_device(device_id))
    if lost is None:
        return None
    fields = json.loads(lost.body)
    return Moment(
        unix_ms=fields["unixMs"],
        uptime_ms=fields["uptimeMs"],
        boot_id=UUID(fields["bootId"]),
        clock=ClockState(fields["clock"]),
    )


def _moment_text(moment: Moment) -> str:
    return encode_json(
        {
            "unixMs": moment.unix_ms,
            "uptimeMs": moment.uptime_ms,
            "bootId": str(moment.boot_id),
            "clock": moment.clock.value,
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """How many samples of one device were refused, and from when to when they were measured."""

    count: int
    first_measured_at_ms: int
    last_measured_at_ms: int

    def with_one_more(self, measured_at_ms: int) -> "Refused":
        """Count another one."""
        return replace(
            self,
            count=self.count + 1,
            first_measured_at_ms=min(self.first_measured_at_ms, measured_at_ms),
            last_measured_at_ms=max(self.last_measured_at_ms, measured_at_ms),
        )


class RefusalTally:
    """The refused samples of one connection's devices that are not declared yet."""

    def __init__(self) -> None:
        self._refused: dict[str, Refused] = {}
        self._declared_s: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._refused)

    def refuse(self, device_id: str, measured_at_ms: int) -> None:
        """Count a refused sample."""
        refused = self._refused.get(device_id)
        self._refused[device_id] = (
            Refused(count=1, first_measured_at_ms=measured_at_ms, last_measured_at_ms=measured_at_ms)
            if refused is None
            else refused.with_one_more(measured_at_ms)
        )

    def declare(self, offer: Callable[[str, Refused], bool], *, now_s: float, is_last: bool = False) -> None:
        """Offer each device's count; what is taken is declared and forgotten, what is not goes on counting.

        `is_last` leaves no count behind for the sake of quiet: the gateway stops.
        """
        for device_id, refused in list(self._refused.items()):
            is_early = now_s - self._declared_s.get(device_id, -math.inf) < DECLARATION_INTERVAL_S
            if is_early and not is_last:
                continue
            if not offer(device_id, refused):
                return
            del self._refused[device_id]
            self._declared_s[device_id] = now_s


class Declarations:
    """The control events of one connection, and its samples that the outbox refused.

    - Polling never waits for them: what the outbox refuses is offered again.
    - They come to disk in the order in which they were made.
    - Refused samples are declared behind the events that wait.
    """

    def __init__(self, connection_id: str, devices: Mapping[str, DeviceState], outbox: Outbox, author: Author) -> None:
        self._connection_id = connection_id
        self._devices = devices
        self._outbox = outbox
        self._author = author
        # Something still has to be offered. A plain field: it is looked at with each sample.
        self.has_rest = False
        self._waiting: deque[Draft] = deque()
        self._refusals = RefusalTally()
        self._is_refusing = False

    def refused(self, state: DeviceState, measured_at_ms: int) -> None:
        """Note a sample for which the outbox had no room."""
        self.has_rest = True
        self._refusals.refuse(state.id, measured_at_ms)
        if not self._is_refusing:
            self._is_refusing = True
            _log.error("samples_refused", connection_id=self._connection_id, device_id=state.id)

    def catch_up(self, now_s: float, *, is_last: bool = False) -> None:
        """Offer again what the outbox refused, and declare the samples it refused."""
        self._offer_again()
        if self._waiting:
            return
        self._refusals.declare(self._declare, now_s=now_s, is_last=is_last)
        self.has_rest = bool(self._refusals)
        if self._is_refusing and not self._refusals:
            self._is_refusing = False
            _log.info("samples_accepted_again", connection_id=self._connection_id)

    def _offer_again(self) -> None:
        while self._waiting and self._outbox.offer(self._waiting[0]):
            self._waiting.popleft()

    def connection_lost(self, state: DeviceState, *, reason: str, since: Moment, detail: str) -> None:
        """Write that a device does not answer any more; it is remembered as lost with the same commit."""
        fact = DeviceConnectionLost(
            device_id=state.id,
            reason=reason,
            since=rfc3339(since.unix_ms),
            attempts=state.availability.failures,
            detail=detail,
        )
        lost = OpenAlarm(
            identity=lost_device(state.id), message=detail, raised_at_ms=since.unix_ms, body=_moment_text(since)
        )
        self._send(self._author.control(fact, reference=state.reference)._replace(opens=lost))

    def connection_restored(self, state: DeviceState, *, since: Moment, lost_for_s: float | None) -> None:
        """Write that a device answers again, and for how long it did not, if that can be known."""
        fact = DeviceConnectionRestored(
            device_id=state.id,
            since=rfc3339(since.unix_ms),
            lost_for_s=None if lost_for_s is None else round(lost_for_s, 3),
        )
        self._send(self._author.control(fact, reference=state.reference)._replace(closes=lost_device(state.id)))

    def alarm_raised(self, identity: AlarmIdentity, message: str, *, state: DeviceState | None = None) -> None:
        """Write that a person must act; `state` is the device that the alarm is about, if it is about one."""
        reference = None if state is None else state.reference
        self._send(self._author.alarm_raised(identity, message, reference=reference))

    def alarm_cleared(self, identity: AlarmIdentity, *, state: DeviceState | None = None) -> None:
        """Write that the cause of an alarm is gone."""
        reference = None if state is None else state.reference
        self._send(self._author.alarm_cleared(identity, reference=reference))

    def _declare(self, device_id: str, refused: Refused) -> bool:
        """Offer the declaration of refused samples; False if the outbox takes nothing yet."""
        state = self._devices[device_id]
        fact = ReadingsDropped(
            device_id=state.id,
            reason="not_accepted",
            run=self._author.run,
            sequences=None,
            count=refused.count,
            first_measured_at=rfc3339(refused.first_measured_at_ms),
            last_measured_at=rfc3339(refused.last_measured_at_ms),
        )
        return self._outbox.offer(self._author.control(fact, reference=state.reference))

    def _send(self, draft: Draft) -> None:
        self._offer_again()
        if not self._waiting and self._outbox.offer(draft):
            return
        self.has_rest = True
        self._waiting.append(draft)
        if len(self._waiting) > WAITING_MAX and not self._give_up_a_pair():
            _log.error("control_event_given_up", type=draft.type.value, waiting=WAITING_MAX)
            self._waiting.pop()

    def _give_up_a_pair(self) -> bool:
        """Make room: give up the oldest opening that is closed again among what waits, with its closing.

        What is written in the end then still says what stands. Giving up the newest event would leave a device lost, or
        an alarm open, that is not.
        """
        opened: dict[AlarmIdentity, int] = {}
        for place, draft in enumerate(self._waiting):
            if draft.opens is not None:
                opened[draft.opens.identity] = place
            elif draft.closes in opened:
                _log.error("control_events_given_up", type=draft.type.value, waiting=WAITING_MAX)
                del self._waiting[place]
                del self._waiting[opened[draft.closes]]
                return True
        return False
