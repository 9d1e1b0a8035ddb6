"""Each kind of call on a cluster's client, each form of its address, and waiting for what a cluster does."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from edge.domain.event_store import NO_STREAM, CaughtUp, EventStoreError
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import GrpcEventStore, open_event_store
from fakes.event_store_cluster import Cluster
from fakes.event_store_subjects import new_event

# Shorter than any time-out of a call that is used here with it.
LONG_S = 20.0


def opened(uri: str, *, timeout_s: float = 30.0) -> AbstractAsyncContextManager[GrpcEventStore]:
    return open_event_store(EventStoreSettings(uri=uri, append_timeout_s=timeout_s, read_timeout_s=timeout_s))


async def append(store: GrpcEventStore) -> None:
    await store.append("other", [new_event()], expected_revision=NO_STREAM)


async def read(store: GrpcEventStore) -> None:
    assert len(await store.read_backward("one", limit=1)) == 1


async def subscribe(store: GrpcEventStore) -> None:
    async with store.subscribe("one", after_revision=0) as items:
        assert isinstance(await anext(items), CaughtUp)


async def subscribe_all(store: GrpcEventStore) -> None:
    async with store.subscribe_all(after_position=None) as items:
        await anext(items)


Call = Callable[[GrpcEventStore], Awaitable[None]]
CALLS = (append, read, subscribe, subscribe_all)


def named(cluster: Cluster) -> str:
    return cluster.uri


def discovered(cluster: Cluster) -> str:
    return cluster.uri_of(cluster.nodes[1], discover=True)


Form = Callable[[Cluster], str]
FORMS = (named, discovered)


def gossips(cluster: Cluster) -> int:
    return sum(node.gossips for node in cluster.nodes)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not reached():  # noqa: ASYNC110 - the nodes' counters have no event
            await asyncio.sleep(0.01)


async def succeeds(call: Call, store: GrpcEventStore) -> None:
    """As the daemon does it: again and again, with a pause."""
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                return await call(store)
            except EventStoreError:
                await asyncio.sleep(0.1)
