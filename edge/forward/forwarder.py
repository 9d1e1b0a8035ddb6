"""From the outbox to the event store: several streams at a time, control events before telemetry."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from edge.domain.author import Author
from edge.domain.clock import Clock
from edge.domain.event_store import AccessRefused, EventStore, EventStoreError, StreamDeleted
from edge.forward.link import Link, LinkState, Trust
from edge.forward.queues import Queues, Turns
from edge.forward.refusals import EventsRefused, Refusal, Refusals, RefusedStream, judge
from edge.forward.stream import RefusedEvent, Room, Shared, Stream
from edge.forward.verification import CloneDetected, ForeignWriterAlarms, verify
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# Appends in flight. A thin link is filled by two; the rest hides the latency of many small streams.
STREAMS_IN_FLIGHT = 8

# No store is restored from a backup faster. While appends succeed more often than this, nothing is read back.
SILENCE_S = 5.0

# A stream whose events are refused keeps one and the next: whether that one passes tells which is at fault.
HELD_ENTRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderStatus:
    """How forwarding goes."""

    state: LinkState
    # Events forwarded in this run.
    forwarded: int
    queued_bytes: int
    # Since the event store last answered; None = not yet in this run.
    success_age_s: float | None
    # What holds up forwarding now; "" = nothing.
    last_error: str
    # Until everything that waits is tried again; None = nothing waits as a whole.
    next_try_in_s: float | None
    # Streams that the event store refuses, each with the reason; the others go on.
    refused: Mapping[str, RefusedStream]
    # Streams that wait for an operator, and why.
    parked: Mapping[str, str]


class Forwarder:
    """Forwards the outbox. Ends by cancellation only."""

    def __init__(
        self,
        *,
        event_store: EventStore,
        outbox: Outbox,
        author: Author,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._link = Link(clock, chance)
        self._turns = Turns(is_control=self._is_control)
        self._control_streams = {
            author.stream(author.streams.gateway),
            author.stream(author.streams.configuration_status),
        }
        self._refusals = Refusals(outbox=outbox, author=author, clock=clock, chance=chance, retry=self._turns.add)
        self._foreign_writers = ForeignWriterAlarms(outbox, author)
        self._trust = Trust(event_store, outbox.cursors, outbox.streams)
        self._room = Room()
        shared = Shared(
            event_store=event_store,
            outbox=outbox,
            author=author,
            trust=self._trust,
            room=self._room,
            first_position=outbox.statistics().last_position,
            on_foreign=self._foreign_writers.found,
            on_restored=self._verify_all,
        )
        self._queues = Queues(shared, on_filled=self._turns.add)
        self._forwarded = 0

    def status(self) -> ForwarderStatus:
        """Tell how forwarding goes."""
        last_s = self._link.last_success_s
        names = self._outbox.streams
        state, problem, next_try_in_s = self._link.state, self._link.last_error, self._link.next_try_in_s
        refused, overall = self._refusals.status(), self._refusals.overall()
        if overall is not None and state is LinkState.FORWARDING:
            soonest = min(refused.values(), key=lambda stream: stream.next_try_in_s)
            state, next_try_in_s = overall, soonest.next_try_in_s
            problem = f"every stream is refused: {soonest.reason}"
        return ForwarderStatus(
            state=state,
            forwarded=self._forwarded,
            queued_bytes=self._room.size,
            success_age_s=None if last_s is None else self._clock.monotonic_s() - last_s,
            last_error=problem,
            next_try_in_s=next_try_in_s,
            refused=refused,
            parked={names.name(number): reason for number, reason in names.parked().items()},
        )

    async def run(self) -> None:
        """Forward without end."""
        self._refusals.begin()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queues.run(), name="backlog head")
            tasks.create_task(self._prove(), name="proof of the store")
            for number in range(STREAMS_IN_FLIGHT):
                tasks.create_task(self._work(), name=f"forwarder {number}")

    def _is_control(self, stream: int) -> bool:
        return self._outbox.streams.name(stream) in self._control_streams

    def doubt(self) -> None:
        """Note that the event store may have been restored, because a subscription to it ended."""
        self._trust.doubt()

    def hurry(self) -> None:
        """Note that another client has reached the event store: do not wait for the end of a back-off."""
        self._link.hurry()

    async def _prove(self) -> None:
        """Look after each doubt whether the store still holds what it acknowledged; all streams together, or each."""
        while True:
            doubts = await self._trust.doubted()
            await self._link.ready()
            generation = self._link.generation
            try:
                is_intact = await self._trust.is_intact()
            except EventStoreError as error:
                self._lost(generation, error)
                continue
            if is_intact:
                self._answered()
            else:
                self._trust.forget()
                self._verify_all()
            self._trust.settle(doubts, now_s=self._clock.monotonic_s())

    def _answered(self) -> None:
        """Note that a read succeeded: after a loss that is enough only where nothing waits to be appended.

        An event store that can be read and takes no appends would else be tried twice a second, for as long as that
        lasts.
        """
        if self._link.state is LinkState.FORWARDING or not self._has_to_append():
            self._link.succeeded()

    def _has_to_append(self) -> bool:
        return any(
            not self._outbox.streams.is_parked(number) and not self._refusals.must_wait(number, has_more=False)
            for number in self._outbox.cursors.lagging()
        )

    def _verify_all(self) -> None:
        """Nothing is certain: also a stream that has nothing to send is compared again."""
        for stream in self._queues.by_stream.values():
            stream.distrust(is_suspect=True)
            self._turns.add(stream.number)

    async def _work(self) -> None:
        while True:
            number = await self._turns.take()
            try:
                await self._link.ready()
                self._doubt_after_silence()
                await self._trust.ready()
                await self._take_turn(self._queues.by_stream[number])
            finally:
                self._turns.release(number)

    async def _take_turn(self, stream: Stream) -> None:
        if self._outbox.streams.is_parked(stream.number):
            return
        if self._refusals.must_wait(stream.number, has_more=stream.has_more):
            return
        generation, was_verified = self._link.generation, stream.is_verified
        try:
            forwarded = await self._step(stream)
        except CloneDetected as error:
            self._link.park(error)
        except (AccessRefused, EventsRefused) as error:
            self._refused(stream, error)
            return
        except EventStoreError as error:
            # What became of an append is found out for this stream; the others stand or fall with the store.
            stream.distrust()
            self._lost(generation, error)
        except CommitFailed as error:
            # The writer reports the disk; what was to be declared is found again by the next verification.
            self._lost(generation, error)
        else:
            self._stepped(forwarded, is_news=forwarded > 0 or not was_verified)
            self._accepted(stream, is_taken=forwarded > 0)
        if stream.entries or not stream.is_verified:
            self._turns.add(stream.number)

    async def _step(self, stream: Stream) -> int:
        """Compare a stream with the event store where that is due, then append; return how many events were forwarded.

        Raises AccessRefused and EventsRefused for what concerns the stream, other EventStoreErrors for the link.
        """
        try:
            if not stream.is_verified:
                await verify(stream)
            # It may have been distrusted again while it was compared.
            appended = await stream.append() if stream.is_verified else 0
            if isinstance(appended, RefusedEvent):
                await judge(stream, appended)
                return 0
        except StreamDeleted as error:
            await stream.park(error)
            return 0
        return appended

    def _stepped(self, forwarded: int, *, is_news: bool) -> None:
        self._forwarded += forwarded
        if forwarded:
            self._link.succeeded()
        elif is_news:
            self._answered()
        if is_news:
            self._foreign_writers.clear()

    def _refused(self, stream: Stream, refusal: Refusal) -> None:
        """One stream waits; the link and the others go on."""
        stream.hold(to=HELD_ENTRIES if isinstance(refusal, EventsRefused) else 1)
        self._link.reached()
        self._refusals.add(stream.number, refusal)

    def _accepted(self, stream: Stream, *, is_taken: bool) -> None:
        """A stream is refused no longer once something of it is taken, or nothing is left to be refused."""
        is_waiting = stream.cursor.is_lagging
        if is_taken or not is_waiting or self._outbox.streams.is_parked(stream.number):
            stream.resume()
            self._refusals.end(stream.number, is_taken=is_taken)
        else:
            self._refusals.go_on(stream.number)

    def _doubt_after_silence(self) -> None:
        """Doubt the store after a while without calls: it may have been restored without a failed call."""
        last_s = max(self._trust.settled_s, self._link.last_success_s or 0.0)
        if not self._trust.is_doubted and self._clock.monotonic_s() - last_s > SILENCE_S:
            self._trust.doubt()

    def _lost(self, generation: int, error: EventStoreError | CommitFailed) -> None:
        if self._link.lost(generation, error):
            self._trust.doubt()
