"""A cluster whose leader goes: every call finds the next one, and none hangs or claims what it cannot know."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from edge.domain.event_store import NO_STREAM, CaughtUp, EventStoreError
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import GrpcEventStore, open_event_store
from fakes.event_store_cluster import Cluster, running_cluster
from fakes.event_store_subjects import new_event


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as cluster:
        yield cluster


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
CALLS = pytest.mark.parametrize("call", [append, read, subscribe, subscribe_all])


def named(cluster: Cluster) -> str:
    return cluster.uri


def discovered(cluster: Cluster) -> str:
    return cluster.uri_of(cluster.nodes[1], discover=True)


FORMS = pytest.mark.parametrize("form", [named, discovered])


async def succeeds(call: Call, store: GrpcEventStore) -> None:
    """As the daemon does it: again and again, with a pause."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await call(store)
            except EventStoreError:
                await asyncio.sleep(0.1)


@CALLS
@FORMS
async def test_call_finds_the_next_leader_after_the_former_was_killed(
    cluster: Cluster, form: Callable[[Cluster], str], call: Call
) -> None:
    async with opened(form(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        await cluster.kill(cluster.nodes[0])
        await succeeds(call, store)
        assert cluster.leader is not cluster.nodes[0]


@CALLS
@FORMS
async def test_call_finds_the_next_leader_after_the_former_follows(
    cluster: Cluster, form: Callable[[Cluster], str], call: Call
) -> None:
    async with opened(form(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.elect()
        await cluster.until_elected()
        await succeeds(call, store)
