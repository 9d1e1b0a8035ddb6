"""The events a collector writes about its devices, and their way to the outbox without waiting."""

import json
from collections import deque
from typing import Protocol
from uuid import UUID

import structlog

from edge.collect.device import DeviceState
from edge.collect.refusals import Refused
from edge.domain.alarm import AlarmIdentity, AlarmKind, OpenAlarm, lost_device
from edge.domain.author import Author, encode_json
from edge.domain.clock import ClockState, Moment, rfc3339
from edge.domain.event import Draft
from edge.domain.facts import DeviceConnectionLost, DeviceConnectionRestored, ReadingsDropped
from edge.storage.remembered import OpenAlarms

# Some hours of a flapping device while the disk takes nothing; each is less than 1 KiB.
WAITING_MAX = 1000

_log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """The outbox as a collector uses it."""

    def offer(self, draft: Draft, *, can_wait: bool = False) -> bool:
        """Take a draft for the next commit, at once. False: the queue is full, it was never accepted.

        Who can wait and offer it again leaves room for those who cannot.
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
        """Write that somebody must act; `state` is the device that the alarm is about, if it is about one."""
        reference = None if state is None else state.reference
        self._send(self._author.alarm_raised(identity, message, reference=reference))

    def alarm_cleared(self, identity: AlarmIdentity, *, state: DeviceState | None = None) -> None:
        """Write that the cause of an alarm is gone."""
        reference = None if state is None else state.reference
        self._send(self._author.alarm_cleared(identity, reference=reference))

    def offer_refused(self, state: DeviceState, refused: Refused) -> bool:
        """Offer the declaration of refused samples; False if the outbox takes nothing yet."""
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
        self.offer_again()
        if not self._waiting and self._outbox.offer(draft):
            return
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
