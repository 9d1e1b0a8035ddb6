"""The alarms of forwarding that are not cleared by the call that raises them: each ends when what it says is over."""

import structlog

from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.author import Author
from edge.domain.event import RecordedEvent
from edge.storage.outbox import Outbox

# A stranger is mended by a person, and comes back within minutes where it is not.
FOREIGN_QUIET_S = 3600.0

OUTBOX_CLONED = AlarmIdentity(alarm=AlarmKind.OUTBOX_CLONED)

log = structlog.get_logger()


class ForwardingAlarms:
    """What stands, at first as earlier runs left it."""

    def __init__(self, outbox: Outbox, author: Author) -> None:
        self._outbox = outbox
        self._author = author
        now_s = author.clock.monotonic_s()
        # Stream -> when an event of somebody else was last found in it, or this run began.
        self._foreign_s = {
            alarm.identity.stream: now_s
            for alarm in outbox.alarms
            if alarm.identity.alarm == AlarmKind.FOREIGN_EVENT and alarm.identity.stream is not None
        }
        # An earlier run parked forwarding; that ended with it.
        self._was_cloned = OUTBOX_CLONED in outbox.alarms

    def begin(self) -> None:
        """Clear the alarms of streams that were parked in an earlier run and are parked no more."""
        streams = self._outbox.streams
        parked = {streams.name(number) for number in streams.parked()}
        for alarm in self._outbox.alarms:
            if alarm.identity.alarm == AlarmKind.STREAM_PARKED and alarm.identity.stream not in parked:
                self._outbox.offer(self._author.alarm_cleared(alarm.identity))

    def foreign_found(self, stream: str, event: RecordedEvent) -> None:
        """Note that somebody else writes into our stream: safe, but it costs a read each time."""
        if stream not in self._foreign_s:
            log.error("foreign_event_found", stream=stream, revision=event.revision, type=event.type)
        message = f"{stream} holds events that this gateway did not write, the first at revision {event.revision}"
        if self._outbox.offer(self._author.alarm_raised(_foreign(stream), message)):
            self._foreign_s[stream] = self._author.clock.monotonic_s()

    def forwarded(self) -> None:
        """Note that the event store answered: clear what is over. Costs nothing while nothing stands."""
        if self._was_cloned:
            self._was_cloned = not self._outbox.offer(self._author.alarm_cleared(OUTBOX_CLONED))
        now_s = self._author.clock.monotonic_s()
        for stream, found_s in list(self._foreign_s.items()):
            if now_s - found_s < FOREIGN_QUIET_S:
                continue
            if self._outbox.offer(self._author.alarm_cleared(_foreign(stream))):
                log.info("foreign_events_ended", stream=stream)
                del self._foreign_s[stream]


def _foreign(stream: str) -> AlarmIdentity:
    return AlarmIdentity(alarm=AlarmKind.FOREIGN_EVENT, stream=stream)
