"""What the event store refuses: an event that is at fault is set aside, and a stream that is refused waits alone.

It keeps its entries and is tried again slowly until it is taken. A stream is refused when the user lacks a right on it,
or when each of its events that was tried is called wrong. If every stream waits so, that is one state of the event
store, and one alarm instead of one for each stream.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import structlog

from edge.domain.alarm import AlarmIdentity, AlarmKind
from edge.domain.author import Author, encode_json
from edge.domain.backoff import Backoff
from edge.domain.clock import Clock
from edge.domain.event import Draft, EventType
from edge.domain.event_store import (
    AccessRefused,
    AppendTooLarge,
    EventStoreError,
    RequestRefused,
    WrongExpectedRevision,
)
from edge.domain.facts import EventQuarantined
from edge.domain.json_form import json_of
from edge.forward.link import LinkState
from edge.forward.reconcile import facts_of
from edge.forward.stream import APPEND_BYTES_MAX, RefusedEvent, Stream, new_events, size_of
from edge.forward.verification import verify
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# Rights are given by people, and servers are repaired by them.
REFUSED_BACKOFF = Backoff(first_s=10.0, longest_s=300.0)
# One refusal may be a moment's: a right is just being written. The second one is told.
TOLD_AFTER = 2
# One stream may be refused for its name (a proxy's rule). Two of them with nothing taken in between: it is the store.
# In each, several events were tried.
STREAMS_REFUSED_MIN = 2
# No stream ever has so many events, so an append after this revision is never written. The server judges the events
# before it compares the revision: the answer tells whether it would have taken them.
UNREACHED_REVISION = 10**12

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
        # Each stream's alarm, which is asked for after each append.
        self._alarms: dict[int, AlarmIdentity] = {}
        # When the event store last took an event.
        self._taken_at_s = -1.0
        # Said in this run; the alarm itself is remembered over runs.
        self._is_overall_said = False

    def begin(self) -> None:
        """Check the alarms of earlier runs: a refused stream may have nothing to send now, or be parked no more."""
        self._clear_parked()
        names = {
            alarm.identity.stream for alarm in self._outbox.alarms if alarm.identity.alarm == AlarmKind.STREAM_REFUSED
        }
        for number in self._outbox.streams.numbers():
            if self._outbox.streams.name(number) in names:
                self._retry(number)

    def _clear_parked(self) -> None:
        streams = self._outbox.streams
        parked = {streams.name(number) for number in streams.parked()}
        for alarm in self._outbox.alarms:
            if alarm.identity.alarm == AlarmKind.STREAM_PARKED and alarm.identity.stream not in parked:
                self._outbox.offer(self._author.alarm_cleared(alarm.identity))

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
        if stream not in self._alarms:
            name = self._outbox.streams.name(stream)
            self._alarms[stream] = self._author.stream_alarm(AlarmKind.STREAM_REFUSED, name)
        return self._alarms[stream]


async def judge(stream: Stream, refused: RefusedEvent) -> None:
    """Set a refused event aside if others of the stream pass.

    While none passes, nothing shows that it is the event's fault. Nothing waits behind the last event, so it can stay
    until another one comes. Raises EventsRefused for that, and what `verify` raises.
    """
    entry, error = refused
    is_certain = isinstance(error, AppendTooLarge) and size_of(entry) > APPEND_BYTES_MAX
    if not is_certain and not await _is_at_fault(stream, entry):
        reason = f"the event store refuses what {stream.name} has: {error}"
        raise EventsRefused(reason, is_alone=not stream.has_more) from error
    # The client library repeats by itself: an earlier try of this append may have been written.
    await verify(stream)
    if stream.is_verified and stream.entries and stream.entries[0] is entry:
        await _set_aside(stream, entry, error)


async def _is_at_fault(stream: Stream, suspect: Entry) -> bool:
    """Whether the event store refuses one event, and would take another of the stream, before and after."""
    for entry in await _others(stream, suspect):
        if await _would_take(stream, entry):
            return not await _would_take(stream, suspect) and await _would_take(stream, entry)
    return False


async def _others(stream: Stream, suspect: Entry) -> list[Entry]:
    """Return what may be asked about besides the suspect."""
    others = others_to_try(stream.entries)
    if stream.lags:
        others += (await stream.shared.outbox.read_after(stream.last_position - 1, bytes_max=1)).entries[:1]
    return [entry for entry in others if entry.stream == stream.number and entry.position != suspect.position]


async def _would_take(stream: Stream, entry: Entry) -> bool:
    """Whether the event store finds nothing wrong with an event. It is not written."""
    try:
        await stream.shared.event_store.append(stream.name, new_events([entry]), expected_revision=UNREACHED_REVISION)
    except (AppendTooLarge, RequestRefused):
        return False
    except WrongExpectedRevision:
        return True
    # A server that takes what follows nothing does not look at what it is given.
    return False


async def _set_aside(stream: Stream, entry: Entry, error: EventStoreError) -> None:
    reason: Literal["too_large", "refused"] = "too_large" if isinstance(error, AppendTooLarge) else "refused"
    facts = facts_of(entry.data, entry.metadata)
    quarantined = EventQuarantined(
        device_id=facts.device_id,
        stream=stream.name,
        event_id=entry.event_id,
        event_type=entry.type,
        position=entry.position,
        run=facts.run,
        sequence=facts.sequence,
        reason=reason,
        detail=str(error),
    )
    log.error("event_quarantined", **json_of(quarantined))
    # A declaration that is refused itself is told by the log only: declaring that would never end.
    declarations: tuple[Draft, ...] = ()
    if entry.type != EventType.EVENT_QUARANTINED:
        declarations = (stream.shared.author.control(quarantined),)
    await stream.shared.outbox.quarantine(entry, reason=encode_json([reason, str(error)]), declarations=declarations)
    stream.shared.outbox.cursors.advance(stream.number, position=entry.position)
    stream.forwarded(entry.position)
    stream.resume()


def others_to_try(entries: Sequence[Entry]) -> list[Entry]:
    """Choose a few entries after the first that may pass where it does not: near ones, far ones, the last.

    Farther apart each time: a run of a thousand bad events is seen through with ten tries.
    """
    indices = {1 << power for power in range(len(entries).bit_length())} | {len(entries) - 1}
    return [entries[index] for index in sorted(indices) if 0 < index < len(entries)]
