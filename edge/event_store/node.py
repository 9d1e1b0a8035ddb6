"""A channel to one node of the event store: how it is opened, and how calls on it are bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import grpc
import grpc.aio
from esdbclient import AsyncEventStoreDBClient
from esdbclient.common import AsyncGrpcStreamers, BasicAuthCallCredentials
from esdbclient.connection_spec import NODE_PREFERENCE_LEADER, URI_SCHEME_ESDB_DISCOVER
from esdbclient.protos.Grpc import gossip_pb2, gossip_pb2_grpc, shared_pb2
from esdbclient.streams import AsyncStreamsService

from edge.domain.event_store import EventStoreMisconfigured
from edge.domain.settings import EventStoreSettings
from edge.event_store.cancellation import CallEnded, cancellation_kept

# A refused connection is tried again after 0.5 s, later after 5 s (gRPC's default ceiling is two minutes).
RECONNECT_FIRST_MS = 500
RECONNECT_LONGEST_MS = 5_000

# How long calls on a node that is given up still wait for an answer that is on its way.
RETIRED_GRACE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """How soon a silent node is noticed by a subscription: after `interval_s` + `timeout_s`.

    A ping is 17 bytes. Every 5 s it costs what it costs every 10 s, for a server pings after 10 s without a word, and
    then need not. On a link that appends fill, a ping waits behind them. Measured on 2 and 20 kB/s, with appends that
    took 5 to 8 s: with 5 s to wait, 4 to 7 healthy connections a minute were closed; with 10 s, none. An append may
    take 10 s by default, too. (The URI's KeepAliveInterval does nothing in esdbclient 1.1.7.)
    """

    interval_s: float = 5.0
    timeout_s: float = 10.0


class Node:
    """A channel to one node, and the calls on it."""

    def __init__(self, target: str, channel: grpc.aio.Channel, access: "Access") -> None:
        self.target = target
        self.metadata = access.metadata
        self.credentials = access.call_credentials
        self._open_answers = AsyncGrpcStreamers()
        self.streams = AsyncStreamsService(
            grpc_channel=channel, connection_spec=access.spec, grpc_streamers=self._open_answers
        )
        self._channel = channel
        self._bounds: set[asyncio.Timeout] = set()
        self.is_retired = False
        self._gossip = gossip_pb2_grpc.GossipStub(channel)  # type: ignore[no-untyped-call]
        # 5 s by default: a thin link needs seconds for TLS, and other nodes are asked meanwhile.
        self._gossip_timeout_s = access.spec.options.GossipTimeout

    async def members(self) -> list[gossip_pb2.MemberInfo]:
        """Ask which nodes there are, and what they do. Raises AioRpcError, UsageError, CallEnded."""
        with cancellation_kept():
            info: gossip_pb2.ClusterInfo = await self._gossip.Read(
                shared_pb2.Empty(), timeout=self._gossip_timeout_s, metadata=self.metadata, credentials=self.credentials
            )
        return list(info.members)

    @asynccontextmanager
    async def bounding(self, timeout_s: float) -> AsyncIterator[None]:
        """Bound a call from outside, since the library bounds parts of it only.

        Raises TimeoutError, and CallEnded where the node was retired meanwhile.
        """
        try:
            async with asyncio.timeout(timeout_s) as bound:
                self._bounds.add(bound)
                with cancellation_kept():
                    yield
        except TimeoutError:
            if self.is_retired:
                raise CallEnded("another leader was looked for meanwhile") from None
            raise
        finally:
            self._bounds.discard(bound)
            await self._close_if_done()

    async def retire(self) -> None:
        """Let the channel go, and with it what is under way on it: subscriptions at once, calls after a moment.

        gRPC itself would let some calls of a closed channel wait for their answer until their time is up.
        """
        self.is_retired = True
        latest_s = asyncio.get_running_loop().time() + RETIRED_GRACE_S
        for bound in self._bounds:
            if (ends_s := bound.when()) is not None and ends_s > latest_s and not bound.expired():
                bound.reschedule(latest_s)
        await self._open_answers.close()
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self.is_retired and not self._bounds:
            await self._channel.close()


class Access:
    """What opens channels to the nodes: addresses, credentials, certificates. Raises EventStoreMisconfigured.

    The URI's MaxDiscoverAttempts and DiscoveryInterval are not used, since looking for the leader is bounded in time.
    """

    def __init__(self, settings: EventStoreSettings, credential: str | None, keepalive: Keepalive) -> None:
        # Never connected: it reads the URI and the files that the URI names.
        library = _construct(settings, credential)
        self.spec = library.connection_spec
        self.seeds = tuple(self.spec.targets)
        # As URIs have it: percent-encoded.
        self.user = unquote(self.spec.username or "") or None
        self.is_cluster = self.spec.scheme == URI_SCHEME_ESDB_DISCOVER or len(self.seeds) > 1
        self.metadata = (("connection-name", self.spec.options.ConnectionName),)
        self.call_credentials: grpc.CallCredentials | None = None
        self._channel_credentials: grpc.ChannelCredentials | None = None
        if self.spec.options.Tls:
            password = unquote(self.spec.password or "")
            basic = BasicAuthCallCredentials(self.user or "", password)
            self.call_credentials = grpc.metadata_call_credentials(basic)
            self._channel_credentials = grpc.ssl_channel_credentials(
                library.root_certificates, library.private_key, library.certificate_chain
            )
        self._options = (*library.grpc_options, *_channel_options(keepalive))

    def open(self, target: str) -> Node:
        """Make a channel to a node. It connects with its first call."""
        options = self._options
        if self.spec.scheme == URI_SCHEME_ESDB_DISCOVER and target in self.seeds:
            # One name stands for all nodes.
            options = (*options, ("grpc.lb_policy_name", "round_robin"))
        if self._channel_credentials is None:
            channel = grpc.aio.insecure_channel(target, options)
        else:
            channel = grpc.aio.secure_channel(target, self._channel_credentials, options)
        return Node(target, channel, self)


def _construct(settings: EventStoreSettings, credential: str | None) -> AsyncEventStoreDBClient:
    try:
        parts = urlsplit(settings.uri)
    except ValueError:
        # Its message may hold the password.
        raise EventStoreMisconfigured("the event store's URI cannot be used: it is not a URI") from None
    # The library knows the older name only; the wire is the same.
    parts = parts._replace(scheme=parts.scheme.replace("kurrentdb", "esdb"))
    uri = urlunsplit(parts)
    target = parts.netloc.rpartition("@")[2]
    if credential is not None:
        user, colon, password = credential.strip("\r\n").partition(":")
        if not (user and colon and password):
            raise EventStoreMisconfigured("the event store's credential must be user:password")
        uri = urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{target}"))
    try:
        ca_certificates = None if settings.ca_file is None else settings.ca_file.read_bytes()
        client = AsyncEventStoreDBClient(uri, root_certificates=ca_certificates)
    except OSError as error:
        raise EventStoreMisconfigured(f"a certificate cannot be read: {error}") from error
    except ValueError as error:
        # The library's message holds the URI, and with it the password.
        message = str(error).replace(uri, urlunsplit(parts._replace(netloc=target)))
        raise EventStoreMisconfigured(f"the event store's URI cannot be used: {message}") from None
    if client.connection_spec.options.NodePreference != NODE_PREFERENCE_LEADER:
        raise EventStoreMisconfigured("the event store's URI cannot be used: nodePreference must be leader")
    return client


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
