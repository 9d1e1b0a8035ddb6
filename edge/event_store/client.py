"""The event store over gRPC: EventStoreDB, KurrentDB, or the embedded one.

With `node`, `cluster` and `embedded` the only place that knows esdbclient. The library's faults are corrected here.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import esdbclient
import grpc
import grpc.aio
from esdbclient import StreamState
from esdbclient.client import DEFAULT_EXCLUDE_FILTER
from esdbclient.exceptions import (
    AbortedByServer,
    DeadlineExceeded,
    EventStoreDBClientException,
    InternalError,
    NodeIsNotLeader,
    ServiceUnavailable,
)
from esdbclient.streams import AsyncCatchupSubscription
from google.protobuf.any_pb2 import Any

from edge.domain.event import NewEvent, RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    EventStoreUnavailable,
    OutcomeUnknown,
)
from edge.domain.settings import EventStoreSettings
from edge.event_store.cancellation import CallEnded, cancellation_kept
from edge.event_store.cluster import Cluster
from edge.event_store.feed import feeding
from edge.event_store.node import Access, Keepalive, Node
from edge.event_store.refusals import Caller, CallFailure, append_error, read_error

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# A server takes 100 calls on one connection; one more would wait unseen. Subscriptions need a few as well.
CALLS_MAX = 64

# What gRPC says on this side, as status INTERNAL, if the connection breaks while a call is being sent.
_BROKEN_WHILE_SENT = "Internal error from Core"

_TOMBSTONE_TYPE = "$streamDeleted"

_LIBRARY_ERRORS = (EventStoreDBClientException, grpc.aio.UsageError, grpc.RpcError, CallEnded)


@dataclass(frozen=True, slots=True)
class PositionedEvent:
    """An event of `$all`, with the position after which reading may be resumed."""

    position: int
    event: RecordedEvent


class GrpcEventStore:
    """`EventStore` on the leader of a cluster, or on one node. Made by `open_event_store`, for one event loop."""

    def __init__(self, cluster: Cluster, settings: EventStoreSettings, *, user: str | None) -> None:
        self._cluster = cluster
        self._settings = settings
        self._user = user
        self._calls = asyncio.Semaphore(CALLS_MAX)

    async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> int | None:
        """Append after exactly this revision; see `EventStore`. Empty appends are a bug of the caller."""
        assert events
        timeout_s = self._settings.append_timeout_s
        attempts = 0

        async def send(node: Node) -> int:
            nonlocal attempts
            attempts += 1
            return await node.streams.batch_append(
                stream_name=stream,
                current_version=StreamState.NO_STREAM if expected_revision == NO_STREAM else expected_revision,
                events=[
                    esdbclient.NewEvent(type=event.type, data=event.data, metadata=event.metadata, id=event.event_id)
                    for event in events
                ],
                timeout=timeout_s,
                metadata=node.metadata,
                credentials=node.credentials,
            )

        try:
            position = await self._made(timeout_s, send)
        except (TimeoutError, EventStoreUnavailable) as error:
            message = str(error) or f"no answer within {timeout_s} s"
            raise (OutcomeUnknown(message) if attempts else EventStoreUnavailable(message)) from error
        except _LIBRARY_ERRORS as error:
            raise append_error(_failure(error), Caller(user=self._user, stream=stream), attempts=attempts) from error
        # 0 stands for "no position": an earlier try had written the events.
        return position or None

    async def read_forward(self, stream: str, *, from_revision: int, limit: int) -> list[RecordedEvent]:
        """Read from a revision on; see `EventStore`."""
        return await self._read(stream, position=from_revision, backwards=False, limit=limit)

    async def read_backward(self, stream: str, *, limit: int, from_revision: int | None = None) -> list[RecordedEvent]:
        """Read backward; see `EventStore`."""
        return await self._read(stream, position=from_revision, backwards=True, limit=limit)

    async def _read(self, stream: str, *, position: int | None, backwards: bool, limit: int) -> list[RecordedEvent]:
        assert limit > 0
        assert position is None or position >= 0
        timeout_s = self._settings.read_timeout_s

        async def read(node: Node) -> list[RecordedEvent]:
            response = await node.streams.read(
                stream_name=stream,
                stream_position=position,
                backwards=backwards,
                limit=limit,
                timeout=timeout_s,
                metadata=node.metadata,
                credentials=node.credentials,
            )
            events = [_recorded(event) async for event in response]
            # A read that the library cut short ends like one that is complete.
            if await response.aio_call.code() is not grpc.StatusCode.OK:
                raise CallEnded("the read was cut short")
            return events

        return await self._answered(stream, read)

    @asynccontextmanager
    async def subscribe(
        self, stream: str, *, after_revision: int
    ) -> AsyncIterator[AsyncIterator[RecordedEvent | CaughtUp]]:
        """Follow a stream; see `EventStore`. The library's position is exclusive, too."""

        # A `timeout=` would be one for the whole subscription.
        async def confirmed(node: Node) -> tuple[Node, AsyncCatchupSubscription]:
            return node, await node.streams.read(
                stream_name=stream,
                stream_position=None if after_revision == NO_STREAM else after_revision,
                subscribe=True,
                include_caught_up=True,
                metadata=node.metadata,
                credentials=node.credentials,
            )

        node, subscription = await self._answered(stream, confirmed)
        async with self._following(stream, node, subscription, _recorded) as items:
            yield items

    @asynccontextmanager
    async def subscribe_all(
        self, *, after_position: int | None
    ) -> AsyncIterator[AsyncIterator[PositionedEvent | CaughtUp]]:
        """Follow all streams from after a position (None = from the start), without the server's own events.

        Needs the right to read `$all`, which is for administrators by default. Otherwise as `subscribe`.
        """

        async def confirmed(node: Node) -> tuple[Node, AsyncCatchupSubscription]:
            return node, await node.streams.read(
                commit_position=after_position,
                filter_exclude=DEFAULT_EXCLUDE_FILTER,
                subscribe=True,
                include_caught_up=True,
                metadata=node.metadata,
                credentials=node.credentials,
            )

        node, subscription = await self._answered("$all", confirmed)
        async with self._following("$all", node, subscription, _positioned) as items:
            yield items

    async def _answered(self, stream: str, call: Callable[[Node], Awaitable[Answer]]) -> Answer:
        """Make a call that changes nothing: a read, or the opening of a subscription up to its confirmation."""
        timeout_s = self._settings.read_timeout_s
        try:
            return await self._made(timeout_s, call)
        except TimeoutError as error:
            raise EventStoreUnavailable(f"no answer within {timeout_s} s") from error
        except _LIBRARY_ERRORS as error:
            raise read_error(_failure(error), Caller(user=self._user, stream=stream)) from error

    async def _made(self, timeout_s: float, call: Callable[[Node], Awaitable[Answer]]) -> Answer:
        """Make a call on the node that leads; once more if that node turns out to be gone, or to lead no longer."""
        try:
            return await self._tried(timeout_s, call)
        except _LIBRARY_ERRORS as error:
            if not self._may_be_mended(error):
                raise
        return await self._tried(timeout_s, call)

    async def _tried(self, timeout_s: float, call: Callable[[Node], Awaitable[Answer]]) -> Answer:
        """Make a call once, and remember what an error says of the node."""
        node = await self._cluster.leader()
        try:
            async with node.bounding(timeout_s), self._calls:
                return await call(node)
        except TimeoutError:
            self._cluster.doubt(node)
            raise
        except _LIBRARY_ERRORS as error:
            await self._conclude(node, error)
            raise

    async def _conclude(self, node: Node, error: Exception) -> None:
        """Give the node up or doubt it, if the error of a call on it means that."""
        match error:
            case NodeIsNotLeader():
                if not self._cluster.is_single:
                    await self._cluster.give_up(node, leader=_leader_named_by(error))
            case _ if _is_of_connection(error):
                await self._cluster.give_up(node)
            case DeadlineExceeded() | AbortedByServer() | CallEnded():
                self._cluster.doubt(node)
            case _ if _failure(error).is_not_ready:
                self._cluster.doubt(node)

    def _may_be_mended(self, error: Exception) -> bool:
        """Whether a look for the leader may be all that the call needs."""
        if isinstance(error, NodeIsNotLeader) or _failure(error).is_not_ready:
            return not self._cluster.is_single
        return _is_of_connection(error)

    @asynccontextmanager
    async def _following(
        self,
        stream: str,
        node: Node,
        subscription: AsyncCatchupSubscription,
        convert: Callable[[esdbclient.RecordedEvent], Item],
    ) -> AsyncIterator[AsyncIterator[Item | CaughtUp]]:
        async def items() -> AsyncGenerator[Item | CaughtUp, None]:
            try:
                async with aclosing(_events_of(subscription)) as events:
                    async for event in events:
                        yield CaughtUp() if event.is_caught_up else convert(event)
                # The server never ends one, unless it is stopped.
                self._cluster.doubt(node)
            except _LIBRARY_ERRORS as error:
                await self._conclude(node, error)
                raise read_error(_failure(error), Caller(user=self._user, stream=stream)) from error

        try:
            async with feeding(items(), lambda: EventStoreUnavailable("the subscription ended")) as feed:
                yield feed
        finally:
            await subscription.stop()


@asynccontextmanager
async def open_event_store(
    settings: EventStoreSettings, *, credential: str | None = None, keepalive: Keepalive | None = None
) -> AsyncIterator[GrpcEventStore]:
    """Make a store with a channel of its own, for the length of the context; connects at the first call.

    `credential` is `user:password`; it takes the place of what the URI has. Raises EventStoreMisconfigured.
    """
    access = Access(settings, credential, keepalive or Keepalive())
    cluster = Cluster(access)
    try:
        yield GrpcEventStore(cluster, settings, user=access.user)
    finally:
        await cluster.close()


async def _events_of(subscription: AsyncCatchupSubscription) -> AsyncGenerator[esdbclient.RecordedEvent, None]:
    """Iterate over what a subscription gives, but for a tombstone: the server tells right after it what it means.

    It stands at the highest revision there is, so that a position after it would be of no use.
    """
    with cancellation_kept():
        async for event in subscription:
            if event.type != _TOMBSTONE_TYPE:
                yield event


def _failure(error: Exception) -> CallFailure:
    """Describe an error of the library in words."""
    said = error.args[0] if error.args else ""
    kind = type(error).__name__
    if isinstance(error, NodeIsNotLeader):
        return CallFailure(
            kind=kind, reason="this node is not the leader: name all nodes in the URI, or use esdb+discover://"
        )
    if isinstance(said, grpc.aio.AioRpcError):
        return CallFailure(kind=kind, code=said.code().name, reason=said.details() or "")
    if type(error) is EventStoreDBClientException and isinstance(said, Any):
        return CallFailure(kind=kind, detail_type=said.TypeName())
    return CallFailure(kind=kind, reason=str(said))


def _is_of_connection(error: Exception) -> bool:
    """Whether the connection broke, or its channel was closed before the call began."""
    if isinstance(error, InternalError):
        return str(error) == _BROKEN_WHILE_SENT
    return isinstance(error, ServiceUnavailable | grpc.aio.UsageError)


def _leader_named_by(error: NodeIsNotLeader) -> str | None:
    try:
        return error.leader_grpc_target
    except KeyError:
        # The server knows no leader, or its trailers were lost on the way.
        return None


def _recorded(event: esdbclient.RecordedEvent) -> RecordedEvent:
    return RecordedEvent(
        event_id=event.id,
        type=event.type,
        data=event.data,
        metadata=event.metadata,
        stream=event.stream_name,
        revision=event.stream_position,
    )


def _positioned(event: esdbclient.RecordedEvent) -> PositionedEvent:
    assert event.commit_position is not None
    return PositionedEvent(event.commit_position, _recorded(event))
