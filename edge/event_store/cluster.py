"""The nodes of the event store, and the leader among them.

Calls go to the leader only, because what it confirms is on disk. The library looks for the leader inside some calls
only, and a read fails outside of them. So `Cluster` looks for it, for all calls alike. A node that fails is given up, a
silent node is doubted, and the next call first looks for the leader at all known nodes.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import grpc
import grpc.aio
import structlog
from esdbclient.protos.Grpc import gossip_pb2

from edge.domain.event_store import CredentialRefused, EventStoreError, EventStoreUnavailable
from edge.event_store.cancellation import CallEnded
from edge.event_store.node import Access, Node

log = structlog.get_logger(__name__)

# An election takes 3 s (leader dead) to 10 s (leader frozen). A call waits for its end, so that no back-off of a caller
# stands between the new leader and the first call to it.
LOOK_TIMEOUT_S = 10.0
# The next node is asked when one has not answered for so long: asking all at once fills a thin link with handshakes.
ASK_NEXT_S = 1.0
# How often a node is asked during an election. An answer is less than 1 kB.
ASK_AGAIN_S = 1.0
# A leader that another node names is asked on a second channel when the first has been silent for so long. One channel
# may hang where the next does not: gRPC waits 5 s for a connection's first bytes. Nodes that no other node names are
# not asked so, because over a thin link they may only be slow, and a second handshake makes all of them slower.
SILENT_S = 2.0
# A look that took longer is logged. A channel that hung, and a node that answers, stay below.
LATE_S = 3.0
# Tell the channel that there is, a fresh one and a second fresh one to the same node apart.
_CONNECTED = " (connected)"
_AGAIN = " (again)"


class Cluster:
    """Gives the node that leads. At most one look for it is under way; belongs to one event loop.

    A single named node (`esdb://host`) is never replaced by another one, for an address that a network's owner chose
    may be the only one that can be reached.
    """

    def __init__(self, access: Access) -> None:
        self.is_single = not access.is_cluster
        self._access = access
        self._present: Node | None = None
        self._is_doubted = False
        # In the order in which they are asked. Members that gossip named stay known: the named seed may be dead itself.
        self._known = list(access.seeds)
        self._looking = asyncio.Lock()
        self._is_closed = False
        self._failed_looks = 0
        self._failure: EventStoreError = EventStoreUnavailable()
        self._last_leader: str | None = None

    async def leader(self) -> Node:
        """Return the node that leads, after looking for it where that is not known.

        Raises EventStoreUnavailable, which says what each node said, and CredentialRefused.
        """
        failed_looks = self._failed_looks
        while self._present is None or self._is_doubted:
            self._check_open()
            async with self._looking:
                if self._failed_looks != failed_looks:
                    # The look that this call waited for has failed; another one would find the same.
                    raise type(self._failure)(str(self._failure))
                if self._present is None or self._is_doubted:
                    await self._look()
        return self._present

    async def give_up(self, node: Node, *, leader: str | None = None) -> None:
        """Take note that a node is gone, or that it is not the leader; `leader` is the one it named.

        Ends all calls on it. Of no effect for a node that was given up before.
        """
        if node is not self._present:
            return
        self._present = None
        self._ask_last(node.target)
        if leader is not None:
            self._ask_first(leader)
        await node.retire()

    def doubt(self, node: Node) -> None:
        """Take note that a node was silent. It stays the leader if it says so itself: a slow link is not a dead one."""
        if node is self._present and not self.is_single:
            self._is_doubted = True

    async def close(self) -> None:
        """Let the channel go. No call opens another one."""
        self._is_closed = True
        former, self._present = self._present, None
        if former is not None:
            await former.retire()

    def _check_open(self) -> None:
        if self._is_closed:
            raise EventStoreUnavailable("the connection to the event store was closed")

    async def _look(self) -> None:
        if self.is_single:
            self._present = self._access.open(self._known[0])
            return
        if self._present is not None:
            self._ask_last(self._present.target)
        started_s = asyncio.get_running_loop().time()
        try:
            found = await _find_leader(self._access, self._known, self._present)
        except (EventStoreUnavailable, CredentialRefused) as error:
            self._failed_looks += 1
            self._failure = error
            raise
        if self._is_closed:
            await found.node.retire()
            self._check_open()
        self._learn(found.members)
        former, self._present, self._is_doubted = self._present, found.node, False
        if former is not None and former is not found.node:
            await former.retire()
        self._tell(found, took_s=asyncio.get_running_loop().time() - started_s)
        self._last_leader = found.node.target

    def _tell(self, found: "_Found", *, took_s: float) -> None:
        """Log a change of the leader, and a look that took long."""
        node, before = found.node.target, self._last_leader
        told = {"node": node, "took_s": round(took_s, 2), "answers": found.story}
        if before not in {None, node}:
            log.info("event_store_leader_changed", before=before, **told)
        elif took_s > LATE_S:
            log.info("event_store_leader_found_late", **told)

    def _learn(self, members: Iterable[gossip_pb2.MemberInfo]) -> None:
        """Know the seeds and the members that there are now."""
        targets = [_target_of(member) for member in members]
        self._known = [target for target in self._known if target in {*targets, *self._access.seeds}]
        self._known += [target for target in targets if target not in self._known]

    def _ask_first(self, target: str) -> None:
        self._known = [target, *(known for known in self._known if known != target)]

    def _ask_last(self, target: str) -> None:
        self._known = [*(known for known in self._known if known != target), target]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    node: Node
    members: tuple[gossip_pb2.MemberInfo, ...]
    # What each node that was asked has said.
    story: str


async def _find_leader(access: Access, targets: Sequence[str], present: Node | None) -> _Found:
    """Ask these nodes, and those they name, which one leads; leaves no other channel open.

    Raises EventStoreUnavailable, CredentialRefused.
    """
    look = _Look(access, present)
    found: _Found | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            await look.run(targets, tasks)
        found = look.found
    finally:
        for node in look.opened:
            if found is None or node is not found.node:
                await node.retire()
    if found is None:
        # Of a wrong password even gossip hears.
        error = CredentialRefused if look.is_refused else EventStoreUnavailable
        raise error(f"looking for the leader: {look.story()}")
    return found


class _Look:
    """One look for the leader: nodes are asked again and again until one says of itself that it leads.

    What a node says of another one does not do: of a frozen leader the others say for seconds that it leads.
    """

    def __init__(self, access: Access, present: Node | None) -> None:
        self.found: _Found | None = None
        # A node refused the credential.
        self.is_refused = False
        self.opened: list[Node] = []
        self._access = access
        self._present = present
        self._tasks: list[asyncio.Task[None]] = []
        # When it was asked first, by the name of the channel, as all that follows.
        self._asked_s: dict[str, float] = {}
        # What was said last, and whether that was an answer.
        self._said: dict[str, str] = {}
        self._answering: set[str] = set()
        # Nodes that another node named as the leader.
        self._named: set[str] = set()
        # An answer came that names no other node to ask.
        self._heard = asyncio.Event()

    async def run(self, targets: Sequence[str], tasks: asyncio.TaskGroup) -> None:
        """Ask until the leader is found, or no node answers at all, or time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                await self._ask_all(targets, tasks)
        for task in self._tasks:
            task.cancel()

    async def _ask_all(self, targets: Sequence[str], tasks: asyncio.TaskGroup) -> None:
        if self._present is not None:
            # If it is healthy, it answers on the channel that there is, and nothing else need be asked.
            self._ask(f"{self._present.target}{_CONNECTED}", self._present, tasks)
            await self._wait(ASK_NEXT_S)
        for target in targets:
            if f"{target}{_CONNECTED}" not in self._answering:
                self._ask_anew(target, tasks)
                await self._wait(ASK_NEXT_S)
        # While a node answers, an election is under way.
        while self.found is None and (self._answering or len(self._said) < len(self._asked_s)):
            await self._wait(ASK_AGAIN_S)

    def story(self) -> str:
        """Tell what each node said."""
        return "; ".join(f"{name} {self._said.get(name, 'does not answer')}" for name in self._asked_s)

    async def _wait(self, wait_s: float) -> None:
        """Wait for an answer, but not longer."""
        if self.found is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._heard.wait()
            self._heard.clear()

    def _ask_anew(self, target: str, tasks: asyncio.TaskGroup) -> None:
        """Ask a node on a fresh channel. Only the connection may be lost: so also the node that is connected."""
        if self.found is None and target not in self._asked_s:
            self._ask(target, self._open(target), tasks)

    def _ask_named(self, leader: str, tasks: asyncio.TaskGroup) -> None:
        """Ask a node that another one names as the leader."""
        self._ask_anew(leader, tasks)
        if self.found is None and leader not in self._named:
            self._named.add(leader)
            self._tasks.append(tasks.create_task(self._ask_beside(leader, tasks), name=f"{leader}, if it is silent"))

    async def _ask_beside(self, target: str, tasks: asyncio.TaskGroup) -> None:
        """Ask a node on a second fresh channel if it stays silent on the first. The first answer counts."""
        await asyncio.sleep(self._asked_s[target] + SILENT_S - asyncio.get_running_loop().time())
        if target not in self._answering:
            self._ask(f"{target}{_AGAIN}", self._open(target), tasks)

    def _open(self, target: str) -> Node:
        node = self._access.open(target)
        self.opened.append(node)
        return node

    def _ask(self, name: str, node: Node, tasks: asyncio.TaskGroup) -> None:
        self._asked_s[name] = asyncio.get_running_loop().time()
        self._tasks.append(tasks.create_task(self._keep_asking(name, node, tasks), name=name))

    async def _keep_asking(self, name: str, node: Node, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            ask_again_s = loop.time() + ASK_AGAIN_S
            try:
                members = await node.members()
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, CallEnded) as error:
                self.is_refused = self.is_refused or _is_refusal(error)
                self._said[name] = f"does not answer ({_cause(error)})"
                self._answering.discard(name)
                self._heard.set()
            else:
                self._answering.add(name)
                self._take_in(name, node, members, tasks)
            # At once where a time-out has passed: that was pause enough.
            await asyncio.sleep(ask_again_s - loop.time())

    def _take_in(
        self, name: str, node: Node, members: Sequence[gossip_pb2.MemberInfo], tasks: asyncio.TaskGroup
    ) -> None:
        leaders = [_target_of(member) for member in members if _leads(member)]
        # A node that is alone may know itself by an address that is not ours for it.
        if node.target in leaders or (leaders and len(members) == 1):
            self._said[name] = "leads"
            self.found = self.found or _Found(node=node, members=tuple(members), story=self.story())
            self._heard.set()
            return
        self._said[name] = f"is not the leader (it names {', '.join(leaders) or 'none'})"
        for leader in leaders:
            self._ask_named(leader, tasks)
        if not leaders:
            self._heard.set()


def _cause(error: Exception) -> str:
    """Name the cause. gRPC says first what it did, and the cause last."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return str(error)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "it says nothing"
    said: str = error.details() or error.code().name
    return said.rpartition(": ")[2]


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, grpc.aio.AioRpcError) and error.code() in {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }


def _leads(member: gossip_pb2.MemberInfo) -> bool:
    # Of a dead node gossip tells the last state.
    return member.is_alive and member.state == gossip_pb2.MemberInfo.Leader


def _target_of(member: gossip_pb2.MemberInfo) -> str:
    return f"{member.http_end_point.address}:{member.http_end_point.port}"
