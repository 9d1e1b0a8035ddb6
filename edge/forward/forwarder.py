"""From the outbox to the event store: several streams at a time, control events before telemetry, for ever."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from edge.domain.author import Author
from edge.domain.clock import Clock
from edge.domain.event import EventType, Json, RecordedEvent
from edge.domain.event_store import AccessRefused, EventStore, EventStoreError
from edge.forward.link import Link, LinkState
from edge.forward.queues import Queues, StreamQueue
from edge.forward.stream import StreamForwarder
from edge.forward.turns import Turns
from edge.forward.verification import CloneDetected, Verification
from edge.storage.errors import CommitFailed
from edge.storage.outbox import Outbox

log = structlog.get_logger()

# Appends in flight. A thin link is filled by two; the rest hides the latency of many small streams.
STREAMS_IN_FLIGHT = 8

# No store is restored from a backup faster. While appends succeed more often than this, nothing is read back.
SILENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderStatus:
    """How forwarding goes."""

    state: LinkState
    # Events forwarded in this run.
    forwarded: int
    queued_bytes: int
    # Since the event store last answered; None = not yet in this run.
    success_age_s: float | None
    last_error: str
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
        self._author = author
        self._clock = clock
        self._link = Link(clock, chance)
        self._turns = Turns(is_control=self._is_control)
        self._queues = Queues(outbox, on_filled=lambda queue: self._turns.add(queue.number))
        self._stream_forwarder = StreamForwarder(
            event_store=event_store,
            outbox=outbox,
            queues=self._queues,
            author=author,
            verification=Verification(
                event_store=event_store,
                outbox=outbox,
                queues=self._queues,
                author=author,
                first_position=outbox.statistics().last_position,
                on_foreign=self._alarm_foreign,
            ),
        )
        self._control_streams = {
            author.stream(author.streams.gateway),
            author.stream(author.streams.configuration_status),
        }
        self._foreign_streams: set[str] = set()
        self._forwarded = 0

    def status(self) -> ForwarderStatus:
        """Tell how forwarding goes."""
        last_s = self._link.last_success_s
        names = self._outbox.streams
        return ForwarderStatus(
            state=self._link.state,
            forwarded=self._forwarded,
            queued_bytes=self._queues.size,
            success_age_s=None if last_s is None else self._clock.monotonic_s() - last_s,
            last_error=self._link.last_error,
            parked={names.name(number): reason for number, reason in names.parked().items()},
        )

    async def run(self) -> None:
        """Forward for ever."""
        self._verify_all()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queues.run(), name="backlog head")
            for number in range(STREAMS_IN_FLIGHT):
                tasks.create_task(self._work(), name=f"forwarder {number}")

    def _is_control(self, stream: int) -> bool:
        return self._outbox.streams.name(stream) in self._control_streams

    def _verify_all(self) -> None:
        """After a loss nothing is certain: also a stream that has nothing to send is compared again."""
        for queue in self._queues.by_stream.values():
            queue.is_verified = False
            self._turns.add(queue.number)

    async def _work(self) -> None:
        while True:
            stream = await self._turns.take()
            try:
                await self._link.ready()
                await self._take_turn(self._queues.by_stream[stream])
            finally:
                self._turns.release(stream)

    async def _take_turn(self, queue: StreamQueue) -> None:
        if self._outbox.streams.is_parked(queue.number):
            return
        self._forget_after_silence()
        generation, was_verified = self._link.generation, queue.is_verified
        try:
            forwarded = await self._stream_forwarder.step(queue)
        except CloneDetected as error:
            self._link.park(error)
        except AccessRefused as error:
            self._lost(generation, error, LinkState.ACCESS_REFUSED)
        except EventStoreError as error:
            self._lost(generation, error, LinkState.UNREACHABLE)
        except CommitFailed as error:
            # The writer reports the disk; what was to be declared is found again by the next verification.
            self._lost(generation, error, self._link.state)
        else:
            self._forwarded += forwarded
            if forwarded or not was_verified:
                self._link.succeeded()
        if queue.entries or not queue.is_verified:
            self._turns.add(queue.number)

    def _forget_after_silence(self) -> None:
        """A store that nobody called for a while may have been restored without a failed call to show for it."""
        last_s = self._link.last_success_s
        if last_s is not None and self._clock.monotonic_s() - last_s > SILENCE_S:
            for queue in self._queues.by_stream.values():
                queue.is_verified = False

    def _lost(self, generation: int, error: Exception, state: LinkState) -> None:
        if self._link.lost(generation, error, state=state):
            self._verify_all()

    def _alarm_foreign(self, queue: StreamQueue, event: RecordedEvent) -> None:
        """Somebody else writes into our stream: safe, but it costs a read each time. Told once per run and stream."""
        if queue.name in self._foreign_streams:
            return
        log.error("foreign_event_found", stream=queue.name, revision=event.revision, type=event.type)
        message = f"{queue.name} holds events that this gateway did not write, the first at revision {event.revision}"
        body: dict[str, Json] = {"alarm": "foreign_event", "message": message, "stream": queue.name}
        if self._outbox.offer(self._author.control(EventType.ALARM_RAISED, body)):
            self._foreign_streams.add(queue.name)
