"""The event store over gRPC: EventStoreDB, KurrentDB, or the embedded one.

With `embedded` the only place that knows esdbclient. What the library does wrong is put right here.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import esdbclient
import grpc
import grpc.aio
from esdbclient import AsyncEventStoreDBClient, StreamState
from esdbclient.common import AbstractAsyncCatchupSubscription
from esdbclient.exceptions import DiscoveryFailed, EventStoreDBClientException
from google.protobuf.any_pb2 import Any

from edge.domain.event import NewEvent, RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    EventStoreMisconfigured,
    EventStoreUnavailable,
    OutcomeUnknown,
)
from edge.domain.settings import EventStoreSettings
from edge.event_store.cancellation import CallEnded, cancellation_kept
from edge.event_store.feed import feeding
from edge.event_store.refusals import CallFailure, append_error, read_error

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# A server takes 100 calls on one connection; one more would wait without a word. Subscriptions need a few as well.
CALLS_MAX = 64
CLOSE_TIMEOUT_S = 2.0
# A refused connection is tried again after 0.5 s, later after 5 s (gRPC's default ceiling is two minutes).
RECONNECT_FIRST_MS = 500
RECONNECT_LONGEST_MS = 5_000

_LIBRARY_ERRORS = (EventStoreDBClientException, grpc.aio.UsageError, grpc.RpcError, CallEnded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """How soon a dead path is noticed. The URI's KeepAliveInterval does nothing in esdbclient 1.1.7."""

    interval_s: float = 10.0
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class PositionedEvent:
    """An event of `$all`, with the position after which reading may be resumed."""

    position: int
    event: RecordedEvent


class _Client(AsyncEventStoreDBClient):
    """The library's client; takes percent-encoded credentials from the URI, as URIs have them."""

    def construct_call_credentials(self, username: str | None, password: str | None) -> "grpc.CallCredentials | None":
        return super().construct_call_credentials(
            None if username is None else unquote(username), None if password is None else unquote(password)
        )


class _Attempts(list[esdbclient.NewEvent]):
    """The events of one append. A list, since the library iterates again when it tries again; and it counts that."""

    sent = 0

    def __iter__(self) -> Iterator[esdbclient.NewEvent]:
        self.sent += 1
        return super().__iter__()


class GrpcEventStore:
    """`EventStore` on one gRPC channel. Made by `open_event_store`; belongs to one event loop."""

    def __init__(self, client: AsyncEventStoreDBClient, settings: EventStoreSettings) -> None:
        self._client = client
        self._settings = settings
        self._calls = asyncio.Semaphore(CALLS_MAX)
        self._connecting = asyncio.Lock()
        self._is_connected = False

    async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> int | None:
        """Append after exactly this revision; see `EventStore`. Empty appends are a bug of the caller."""
        assert events
        attempts = _Attempts(
            esdbclient.NewEvent(type=event.type, data=event.data, metadata=event.metadata, id=event.event_id)
            for event in events
        )
        timeout_s = self._settings.append_timeout_s
        state = StreamState.NO_STREAM if expected_revision == NO_STREAM else expected_revision
        try:
            position = await self._bounded(
                timeout_s,
                lambda client: client.append_to_stream(
                    stream, current_version=state, events=attempts, timeout=timeout_s
                ),
            )
        except TimeoutError as error:
            message = f"no answer within {timeout_s} s"
            raise (OutcomeUnknown(message) if attempts.sent else EventStoreUnavailable(message)) from error
        except _LIBRARY_ERRORS as error:
            raise append_error(_failure(error), attempts=attempts.sent) from error
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

        async def read(client: AsyncEventStoreDBClient) -> list[RecordedEvent]:
            response = await client.read_stream(
                stream, stream_position=position, backwards=backwards, limit=limit, timeout=timeout_s
            )
            events = [_recorded(event) async for event in response]
            # A read that the library cut short ends like one that is complete.
            if await response.aio_call.code() is not grpc.StatusCode.OK:
                raise CallEnded("the read was cut short")
            return events

        return await self._answered(read)

    @asynccontextmanager
    async def subscribe(
        self, stream: str, *, after_revision: int
    ) -> AsyncIterator[AsyncIterator[RecordedEvent | CaughtUp]]:
        """Follow a stream; see `EventStore`. The library's position is exclusive, too."""
        position = None if after_revision == NO_STREAM else after_revision
        subscription = await self._answered(
            # Its `timeout=` would be one for the whole subscription.
            lambda client: client.subscribe_to_stream(stream, stream_position=position, include_caught_up=True)
        )
        async with _following(subscription, _recorded) as items:
            yield items

    @asynccontextmanager
    async def subscribe_all(
        self, *, after_position: int | None
    ) -> AsyncIterator[AsyncIterator[PositionedEvent | CaughtUp]]:
        """Follow all streams from after a position (None = from the start), without the server's own events.

        Needs the right to read `$all`, which is for administrators by default. Otherwise as `subscribe`.
        """
        subscription = await self._answered(
            lambda client: client.subscribe_to_all(commit_position=after_position, include_caught_up=True)
        )
        async with _following(subscription, _positioned) as items:
            yield items

    async def _answered(self, call: Callable[[AsyncEventStoreDBClient], Awaitable[Answer]]) -> Answer:
        """Make a call that changes nothing: a read, or the opening of a subscription up to its confirmation."""
        timeout_s = self._settings.read_timeout_s
        try:
            return await self._bounded(timeout_s, call)
        except TimeoutError as error:
            raise EventStoreUnavailable(f"no answer within {timeout_s} s") from error
        except _LIBRARY_ERRORS as error:
            raise read_error(_failure(error)) from error

    async def _bounded(self, timeout_s: float, call: Callable[[AsyncEventStoreDBClient], Awaitable[Answer]]) -> Answer:
        """Bound a call from outside: the library's own time-out starts anew with each of its attempts."""
        async with asyncio.timeout(timeout_s), self._calls:
            with cancellation_kept():
                return await call(await self._connected())

    async def _connected(self) -> AsyncEventStoreDBClient:
        """Connect at the first call: a gateway starts whether or not the store can be reached."""
        async with self._connecting:
            if not self._is_connected:
                await self._client.connect()
                self._is_connected = True
        return self._client

    async def close(self) -> None:
        """Let the channel go."""
        with suppress(TimeoutError, *_LIBRARY_ERRORS):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._client.close()


@asynccontextmanager
async def open_event_store(
    settings: EventStoreSettings, *, credential: str | None = None, keepalive: Keepalive | None = None
) -> AsyncIterator[GrpcEventStore]:
    """Make a store with a channel of its own, for the length of the context; connects at the first call.

    `credential` is `user:password`; it takes the place of what the URI has. Raises EventStoreMisconfigured.
    """
    client = _construct(settings, credential)
    client.grpc_options += _channel_options(keepalive or Keepalive())
    store = GrpcEventStore(client, settings)
    try:
        yield store
    finally:
        await store.close()


def _construct(settings: EventStoreSettings, credential: str | None) -> AsyncEventStoreDBClient:
    uri = settings.uri
    parts = urlsplit(uri)
    target = parts.netloc.rpartition("@")[2]
    if credential is not None:
        user, colon, password = credential.strip("\r\n").partition(":")
        if not (user and colon and password):
            raise EventStoreMisconfigured("the event store's credential must be user:password")
        uri = urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{target}"))
    try:
        ca_certificates = None if settings.ca_file is None else settings.ca_file.read_bytes()
        return _Client(uri, root_certificates=ca_certificates)
    except OSError as error:
        raise EventStoreMisconfigured(f"a certificate cannot be read: {error}") from error
    except ValueError as error:
        # The library's message holds the URI, and with it the password.
        message = str(error).replace(uri, urlunsplit(parts._replace(netloc=target)))
        raise EventStoreMisconfigured(f"the event store's URI cannot be used: {message}") from None


def _channel_options(keepalive: Keepalive) -> tuple[tuple[str, int], ...]:
    timeout_ms = round(keepalive.timeout_s * 1000)
    return (
        ("grpc.keepalive_time_ms", round(keepalive.interval_s * 1000)),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        # Without it a silent path is noticed after a minute only.
        ("grpc.http2.ping_timeout_ms", timeout_ms),
        # A subscription may be silent for hours.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
        # Also how long one attempt to connect may take: a thin link needs seconds for TLS.
        ("grpc.min_reconnect_backoff_ms", RECONNECT_LONGEST_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_LONGEST_MS),
        # gRPC shares connections and their back-off between channels; the subscription's must be its own.
        ("grpc.use_local_subchannel_pool", 1),
    )


@asynccontextmanager
async def _following(
    subscription: AbstractAsyncCatchupSubscription, convert: Callable[[esdbclient.RecordedEvent], Item]
) -> AsyncIterator[AsyncIterator[Item | CaughtUp]]:
    async def items() -> AsyncGenerator[Item | CaughtUp, None]:
        try:
            async for event in subscription:
                yield CaughtUp() if event.is_caught_up else convert(event)
        except _LIBRARY_ERRORS as error:
            raise read_error(_failure(error)) from error

    try:
        # The server never ends one: it was stopped, or the library closed it when another call had to reconnect.
        async with feeding(items(), lambda: EventStoreUnavailable("the subscription ended")) as feed:
            yield feed
    finally:
        await subscription.stop()


def _failure(error: Exception) -> CallFailure:
    """Describe an error of the library in words."""
    if isinstance(error, DiscoveryFailed) and isinstance(error.__cause__, EventStoreDBClientException):
        error = error.__cause__
    said = error.args[0] if error.args else ""
    kind = type(error).__name__
    if isinstance(said, grpc.aio.AioRpcError):
        return CallFailure(kind=kind, code=said.code().name, reason=said.details() or "")
    if type(error) is EventStoreDBClientException and isinstance(said, Any):
        return CallFailure(kind=kind, detail_type=said.TypeName())
    return CallFailure(kind=kind, reason=str(said))


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
