"""Streams that the event store refuses: each waits alone, keeps its entries, and is tried again slowly until it is taken.

A stream is refused when the user lacks a right on it, or when each of its events that was tried is called wrong. If
every stream waits so, that is one state of the event store, and one alarm instead of one for each stream.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.author import Author
from edge.domain.backoff import Backoff
from edge.domain.clock import Clock
from edge.domain.event_store import AccessRefused
from edge.forward.link import LinkState
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# Rights are given by people, and servers are repaired by them.
REFUSED_BACKOFF = Backoff(first_s=10.0, longest_s=300.0)
# One refusal may be a moment's: a right is just being written. The second one is told.
TOLD_AFTER = 2
# One stream may be refused for its name (a proxy's rule). Two of them with nothing taken in between: it is the store. In
# each, several events were tried.
STREAMS_REFUSED_MIN = 2

EVENT_STORE_REFUSES = AlarmIdentity(alarm=AlarmKind.EVENT_STORE_REFUSES)


class EventsRefused(Exception):  # noqa: N818 - the vocabulary's word
    """The event store calls each event of a stream wrong that was tried. Remedy: keep them, and try again slowly.

    `is_alone`: there was only one event to try. The next one will tell more, so it is not waited for.
    """

    def __init__(self, message: str, *, is_alone: bool) -> None:
        super().__init__(message)
        self.is_alone = is_alone


Refusal: TypeAlias = AccessRefused | EventsRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedStream:
    """A stream that waits, as the status shows it."""

    reason: str
    for_s: float
    # 0 = it is being tried.
    next_try_in_s: float


@dataclass(kw_only=True)
class _Waiting:
    """One stream's refusals in a row."""

    refusal: Refusal
    since_s: float
    count: int = 0
    next_try_s: float = 0.0
    is_told: bool = False
    # Its time has come. A flag: a timer may fire a moment before the clock says so.
    is_due: bool = False
    timer: asyncio.TimerHandle | None = None


class Refusals:
    """The streams that wait. `retry` is called with the number of one whose time has come."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        author: Author,
        clock: Clock,
        chance: Callable[[], float],
        retry: Callable[[int], None],
    ) -> None:
        self._outbox = outbox
        self._author = author
        self._clock = clock
        self._chance = chance
        self._retry = retry
        self._waiting: dict[int, _Waiting] = {}
        # When the event store last took an event.
        self._taken_at_s = -1.0
        # Said in this run; the alarm itself is remembered over runs.
        self._is_overall_said = False

    def begin(self) -> None:
        """Have the streams looked at that an earlier run said were refused: they may have nothing to send."""
        names = {
            alarm.identity.stream for alarm in self._outbox.alarms if alarm.identity.alarm == AlarmKind.STREAM_REFUSED
        }
        for number in self._outbox.streams.numbers():
            if self._outbox.streams.name(number) in names:
                self._retry(number)

    def must_wait(self, stream: int, *, has_more: bool) -> bool:
        """Whether a stream's time has not come. `has_more`: an event came after the one that was refused."""
        waiting = self._waiting.get(stream)
        if waiting is None or waiting.is_due:
            return False
        is_alone = isinstance(waiting.refusal, EventsRefused) and waiting.refusal.is_alone
        return not (is_alone and has_more)

    def add(self, stream: int, refusal: Refusal) -> None:
        """Note that a stream was refused (again): it waits, longer each time."""
        now_s = self._clock.monotonic_s()
        waiting = self._waiting.setdefault(stream, _Waiting(refusal=refusal, since_s=now_s))
        waiting.refusal = refusal
        waiting.count += 1
        self._wait(stream, waiting, REFUSED_BACKOFF.delay_s(waiting.count, self._chance))
        if self.overall() is not None:
            self._tell_overall(refusal)
        elif waiting.count >= TOLD_AFTER:
            self._tell(stream, waiting)

    def go_on(self, stream: int) -> None:
        """Let a stream go on until it is refused again: a step was taken without a refusal."""
        waiting = self._waiting.get(stream)
        if waiting is not None:
            self._stop_timer(waiting)
            waiting.is_due = True

    def end(self, stream: int, *, is_taken: bool) -> None:
        """Note that a stream is not (or no longer) refused; `is_taken`: the event store has taken events of it."""
        if is_taken:
            self._taken_at_s = self._clock.monotonic_s()
        waiting = self._waiting.pop(stream, None)
        if waiting is not None:
            self._stop_timer(waiting)
            if waiting.is_told:
                log.info("stream_accepted_again", stream=self._outbox.streams.name(stream))
        self._clear(self._identity(stream))
        if is_taken and self.overall() is None:
            self._end_overall()

    def _end_overall(self) -> None:
        self._clear(EVENT_STORE_REFUSES)
        if self._is_overall_said:
            self._is_overall_said = False
            log.info("event_store_accepts_again")
            # What held up all of them is over: none waits for its own time.
            for number, other in self._waiting.items():
                self._wait(number, other, 0.0)

    def overall(self) -> LinkState | None:
        """Return the event store's state if not single streams are refused, but all."""
        streams = self._outbox.streams
        if not self._waiting:
            return None
        if all(number in self._waiting or streams.is_parked(number) for number in streams.numbers()):
            if all(isinstance(item.refusal, AccessRefused) for item in self._waiting.values()):
                return LinkState.ACCESS_REFUSED
            return LinkState.EVENTS_REFUSED if len(self._waiting) >= STREAMS_REFUSED_MIN else None
        newly = [
            number
            for number, item in self._waiting.items()
            if isinstance(item.refusal, EventsRefused) and item.since_s > self._taken_at_s
        ]
        # A stream that has nothing to send shows nothing, for or against.
        pending = (number for number in self._outbox.cursors.lagging() if not streams.is_parked(number))
        if len(newly) >= STREAMS_REFUSED_MIN and all(number in self._waiting for number in pending):
            return LinkState.EVENTS_REFUSED
        return None

    def status(self) -> Mapping[str, RefusedStream]:
        """Tell of each stream that waits."""
        now_s = self._clock.monotonic_s()
        return {
            self._outbox.streams.name(number): RefusedStream(
                reason=str(item.refusal),
                for_s=now_s - item.since_s,
                next_try_in_s=max(0.0, item.next_try_s - now_s),
            )
            for number, item in self._waiting.items()
        }

    def _wait(self, stream: int, waiting: _Waiting, delay_s: float) -> None:
        def come() -> None:
            waiting.is_due = True
            self._retry(stream)

        self._stop_timer(waiting)
        waiting.is_due = False
        waiting.next_try_s = self._clock.monotonic_s() + delay_s
        waiting.timer = asyncio.get_running_loop().call_later(delay_s, come)

    def _stop_timer(self, waiting: _Waiting) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()

    def _tell(self, stream: int, waiting: _Waiting) -> None:
        """Say that one stream is refused. The outbox does not write again what stands."""
        name = self._outbox.streams.name(stream)
        if not waiting.is_told:
            waiting.is_told = True
            log.error("stream_refused", stream=name, problem=str(waiting.refusal))
        is_answers = name == self._author.stream(self._author.streams.configuration_status)
        kept = "the answers to configuration updates" if is_answers else "its events"
        message = f"{waiting.refusal}; {kept} are kept here and tried again"
        # The configuration loop clears what it can read after all.
        right = waiting.refusal.right.value if isinstance(waiting.refusal, AccessRefused) else ""
        self._outbox.offer(self._author.alarm_raised(self._identity(stream), message, body=right))

    def _tell_overall(self, refusal: Refusal) -> None:
        if not self._is_overall_said:
            self._is_overall_said = True
            log.error("event_store_refuses", streams=len(self._waiting), problem=str(refusal))
        message = f"the event store takes no events: {refusal}; they are kept here and tried again"
        self._outbox.offer(self._author.alarm_raised(EVENT_STORE_REFUSES, message))

    def _clear(self, alarm: AlarmIdentity) -> None:
        """Say that it is over, if it was said. An outbox without room is asked again after the next success."""
        if alarm in self._outbox.alarms:
            self._outbox.offer(self._author.alarm_cleared(alarm))

    def _identity(self, stream: int) -> AlarmIdentity:
        return self._author.stream_alarm(AlarmKind.STREAM_REFUSED, self._outbox.streams.name(stream))
