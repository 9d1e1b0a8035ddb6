"""What esdbclient and gRPC do wrong on a bad link, and that none of it is seen through our client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
import pytest

from edge.domain.event import RecordedEvent
from edge.domain.event_store import NO_STREAM, CaughtUp, EventStoreUnavailable, OutcomeUnknown
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import CALLS_MAX, GrpcEventStore, open_event_store
from edge.event_store.embedded.faults import (
    LOST_ANSWER,
    LOST_REQUEST,
    SILENCE_AFTER_COMMIT,
    SILENCE_BEFORE_COMMIT,
    AppendFault,
    Delay,
    EndCall,
    Stage,
)
from edge.event_store.embedded.server import EmbeddedEventStore
from edge.event_store.node import Keepalive
from fakes.event_store_subjects import new_event
from fakes.tcp_proxy import TcpProxy, tcp_proxy

# A call is made once more on a fresh connection.
ATTEMPTS_MAX = 2


@pytest.fixture
async def proxy(embedded: EmbeddedEventStore) -> AsyncIterator[TcpProxy]:
    async with tcp_proxy(embedded.port) as proxy:
        yield proxy


@pytest.fixture
async def store(proxy: TcpProxy) -> AsyncIterator[GrpcEventStore]:
    settings = EventStoreSettings(uri=proxy.uri, append_timeout_s=30.0, read_timeout_s=30.0)
    async with open_event_store(settings) as store:
        yield store


@pytest.fixture
async def pinging(proxy: TcpProxy) -> AsyncIterator[GrpcEventStore]:
    settings = EventStoreSettings(uri=proxy.uri, append_timeout_s=30.0, read_timeout_s=30.0)
    async with open_event_store(settings, keepalive=Keepalive(interval_s=0.5, timeout_s=2.0)) as store:
        yield store


@pytest.fixture
async def impatient(proxy: TcpProxy) -> AsyncIterator[GrpcEventStore]:
    settings = EventStoreSettings(uri=proxy.uri, append_timeout_s=1.0, read_timeout_s=1.0)
    async with open_event_store(settings) as store:
        yield store


async def test_silent_link_ends_a_subscription_by_keepalive(pinging: GrpcEventStore, proxy: TcpProxy) -> None:
    async with pinging.subscribe("one", after_revision=NO_STREAM) as items:
        assert isinstance(await anext(items), CaughtUp)
        proxy.go_silent()
        with pytest.raises(EventStoreUnavailable):
            async with asyncio.timeout(40):
                await anext(items)
        # Who asks again is told again; nobody hangs.
        with pytest.raises(EventStoreUnavailable):
            await anext(items)


async def test_quiet_subscription_stays_though_pings_go_on(pinging: GrpcEventStore) -> None:
    async with pinging.subscribe("one", after_revision=NO_STREAM) as items:
        assert isinstance(await anext(items), CaughtUp)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await anext(items)
        await pinging.append("one", [new_event()], expected_revision=NO_STREAM)
        assert isinstance(await anext(items), RecordedEvent)


async def test_append_over_a_silent_link_has_an_unknown_outcome(
    store: GrpcEventStore, impatient: GrpcEventStore, proxy: TcpProxy
) -> None:
    await store.append("one", [new_event()], expected_revision=NO_STREAM)
    proxy.go_silent()
    with pytest.raises(OutcomeUnknown):
        await impatient.append("one", [new_event()], expected_revision=0)


async def test_read_over_a_silent_link_fails_rather_than_find_nothing(
    store: GrpcEventStore, impatient: GrpcEventStore, proxy: TcpProxy
) -> None:
    await store.append("one", [new_event()], expected_revision=NO_STREAM)
    proxy.go_silent()
    with pytest.raises(EventStoreUnavailable):
        await impatient.read_forward("one", from_revision=0, limit=1)


async def test_confirmation_of_a_subscription_is_bounded(impatient: GrpcEventStore, proxy: TcpProxy) -> None:
    proxy.go_silent()
    with pytest.raises(EventStoreUnavailable):
        async with impatient.subscribe("one", after_revision=NO_STREAM):
            pass


async def test_client_works_again_after_the_link_comes_back(impatient: GrpcEventStore, proxy: TcpProxy) -> None:
    event = new_event()
    proxy.go_silent()
    with pytest.raises(OutcomeUnknown):
        await impatient.append("one", [event], expected_revision=NO_STREAM)
    proxy.speak_again()
    async with asyncio.timeout(60):
        while True:
            try:
                await impatient.append("one", [event], expected_revision=NO_STREAM)
                break
            except OutcomeUnknown:
                continue
    assert [e.event_id for e in await impatient.read_forward("one", from_revision=0, limit=9)] == [event.event_id]


async def test_cancelling_who_iterates_is_not_swallowed(store: GrpcEventStore) -> None:
    caught_up, after = asyncio.Event(), asyncio.Event()

    async def follow() -> None:
        async with store.subscribe("one", after_revision=NO_STREAM) as items:
            async for _ in items:
                caught_up.set()
        after.set()

    task = asyncio.create_task(follow())
    await caught_up.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not after.is_set()


async def test_cancelled_read_is_cancelled_and_not_an_empty_stream(store: GrpcEventStore, proxy: TcpProxy) -> None:
    await store.append("one", [new_event()], expected_revision=NO_STREAM)
    proxy.go_silent()
    reading = asyncio.create_task(store.read_forward("one", from_revision=0, limit=1))
    await asyncio.sleep(0.2)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_cancelled_confirmation_is_cancelled(store: GrpcEventStore, proxy: TcpProxy) -> None:
    proxy.go_silent()

    async def follow() -> None:
        async with store.subscribe("one", after_revision=NO_STREAM):
            pass

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.2)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_append_whose_answer_was_lost_is_made_once_more_without_doubling(
    store: GrpcEventStore, embedded: EmbeddedEventStore
) -> None:
    events = [new_event() for _ in range(3)]
    embedded.faults.appends += [LOST_ANSWER] * (ATTEMPTS_MAX - 1)
    await store.append("one", events, expected_revision=NO_STREAM)
    assert embedded.faults.appends_seen == ATTEMPTS_MAX
    # Events from a generator would be gone at the second attempt, and success would be reported for nothing.
    assert [e.event_id for e in await store.read_forward("one", from_revision=0, limit=9)] == [
        event.event_id for event in events
    ]


async def test_connection_that_breaks_while_a_call_is_sent_is_as_broken_as_one_that_breaks_later(
    store: GrpcEventStore, embedded: EmbeddedEventStore
) -> None:
    # gRPC's client then says this itself.
    broken = EndCall(grpc.StatusCode.INTERNAL, "Internal error from Core")
    embedded.faults.appends.append(AppendFault(Stage.BEFORE_COMMIT, broken))
    embedded.faults.reads.append(broken)
    await store.append("one", [new_event()], expected_revision=NO_STREAM)
    assert len(await store.read_backward("one", limit=1)) == 1


async def test_answers_lost_at_every_attempt_leave_the_outcome_unknown(
    store: GrpcEventStore, embedded: EmbeddedEventStore
) -> None:
    event = new_event()
    embedded.faults.appends += [LOST_ANSWER] * ATTEMPTS_MAX
    with pytest.raises(OutcomeUnknown):
        await store.append("one", [event], expected_revision=NO_STREAM)
    assert [e.event_id for e in await store.read_backward("one", limit=1)] == [event.event_id]


@pytest.mark.parametrize("fault", [SILENCE_BEFORE_COMMIT, SILENCE_AFTER_COMMIT])
async def test_append_that_is_never_answered_has_an_unknown_outcome(
    impatient: GrpcEventStore, embedded: EmbeddedEventStore, fault: AppendFault
) -> None:
    embedded.faults.appends.append(fault)
    with pytest.raises(OutcomeUnknown):
        await impatient.append("one", [new_event()], expected_revision=NO_STREAM)


async def test_reconnecting_for_an_append_does_not_end_a_subscription_silently(
    store: GrpcEventStore, embedded: EmbeddedEventStore
) -> None:
    async with store.subscribe("one", after_revision=NO_STREAM) as items:
        assert isinstance(await anext(items), CaughtUp)
        embedded.faults.appends.append(LOST_REQUEST)
        await store.append("other", [new_event()], expected_revision=NO_STREAM)
        with pytest.raises(EventStoreUnavailable):
            await anext(items)


async def test_read_cut_short_by_a_reconnect_is_not_taken_for_the_whole(store: GrpcEventStore) -> None:
    for first in range(0, 4000, 500):
        await store.append("one", [new_event() for _ in range(500)], expected_revision=first - 1)
    reading = asyncio.create_task(store.read_forward("one", from_revision=0, limit=4000))
    await asyncio.sleep(0.1)
    # What befalls all calls when one of them meets UNAVAILABLE.
    await store._cluster.give_up(await store._cluster.leader())
    with suppress(EventStoreUnavailable):
        assert len(await reading) == 4000


async def test_channel_closed_under_an_append_is_not_a_cancellation(
    store: GrpcEventStore, embedded: EmbeddedEventStore
) -> None:
    embedded.faults.appends.append(AppendFault(Stage.BEFORE_COMMIT, Delay(30)))
    appending = asyncio.create_task(store.append("one", [new_event()], expected_revision=NO_STREAM))
    while not embedded.faults.appends_seen:  # noqa: ASYNC110 - the server's counter has no event
        await asyncio.sleep(0.01)
    await store._cluster.give_up(await store._cluster.leader())
    with pytest.raises(OutcomeUnknown):
        await appending


async def test_connections_cut_in_the_middle_do_not_double_or_lose(store: GrpcEventStore, proxy: TcpProxy) -> None:
    events = [new_event() for _ in range(60)]
    for revision, event in enumerate(events):
        if revision % 10 == 5:
            asyncio.get_running_loop().call_later(0.001, proxy.cut)
        while True:
            try:
                await store.append("one", [event], expected_revision=revision - 1)
                break
            except OutcomeUnknown:
                continue
    stands = await store.read_forward("one", from_revision=0, limit=100)
    assert [event.event_id for event in stands] == [event.event_id for event in events]


async def test_calls_under_way_stay_below_what_one_connection_takes(
    store: GrpcEventStore, embedded: EmbeddedEventStore
) -> None:
    # A real server takes 100; the call after that would hang without an error.
    embedded.faults.appends += [SILENCE_BEFORE_COMMIT] * 150
    async with asyncio.TaskGroup() as tasks:
        appending = [
            tasks.create_task(store.append(f"s{n}", [new_event()], expected_revision=NO_STREAM)) for n in range(150)
        ]
        while embedded.faults.appends_seen < CALLS_MAX:  # noqa: ASYNC110 - the server's counter has no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert embedded.faults.appends_seen == CALLS_MAX
        for task in appending:
            task.cancel()
