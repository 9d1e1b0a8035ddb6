"""Three event store nodes over one log, as a cluster looks to its clients: one leads, and which one may change.

What a real cluster was seen to do: a node that does not lead refuses calls that require the leader, and names the
leader; while there is none, it says that it is not ready; gossip names all members with their states, and is wrong for a
while after a node died; a node that was frozen is left out, and knows nothing when it goes on.
"""

import asyncio
import random
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import grpc
import grpc.aio
from esdbclient.protos.Grpc import code_pb2, gossip_pb2, gossip_pb2_grpc, shared_pb2, streams_pb2, streams_pb2_grpc
from google.protobuf import empty_pb2

from edge.event_store.embedded import wire
from edge.event_store.embedded.database import open_log_database
from edge.event_store.embedded.faults import Faults, Refusal
from edge.event_store.embedded.log import EventLog, running_log
from edge.event_store.embedded.server import APPEND_BYTES_MAX, Tls
from edge.event_store.embedded.servicer import Access, Streams
from fakes.tcp_proxy import TcpProxy

MemberInfo = gossip_pb2.MemberInfo
NODES = 3


def _ticks() -> int:
    return time.time_ns() // 100


@dataclass(eq=False, kw_only=True)
class ClusterNode:
    """One node. Its clients' bytes pass a proxy, so that it can be frozen: connections are taken, nothing answers."""

    cluster: "Cluster"
    log: EventLog
    tls: Tls | None
    access: Access
    port: int = 0
    state: "gossip_pb2.MemberInfo.VNodeState.ValueType" = MemberInfo.Follower
    is_frozen: bool = False
    instance_id: str = ""
    # Calls that came, those refused included.
    appends: int = 0
    reads: int = 0
    gossips: int = 0
    # So many of the next calls for gossip are never answered, and the others so late.
    gossips_unanswered: int = 0
    gossip_delay_s: float = 0.0
    reads_unanswered: int = 0
    _proxy: TcpProxy | None = None
    _listener: asyncio.Server | None = None
    _server: grpc.aio.Server | None = None
    faults: Faults = field(default_factory=Faults)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._server is not None

    @property
    def is_answering(self) -> bool:
        return self.is_running and not self.is_frozen

    async def start(self) -> None:
        """Start its process, on the same port as ever."""
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.http2.max_ping_strikes", 0)))
        if self.tls is None:
            inner = server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (self.tls.private_key, self.tls.certificate_chain)
            inner = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        self.faults = Faults()
        streams_pb2_grpc.add_StreamsServicer_to_server(_NodeStreams(self), server)  # type: ignore[no-untyped-call]
        gossip_pb2_grpc.add_GossipServicer_to_server(_NodeGossip(self), server)  # type: ignore[no-untyped-call]
        await server.start()
        self.instance_id = str(uuid4())
        self._proxy = TcpProxy(inner)
        self._listener = await asyncio.start_server(self._proxy.accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        self._server = server

    async def kill(self) -> None:
        """End its process as SIGKILL does: the port is closed and connections are reset."""
        if self._server is None or self._proxy is None or self._listener is None:
            return
        server, self._server = self._server, None
        self._listener.close()
        self._proxy.speak_again()
        self._proxy.cut()
        self.is_frozen = False
        # Ends the subscriptions that still wait on the log.
        self.faults.unavailable = True
        self.log.wake()
        await server.stop(None)
        await self._listener.wait_closed()

    def say_goodbye(self) -> None:
        """Refuse and end all calls, as a node does after SIGTERM."""
        self.faults.unavailable = True
        self.log.wake()

    def forget_connections(self) -> None:
        """Lose the paths to it: what is connected hears nothing more, and who connects anew is answered."""
        assert self._proxy is not None
        self._proxy.forget_connections()

    def lose_next_connection(self) -> None:
        """Take the next connection and never answer on it."""
        assert self._proxy is not None
        self._proxy.lose_next_connection()

    def freeze(self) -> None:
        """Stop its process as SIGSTOP does."""
        assert self._proxy is not None
        self.is_frozen = True
        self._proxy.go_silent()

    def thaw(self) -> None:
        """Let it go on, as a node that has missed what the others decided."""
        assert self._proxy is not None
        self.is_frozen = False
        self._proxy.speak_again()


class Cluster:
    """The nodes and what they decide. `leader` is None during an election."""

    def __init__(
        self, log: EventLog, *, tls: Tls | None, access: Access, election_s: float, notice_s: float, seed: int
    ) -> None:
        self.log = log
        self.election_s = election_s
        # How long the others take a frozen leader for a living one.
        self.notice_s = notice_s
        self.leader: ClusterNode | None = None
        # The node that all others take for the leader while it says itself that it does not lead.
        self.believed: ClusterNode | None = None
        self.elections = 0
        # When the last election ended, by `time.monotonic`.
        self.elected_at_s = 0.0
        self.nodes = tuple(ClusterNode(cluster=self, log=log, tls=tls, access=access) for _ in range(NODES))
        self._tls = tls
        self._chance = random.Random(seed)
        self._election: asyncio.Task[None] | None = None

    @property
    def uri(self) -> str:
        """All nodes, named."""
        return f"esdb://{','.join(node.address for node in self.nodes)}{self._query}"

    def uri_of(self, node: ClusterNode, *, discover: bool = False) -> str:
        """One node: alone, or as the one that is asked for the others."""
        return f"esdb{'+discover' if discover else ''}://{node.address}{self._query}"

    @property
    def _query(self) -> str:
        return f"?tls={'false' if self._tls is None else 'true'}"

    @property
    def followers(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node is not self.leader and node.is_answering]

    async def start(self) -> None:
        for node in self.nodes:
            await node.start()
        self._lead(self.nodes[0])

    async def stop(self) -> None:
        if self._election is not None:
            self._election.cancel()
        for node in self.nodes:
            await node.kill()

    async def kill(self, node: ClusterNode) -> None:
        """Kill a node; the others notice it at once by their connections to it."""
        await node.kill()
        if node is self.leader:
            self.elect()

    async def end(self, node: ClusterNode) -> None:
        """End a node in order: it refuses calls first, then it is gone."""
        node.say_goodbye()
        await asyncio.sleep(0.05)
        await self.kill(node)

    def freeze(self, node: ClusterNode) -> None:
        """Freeze a node; the others notice it after `notice_s`, for until then it only says nothing."""
        node.freeze()
        if node is self.leader:
            self.elect(after_s=self.notice_s)

    async def bring_back(self, node: ClusterNode) -> None:
        """Let a node take part again: what led before follows now."""
        if node.is_running:
            node.thaw()
        else:
            await node.start()
        if node is not self.leader:
            # It believes nothing until it has heard from the others.
            node.state = MemberInfo.Unknown if self.leader is None else MemberInfo.Follower

    def elect(self, *, after_s: float = 0.0) -> None:
        """Find another leader; nobody leads for `election_s`."""
        if self._election is not None:
            self._election.cancel()
        self._election = asyncio.create_task(self._elect(after_s), name="election")

    async def until_elected(self) -> ClusterNode:
        """Wait for the end of the election under way; the leader."""
        if self._election is not None:
            await self._election
        assert self.leader is not None
        return self.leader

    async def _elect(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        former, self.leader = self.leader, None
        for node in self.nodes:
            node.state = MemberInfo.Unknown
        await asyncio.sleep(self.election_s)
        # The log of ids of appends is not handed on.
        self.log.recent.forget()
        candidates = [node for node in self.nodes if node is not former and node.is_answering]
        self._lead(self._chance.choice(candidates))

    def _lead(self, leader: ClusterNode) -> None:
        for node in self.nodes:
            node.state = MemberInfo.Leader if node is leader else MemberInfo.Follower
        self.leader = leader
        self.elections += 1
        self.elected_at_s = time.monotonic()


class _NodeStreams(Streams):
    """The calls, answered only by the leader where they require it. The method names are the wire's."""

    def __init__(self, node: ClusterNode) -> None:
        super().__init__(node.log, node.faults, node.access, append_bytes_max=APPEND_BYTES_MAX, ticks=_ticks)
        self._node = node

    async def BatchAppend(  # noqa: N802
        self, request_iterator: AsyncIterator[streams_pb2.BatchAppendReq], context: "grpc.aio.ServicerContext"
    ) -> AsyncIterator[streams_pb2.BatchAppendResp]:
        self._node.appends += 1
        await self._refuse_as_follower(context)
        # A server may send its headers long before an answer.
        await context.send_initial_metadata(())
        if self._node.state != MemberInfo.Leader and self._requires_leader(context):
            async for request in request_iterator:
                not_ready = wire.status(empty_pb2.Empty(), code_pb2.UNKNOWN)
                yield streams_pb2.BatchAppendResp(correlation_id=request.correlation_id, error=not_ready)
            return
        async for answer in super().BatchAppend(request_iterator, context):
            yield answer

    async def Read(  # noqa: N802
        self, request: streams_pb2.ReadReq, context: "grpc.aio.ServicerContext"
    ) -> AsyncIterator[streams_pb2.ReadResp]:
        self._node.reads += 1
        if self._node.reads_unanswered:
            self._node.reads_unanswered -= 1
            await asyncio.Event().wait()
        await self._refuse_as_follower(context)
        if self._node.state != MemberInfo.Leader and self._requires_leader(context):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Server Is Not Ready")
        async for answer in super().Read(request, context):
            yield answer

    @staticmethod
    def _requires_leader(context: "grpc.aio.ServicerContext") -> bool:
        return dict(context.invocation_metadata() or ()).get("requires-leader") == "true"

    async def _refuse_as_follower(self, context: "grpc.aio.ServicerContext") -> None:
        leader = self._node.cluster.leader
        if self._node.state == MemberInfo.Follower and leader is not None and self._requires_leader(context):
            trailers = (
                ("exception", "not-leader"),
                ("leader-endpoint-host", "127.0.0.1"),
                ("leader-endpoint-port", str(leader.port)),
            )
            await context.abort(grpc.StatusCode.NOT_FOUND, "Leader info available", trailers)


class _NodeGossip(gossip_pb2_grpc.GossipServicer):
    """Names all members, as this node knows them."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    async def Read(  # noqa: N802
        self,
        request: shared_pb2.Empty,  # noqa: ARG002
        context: "grpc.aio.ServicerContext",
    ) -> gossip_pb2.ClusterInfo:
        self._node.gossips += 1
        await self._delay()
        try:
            self._node.access.check(context)
        except Refusal as refusal:
            await context.abort(refusal.code, refusal.details)
        return gossip_pb2.ClusterInfo(members=[self._member(node) for node in self._node.cluster.nodes])

    async def _delay(self) -> None:
        if self._node.gossips_unanswered:
            self._node.gossips_unanswered -= 1
            await asyncio.Event().wait()
        await asyncio.sleep(self._node.gossip_delay_s)

    def _member(self, node: ClusterNode) -> gossip_pb2.MemberInfo:
        # Of a dead node its last state is told on.
        last_known = MemberInfo.Leader if not node.is_running and node.state == MemberInfo.Unknown else node.state
        if node is self._node.cluster.believed and node is not self._node:
            last_known = MemberInfo.Leader
        return MemberInfo(
            instance_id=shared_pb2.UUID(string=node.instance_id),
            time_stamp=_ticks(),
            state=last_known,
            is_alive=node.is_running,
            http_end_point=gossip_pb2.EndPoint(address="127.0.0.1", port=node.port),
        )


@asynccontextmanager
async def running_cluster(
    *,
    tls: Tls | None = None,
    credential: str | None = None,
    election_s: float = 0.3,
    notice_s: float = 0.3,
    seed: int = 0,
) -> AsyncIterator[Cluster]:
    """Run a cluster in memory for the length of the context; its first node leads.

    `credential` (user:password) is then asked of every caller; clients only send it over TLS.
    """
    access = Access(None if credential is None else f"Basic {b64encode(credential.encode()).decode()}")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_log_database(None))
        log = await stack.enter_async_context(running_log(database, bodies=wire, ticks=_ticks))
        cluster = Cluster(log, tls=tls, access=access, election_s=election_s, notice_s=notice_s, seed=seed)
        stack.push_async_callback(cluster.stop)
        await cluster.start()
        yield cluster
