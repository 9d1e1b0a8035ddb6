"""An event store in memory that obeys the server's append rule (facts/event-store.md, section 1) and fails on request.

Deterministic: no thread, no clock, no chance of its own; it runs on any asyncio loop, virtual time included. It is written
apart from the embedded store on purpose: the conformance suite holds both to the same table.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from edge.domain.event import NewEvent, RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    AccessRefused,
    AppendTooLarge,
    CaughtUp,
    CredentialRefused,
    EventStoreUnavailable,
    OutcomeUnknown,
    RequestRefused,
    Right,
    StreamDeleted,
    StreamNotFound,
    WrongExpectedRevision,
)
from fakes.stream_state import DelayedAppend, Fault, NeverAnswered, ReadCount, StreamState, Weak, known_strongly

if TYPE_CHECKING:
    from uuid import UUID

APPEND_BYTES_MAX = 1_048_576

__all__ = ["DelayedAppend", "FakeEventStore", "Fault", "StreamState", "Weak"]


class FakeEventStore:
    """`EventStore` for tests. What a test may set or ask is public."""

    def __init__(self, *, append_bytes_max: int = APPEND_BYTES_MAX, recent_max: int = 50_000) -> None:
        self.streams: dict[str, StreamState] = {}
        self.append_bytes_max = append_bytes_max
        # The weak cache: id -> (the first stream that used it, revision). Empty after a restart.
        self.recent: dict[UUID, tuple[str, int]] = {}
        self.recent_max = recent_max
        # Nobody answers; running subscriptions break when it is set through `go_down`.
        self.down = False
        # The user is wrong: no call is let in.
        self.access_refused = False
        # Rights on streams that the user does not have.
        self.denied: set[tuple[str, Right]] = set()
        # An event for which this says True is a bad request.
        self.refuses: Callable[[NewEvent], bool] = lambda _event: False
        # Faults of the next appends, in order; when there is none, `choose_fault` is asked.
        self.faults: deque[Fault | None] = deque()
        self.choose_fault: Callable[[str], Fault | None] = lambda _stream: None
        # Whether a read fails with EventStoreUnavailable.
        self.choose_read_fault: Callable[[str], bool] = lambda _stream: False
        # Whether an append whose caller was cancelled before the server saw it still lands later.
        self.cancelled_lands: Callable[[], bool] = lambda: False
        # Seconds each way; sleep(0) lets the others run even at zero.
        self.latency_s: Callable[[], float] = lambda: 0.0
        self.delayed: list[DelayedAppend] = []
        # Whether the answer to an append that an earlier try had written tells the position it was given then.
        self.repeats_positions: Callable[[], bool] = lambda: False
        self.reads: defaultdict[str, ReadCount] = defaultdict(ReadCount)
        # Calls of append per stream, lost ones included.
        self.append_calls: defaultdict[str, int] = defaultdict(int)
        self._changed: set[asyncio.Event] = set()
        self._epoch = 0

    # --- EventStore

    async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> int | None:
        return await self.append_as(stream, events, expected_revision)

    async def append_as(self, stream: str, events: Sequence[NewEvent], expected: int | Weak) -> int | None:
        """Append as a client does, through latency and faults, with a weak expectation if wanted."""
        call = DelayedAppend(stream, tuple(events), expected)
        self.append_calls[stream] += 1
        try:
            await asyncio.sleep(self.latency_s())
        except asyncio.CancelledError:
            if self.cancelled_lands():
                self.delayed.append(call)
            raise
        fault = self.faults.popleft() if self.faults else self.choose_fault(stream)
        if self.down or fault is Fault.UNAVAILABLE:
            raise EventStoreUnavailable("the fake event store is down")
        if fault is Fault.LOST_REQUEST:
            raise OutcomeUnknown("the request was lost")
        if fault is Fault.DELAYED:
            self.delayed.append(call)
            raise OutcomeUnknown("the request is late")
        self._check_access(stream, Right.APPEND)
        try:
            position = self.append_now(stream, events, expected)
        except NeverAnswered:
            await asyncio.Event().wait()
            raise
        await asyncio.sleep(self.latency_s())
        if fault is Fault.LOST_ANSWER:
            raise OutcomeUnknown("the answer was lost")
        return position

    async def read_forward(self, stream: str, *, from_revision: int, limit: int) -> list[RecordedEvent]:
        state = await self._readable(stream)
        first = max(from_revision, state.truncated_before)
        return self._counted(stream, state.events[first : first + limit])

    async def read_backward(self, stream: str, *, limit: int, from_revision: int | None = None) -> list[RecordedEvent]:
        state = await self._readable(stream)
        last = state.last if from_revision is None else min(from_revision, state.last)
        return self._counted(stream, state.events[state.truncated_before : last + 1][::-1][:limit])

    @asynccontextmanager
    async def subscribe(
        self, stream: str, *, after_revision: int
    ) -> AsyncIterator[AsyncIterator[RecordedEvent | CaughtUp]]:
        await asyncio.sleep(self.latency_s())
        self._check_reachable()
        self._check_access(stream, Right.READ)
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            yield self._follow(stream, after_revision, changed, self._epoch)
        finally:
            self._changed.discard(changed)

    async def _follow(
        self, stream: str, after_revision: int, changed: asyncio.Event, epoch: int
    ) -> AsyncIterator[RecordedEvent | CaughtUp]:
        following, caught_up = after_revision + 1, False
        while True:
            changed.clear()
            if self._epoch != epoch:
                raise EventStoreUnavailable("the subscription was lost")
            state = self.streams.get(stream, StreamState())
            if state.tombstoned:
                raise StreamDeleted(stream)
            following = max(following, state.truncated_before)
            if following <= state.last:
                following += 1
                yield state.events[following - 1]
            elif not caught_up:
                caught_up = True
                yield CaughtUp()
            else:
                await changed.wait()

    # --- The server's side

    def append_now(self, stream: str, events: Sequence[NewEvent], expected: int | Weak) -> int | None:
        """Apply the server's rule at once; return the commit position. Also how a test plays a foreign writer."""
        if sum(len(event.data) + len(event.metadata) + 2 * len(event.type) for event in events) > self.append_bytes_max:
            raise AppendTooLarge(f"the limit is {self.append_bytes_max} bytes")
        if any(self.refuses(event) for event in events):
            raise RequestRefused("bad request")
        state = self.streams.get(stream, StreamState())
        if state.tombstoned:
            raise StreamDeleted(stream)
        if isinstance(expected, Weak):
            known = self._known_weakly(stream, state, events, expected)
        else:
            known = known_strongly(state, events, expected)
        if not events:
            state.revive()
        elif not known:
            self._write(stream, events)
            return self.streams[stream].positions[-1]
        if known and not isinstance(expected, Weak) and self.repeats_positions():
            return state.positions[expected + len(events)]
        return None

    def _known_weakly(self, stream: str, state: StreamState, events: Sequence[NewEvent], expected: Weak) -> bool:
        if expected is Weak.EXISTS and state.soft_deleted:
            raise StreamDeleted(stream)
        if expected is Weak.EXISTS and not state.events:
            raise WrongExpectedRevision("the stream does not exist", actual=NO_STREAM)
        known = [self.recent.get(event.event_id, ("", 0))[0] == stream for event in events]
        if all(known):
            revisions = [self.recent[event.event_id][1] for event in events]
            if revisions != sorted(revisions):
                raise NeverAnswered
            return True
        if known[0]:
            raise WrongExpectedRevision("some ids are known, some are new", actual=state.last)
        return False

    def _write(self, stream: str, events: Sequence[NewEvent]) -> None:
        state = self.streams.setdefault(stream, StreamState())
        state.revive()
        for event in events:
            recorded = RecordedEvent(
                event_id=event.event_id,
                type=event.type,
                data=event.data,
                metadata=event.metadata,
                stream=stream,
                revision=state.last + 1,
            )
            state.events.append(recorded)
            state.positions.append(self.log_length() - 1)
            self.recent.setdefault(event.event_id, (stream, recorded.revision))
        while len(self.recent) > self.recent_max:
            del self.recent[next(iter(self.recent))]
        self._wake()

    def land(self, index: int = 0) -> bool:
        """Let one delayed append arrive. Whether it was accepted; nobody hears a refusal."""
        call = self.delayed.pop(index)
        try:
            self.append_now(call.stream, call.events, call.expected)
        except (WrongExpectedRevision, StreamDeleted, AppendTooLarge, RequestRefused):
            return False
        return True

    def heal(self) -> None:
        """Refuse nothing any more."""
        self.refuses = lambda _event: False
        self.append_bytes_max = APPEND_BYTES_MAX
        self.access_refused = False
        self.denied.clear()

    def soft_delete(self, stream: str) -> None:
        self.streams[stream].soft_deleted = True

    def tombstone(self, stream: str) -> None:
        self.streams.setdefault(stream, StreamState()).tombstoned = True
        self._wake()

    def truncate(self, stream: str, before: int) -> None:
        """Hide all events before this revision, as `$tb` does. The stream's last revision stays."""
        self.streams[stream].truncated_before = before

    def restart(self) -> None:
        """End the process and start it: subscriptions break, late requests and the weak cache are gone."""
        self.down = False
        self.recent.clear()
        self.delayed.clear()
        self.break_subscriptions()

    def go_down(self) -> None:
        self.down = True
        self.break_subscriptions()

    def break_subscriptions(self) -> None:
        self._epoch += 1
        self._wake()

    def snapshot(self) -> dict[str, StreamState]:
        """Take a backup."""
        return _copied(self.streams)

    def restore(self, snapshot: dict[str, StreamState]) -> None:
        """Put a backup in place and restart. An empty one replaces the store by an empty store."""
        self.streams = _copied(snapshot)
        self.restart()

    def events(self, stream: str) -> list[RecordedEvent]:
        """All events ever written to the stream, hidden ones included; not counted as a read."""
        return list(self.streams.get(stream, StreamState()).events)

    def log_length(self) -> int:
        """How many events all streams hold; the next one's commit position is told from it."""
        return sum(len(state.events) for state in self.streams.values())

    def _wake(self) -> None:
        for changed in self._changed:
            changed.set()

    def _check_reachable(self) -> None:
        if self.down:
            raise EventStoreUnavailable("the fake event store is down")

    def _check_access(self, stream: str, right: Right) -> None:
        if self.access_refused:
            raise CredentialRefused("no such user, or a wrong password")
        if (stream, right) in self.denied:
            raise AccessRefused(stream=stream, right=right, user="gw-north")

    async def _readable(self, stream: str) -> StreamState:
        self.reads[stream].calls += 1
        await asyncio.sleep(self.latency_s())
        self._check_reachable()
        if self.choose_read_fault(stream):
            raise EventStoreUnavailable("the read was lost")
        self._check_access(stream, Right.READ)
        state = self.streams.get(stream)
        if state is not None and state.tombstoned:
            raise StreamDeleted(stream)
        if state is None or not state.events or state.soft_deleted:
            raise StreamNotFound(stream)
        return state

    def _counted(self, stream: str, events: list[RecordedEvent]) -> list[RecordedEvent]:
        self.reads[stream].events += len(events)
        return events


def _copied(streams: dict[str, StreamState]) -> dict[str, StreamState]:
    return {
        name: replace(state, events=list(state.events), positions=list(state.positions))
        for name, state in streams.items()
    }
