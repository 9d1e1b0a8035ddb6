"""The Read call: streams and `$all`, both ways, and catch-up subscriptions.

A subscription holds one page in memory, however slow its reader is: it asks the log for the next page when gRPC has
taken the last one.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from esdbclient.protos.Grpc import streams_pb2

from edge.event_store.embedded import wire
from edge.event_store.embedded.database import Batch, Span
from edge.event_store.embedded.faults import Faults
from edge.event_store.embedded.log import EventLog
from edge.event_store.embedded.rule import NO_STREAM, TOMBSTONE_REVISION, Head

_Options = streams_pb2.ReadReq.Options
TICKS_PER_S = 10_000_000
# Events that a filtered subscription looks at between two checkpoints, unless it asks for another number.
WINDOW = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """One Read call."""

    log: EventLog
    faults: Faults
    options: streams_pb2.ReadReq.Options
    ticks: Callable[[], int]

    def answers(self) -> AsyncIterator[streams_pb2.ReadResp]:
        """Answer the call. Raises Refusal, BadRequest."""
        follows = self.options.WhichOneof("count_option") == "subscription"
        if self.options.WhichOneof("stream_option") == "stream":
            return self._follow_stream() if follows else self._read_stream()
        return self._follow_all() if follows else self._read_all()

    @property
    def _backward(self) -> bool:
        return self.options.read_direction == _Options.Backwards

    async def _read_stream(self) -> AsyncIterator[streams_pb2.ReadResp]:
        wanted = self.options.stream
        name = wire.stream_name(wanted.stream_identifier)
        head = self._living_head(name)
        if head is None or head.last_revision == NO_STREAM or head.is_softly_deleted:
            missing = streams_pb2.ReadResp.StreamNotFound(stream_identifier=wanted.stream_identifier)
            yield streams_pb2.ReadResp(stream_not_found=missing)
            return
        first, last = head.first_visible, head.last_revision
        match wanted.WhichOneof("revision_option"):
            case "revision" if not self._backward:
                first = max(first, wanted.revision)
            case "revision" | "start" if self._backward:
                # `start` is no revision: it is 0 then.
                last = min(last, wanted.revision)
            case "end" if not self._backward:
                first = last + 1
        left = self.options.count
        async for answer in self._limited(self._events(Span(head.number, first, last))):
            left -= 1
            yield answer
        if left:
            yield streams_pb2.ReadResp(last_stream_position=head.last_revision)

    async def _read_all(self) -> AsyncIterator[streams_pb2.ReadResp]:
        wanted = self.options.all
        first, last = 1, self.log.last_position
        match wanted.WhichOneof("all_option"):
            case "position" if not self._backward:
                first = max(first, wanted.position.commit_position)
            case "position" | "start" if self._backward:
                last = min(last, wanted.position.commit_position - 1)
            case "end" if not self._backward:
                return
        matches = _filter_of(self.options)
        async for answer in self._limited(self._events(Span(None, first, last), matches)):
            yield answer

    async def _limited(self, answers: AsyncIterator[streams_pb2.ReadResp]) -> AsyncIterator[streams_pb2.ReadResp]:
        left = self.options.count
        if not left:
            return
        async for answer in answers:
            yield answer
            left -= 1
            if not left:
                return

    async def _follow_stream(self) -> AsyncIterator[streams_pb2.ReadResp]:
        wanted = self.options.stream
        name = wire.stream_name(wanted.stream_identifier)
        head = self._living_head(name)
        match wanted.WhichOneof("revision_option"):
            case "revision":
                following = wanted.revision + 1
            case "end":
                following = 0 if head is None else head.last_revision + 1
            case _:
                following = 0
        yield _confirmation()
        caught_up = False
        while True:
            grown = self.log.grown()
            self.faults.check_available()
            head = self.log.head(name)
            if head is not None and max(following, head.first_visible) <= head.last_revision:
                async for answer in self._events(
                    Span(head.number, max(following, head.first_visible), head.last_revision)
                ):
                    yield answer
                following = head.last_revision + 1
                continue
            if self.log.is_tombstoned(name):
                break
            if not caught_up:
                caught_up = True
                yield streams_pb2.ReadResp(caught_up=streams_pb2.ReadResp.CaughtUp())
            await grown.wait()
        # The tombstone is told before the refusal.
        if head is not None and head.tombstoned:
            async for answer in self._events(Span(head.number, TOMBSTONE_REVISION, TOMBSTONE_REVISION)):
                yield answer
        raise wire.stream_deleted(name)

    async def _follow_all(self) -> AsyncIterator[streams_pb2.ReadResp]:
        wanted = self.options.all
        match wanted.WhichOneof("all_option"):
            case "position":
                following = wanted.position.commit_position + 1
            case "end":
                following = self.log.last_position + 1
            case _:
                following = 1
        matches = _filter_of(self.options)
        step = left = _checkpoint_interval(self.options)
        yield _confirmation()
        caught_up = False
        while True:
            grown = self.log.grown()
            self.faults.check_available()
            last = min(self.log.last_position, following + left - 1)
            if following <= last:
                async for answer in self._events(Span(None, following, last), matches):
                    yield answer
                left -= last + 1 - following
                following = last + 1
                if matches is not None and not left:
                    yield _checkpoint(last)
                left = left or step
                continue
            if not caught_up:
                caught_up = True
                yield streams_pb2.ReadResp(caught_up=streams_pb2.ReadResp.CaughtUp())
            await grown.wait()

    def _living_head(self, name: str) -> Head | None:
        if self.log.is_tombstoned(name):
            raise wire.stream_deleted(name)
        return self.log.head(name)

    async def _events(
        self, span: Span, matches: "Callable[[str, str], bool] | None" = None
    ) -> AsyncIterator[streams_pb2.ReadResp]:
        """Read a span page by page, in the call's direction."""
        first, last = span.first, span.last
        while first <= last and (page := await self.log.page(Span(span.stream, first, last), backward=self._backward)):
            for batch in page:
                begins = batch.position if span.stream is None else batch.first_revision
                ends = begins + batch.events - 1
                wanted = range(max(first, begins) - begins, min(last, ends) - begins + 1)
                first, last = (first, begins - 1) if self._backward else (ends + 1, last)
                for answer in self._answers_of(batch, wanted, matches, in_stream=span.stream is not None):
                    yield answer

    def _answers_of(
        self, batch: Batch, wanted: range, matches: "Callable[[str, str], bool] | None", *, in_stream: bool
    ) -> Iterator[streams_pb2.ReadResp]:
        head = self.log.head_of(batch.stream)
        # As with the real server, `$all` still shows what its stream has let go.
        if in_stream and self._is_expired(batch, head):
            return
        structured_ids = self.options.uuid_option.WhichOneof("content") == "structured"
        indices = wanted[::-1] if self._backward else wanted
        for event_type, answer in wire.read_responses(batch, head, indices, structured_ids=structured_ids):
            if matches is None or matches(head.name, event_type):
                yield answer

    def _is_expired(self, batch: Batch, head: Head) -> bool:
        return head.max_age_s is not None and batch.created < self.ticks() - head.max_age_s * TICKS_PER_S


def _confirmation() -> streams_pb2.ReadResp:
    return streams_pb2.ReadResp(
        confirmation=streams_pb2.ReadResp.SubscriptionConfirmation(subscription_id=str(uuid4()))
    )


def _checkpoint(position: int) -> streams_pb2.ReadResp:
    checkpoint = streams_pb2.ReadResp.Checkpoint(commit_position=position, prepare_position=position)
    return streams_pb2.ReadResp(checkpoint=checkpoint)


def _checkpoint_interval(options: streams_pb2.ReadReq.Options) -> int:
    """Return after how many events, shown or not, a filtered subscription is told how far it is. Raises BadRequest."""
    if options.WhichOneof("filter_option") != "filter":
        return WINDOW
    window = options.filter.max if options.filter.WhichOneof("window") == "max" else WINDOW
    interval: int = window * options.filter.checkpointIntervalMultiplier
    if not interval:
        raise wire.BadRequest("a window and its multiplier are at least 1")
    return interval


def _filter_of(options: streams_pb2.ReadReq.Options) -> "Callable[[str, str], bool] | None":
    """Make the test that the call's filter asks for: of (stream name, event type). Raises BadRequest."""
    if options.WhichOneof("filter_option") != "filter":
        return None
    by_stream = options.filter.WhichOneof("filter") == "stream_identifier"
    expression = options.filter.stream_identifier if by_stream else options.filter.event_type
    prefixes = tuple(expression.prefix)
    if prefixes:
        return lambda stream, event_type: (stream if by_stream else event_type).startswith(prefixes)
    try:
        pattern = re.compile(expression.regex)
    except re.error as error:
        raise wire.BadRequest(f"{expression.regex!r} is no pattern: {error}") from error
    return lambda stream, event_type: pattern.search(stream if by_stream else event_type) is not None
