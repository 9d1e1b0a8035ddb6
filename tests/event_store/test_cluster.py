"""A cluster whose leader goes: every call finds the next one, and none hangs or claims what it cannot know."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge.domain.event import RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    CredentialRefused,
    EventStoreError,
    EventStoreMisconfigured,
    EventStoreUnavailable,
    OutcomeUnknown,
)
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import GrpcEventStore, open_event_store
from edge.event_store.embedded.faults import SILENCE_BEFORE_COMMIT
from edge.event_store.embedded.server import Tls
from edge.event_store.node import Keepalive
from fakes.event_store_cluster import Cluster, running_cluster
from fakes.event_store_subjects import new_event

CERTIFICATES = Path(__file__).parent / "certificates"
TLS = Tls(
    private_key=(CERTIFICATES / "server-key.pem").read_bytes(),
    certificate_chain=(CERTIFICATES / "server.pem").read_bytes(),
)
# Shorter than any time-out of a call that is used here with it.
LONG_S = 20.0


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


@CALLS
@FORMS
async def test_call_waits_for_the_next_leader_when_the_former_was_killed(
    cluster: Cluster, form: Callable[[Cluster], str], call: Call
) -> None:
    async with opened(form(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        await cluster.kill(cluster.nodes[0])
        # No error, and no back-off of a caller: the election ends while the call looks for the leader.
        await call(store)
        assert cluster.leader is not cluster.nodes[0]


@CALLS
@FORMS
async def test_call_goes_to_the_next_leader_when_the_former_follows(
    cluster: Cluster, form: Callable[[Cluster], str], call: Call
) -> None:
    async with opened(form(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.elect()
        await cluster.until_elected()
        await call(store)


@CALLS
async def test_call_made_in_an_election_waits_for_its_end(cluster: Cluster, call: Call) -> None:
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.elect()
        await until(lambda: cluster.leader is None)
        # The node says that it is not ready: an append by a message, a read by a status.
        await call(store)


@CALLS
@FORMS
async def test_call_after_one_that_a_frozen_leader_never_answered_finds_the_next_leader(
    form: Callable[[Cluster], str], call: Call
) -> None:
    # When the first call has timed out, the others still take the frozen leader for a living one.
    async with running_cluster(notice_s=1.5) as cluster, opened(form(cluster), timeout_s=1.0) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.freeze(cluster.nodes[0])
        with pytest.raises(OutcomeUnknown if call is append else EventStoreUnavailable):
            await call(store)
        await call(store)


@CALLS
async def test_former_leader_that_goes_on_after_its_frost_misleads_no_call(cluster: Cluster, call: Call) -> None:
    async with opened(cluster.uri, timeout_s=2.0) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.freeze(cluster.nodes[0])
        await cluster.until_elected()
        await cluster.bring_back(cluster.nodes[0])
        await call(store)


async def test_leader_to_which_only_the_connection_is_lost_is_connected_to_anew(cluster: Cluster) -> None:
    async with opened(cluster.uri, timeout_s=1.0) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.nodes[0].forget_connections()
        with pytest.raises(OutcomeUnknown):
            await append(store)
        await read(store)
        assert cluster.leader is cluster.nodes[0]


async def test_frozen_node_that_is_named_first_does_not_hold_up_the_first_call(cluster: Cluster) -> None:
    cluster.freeze(cluster.nodes[0])
    await cluster.until_elected()
    uri = f"{cluster.uri}&GossipTimeout=60"
    async with opened(uri) as store, asyncio.timeout(LONG_S):
        await append(store)


async def test_members_that_gossip_named_are_asked_when_the_named_node_is_gone(cluster: Cluster) -> None:
    async with opened(discovered(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        await cluster.kill(cluster.nodes[1])
        await cluster.kill(cluster.nodes[0])
        await read(store)


@pytest.mark.parametrize("form", ["kurrentdb://", "kurrentdb+discover://"])
async def test_name_of_the_newer_product_is_the_same(cluster: Cluster, form: str) -> None:
    uri = (cluster.uri if form == "kurrentdb://" else discovered(cluster)).partition("://")[2]
    settings = EventStoreSettings(uri=form + uri)
    assert settings.mistakes() == []
    async with open_event_store(settings) as store:
        await append(store)
        await cluster.kill(cluster.nodes[0])
        assert len(await store.read_backward("other", limit=1)) == 1


async def test_leader_that_a_follower_names_is_asked_alone(cluster: Cluster) -> None:
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.elect()
        leader = await cluster.until_elected()
        before, before_leader = gossips(cluster), leader.gossips
        await read(store)
        assert (gossips(cluster) - before, leader.gossips - before_leader) == (1, 1)


async def test_many_calls_look_for_the_leader_once(cluster: Cluster) -> None:
    async with opened(cluster.uri) as store:
        await asyncio.gather(
            *(store.append(f"s{n}", [new_event()], expected_revision=NO_STREAM) for n in range(40)),
        )
        assert gossips(cluster) == 1
        await cluster.kill(cluster.nodes[0])
        leader = await cluster.until_elected()
        before = gossips(cluster)
        reads = (store.read_backward(f"s{n}", limit=1) for n in range(40))
        await asyncio.gather(*reads, return_exceptions=True)
        # One answer may come from a follower, the last one is the leader's own.
        assert gossips(cluster) - before <= 2
        assert leader.gossips >= 1
        assert len(await store.read_backward("s7", limit=1)) == 1


async def test_call_that_began_before_the_last_look_does_not_start_another(cluster: Cluster) -> None:
    async with opened(cluster.uri) as store:
        former = await store._cluster.leader()
        cluster.elect()
        await cluster.until_elected()
        await append(store)
        before = gossips(cluster)
        await store._cluster.give_up(former)
        store._cluster.doubt(former)
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        assert gossips(cluster) == before


async def test_calls_that_wait_for_one_look_share_its_failure(cluster: Cluster) -> None:
    async with opened(cluster.uri) as store:
        for node in cluster.nodes:
            await cluster.kill(node)
        async with asyncio.timeout(LONG_S):
            told = await asyncio.gather(*(read(store) for _ in range(8)), return_exceptions=True)
        assert {type(error) for error in told} == {EventStoreUnavailable}
        for node in cluster.nodes:
            assert f"{node.address} does not answer" in str(told[0])
        assert "looking for the leader" in str(told[0])
        assert store._cluster._failed_looks <= 2


async def test_look_that_failed_is_followed_by_one_that_finds(cluster: Cluster) -> None:
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        for node in cluster.nodes:
            await cluster.kill(node)
        with pytest.raises(EventStoreUnavailable):
            await read(store)
        for node in cluster.nodes:
            await cluster.bring_back(node)
        await cluster.until_elected()
        await read(store)


async def test_call_that_is_cancelled_while_it_looks_leaves_the_store_usable(cluster: Cluster) -> None:
    cluster.election_s = 60.0
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        await cluster.kill(cluster.nodes[0])
        before = gossips(cluster)
        reading = asyncio.create_task(read(store))
        waiting = asyncio.create_task(read(store))
        await until(lambda: gossips(cluster) > before)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        cluster.election_s = 0.0
        cluster.elect()
        # The one that waited for the cancelled look makes the next.
        await waiting


async def test_calls_on_a_frozen_leader_end_when_another_call_has_found_the_next(cluster: Cluster) -> None:
    settings = EventStoreSettings(uri=cluster.uri, append_timeout_s=120.0, read_timeout_s=1.0)
    async with open_event_store(settings) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.nodes[0].faults.appends.append(SILENCE_BEFORE_COMMIT)
        seen = cluster.nodes[0].appends
        appending = asyncio.create_task(append(store))
        await until(lambda: cluster.nodes[0].appends > seen)
        await asyncio.sleep(0.1)
        cluster.freeze(cluster.nodes[0])
        await succeeds(read, store)
        async with asyncio.timeout(LONG_S):
            with pytest.raises(OutcomeUnknown):
                await appending


async def test_slow_answer_of_a_healthy_leader_ends_nothing_else(cluster: Cluster) -> None:
    cluster.elect()
    leader = await cluster.until_elected()
    settings = EventStoreSettings(uri=cluster.uri, append_timeout_s=1.0)
    async with open_event_store(settings) as store, store.subscribe("one", after_revision=NO_STREAM) as items:
        assert isinstance(await anext(items), CaughtUp)
        leader.faults.appends.append(SILENCE_BEFORE_COMMIT)
        with pytest.raises(OutcomeUnknown):
            await store.append("one", [new_event()], expected_revision=NO_STREAM)
        before, before_leader = gossips(cluster), leader.gossips
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        assert isinstance(await anext(items), RecordedEvent)
        # It said itself that it leads, and the others were not troubled.
        assert (gossips(cluster) - before, leader.gossips - before_leader) == (1, 1)


@pytest.mark.parametrize("way", ["killed", "ended"])
async def test_subscription_on_a_leader_that_goes_is_told_and_can_be_opened_on_the_next(
    cluster: Cluster, way: str
) -> None:
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        async with store.subscribe("one", after_revision=0) as items:
            assert isinstance(await anext(items), CaughtUp)
            await (cluster.kill if way == "killed" else cluster.end)(cluster.nodes[0])
            with pytest.raises(EventStoreUnavailable):
                await anext(items)
        async with store.subscribe("one", after_revision=NO_STREAM) as items:
            assert isinstance(await anext(items), RecordedEvent)


async def test_subscription_on_a_frozen_leader_is_told_by_the_pings_and_can_be_opened_on_the_next(
    cluster: Cluster,
) -> None:
    settings = EventStoreSettings(uri=cluster.uri)
    async with open_event_store(settings, keepalive=Keepalive(interval_s=0.5, timeout_s=1.0)) as store:
        async with store.subscribe("one", after_revision=NO_STREAM) as items:
            assert isinstance(await anext(items), CaughtUp)
            cluster.freeze(cluster.nodes[0])
            async with asyncio.timeout(LONG_S):
                with pytest.raises(EventStoreUnavailable):
                    await anext(items)
        async with store.subscribe("one", after_revision=NO_STREAM) as items:
            assert isinstance(await anext(items), CaughtUp)


async def test_subscription_that_its_user_leaves_is_no_reason_to_look_for_the_leader(cluster: Cluster) -> None:
    async with opened(cluster.uri) as store:
        async with store.subscribe("one", after_revision=NO_STREAM) as items:
            await anext(items)
        before = gossips(cluster)
        await append(store)
        assert gossips(cluster) == before


async def test_single_node_that_follows_is_said_in_plain_words_and_not_left(cluster: Cluster) -> None:
    async with opened(cluster.uri_of(cluster.nodes[1])) as store:
        for call in (append, read, subscribe, subscribe_all):
            with pytest.raises(EventStoreUnavailable, match=r"not the leader.*name all nodes.*esdb\+discover://"):
                await call(store)
        assert cluster.nodes[0].appends == cluster.nodes[0].reads == 0


async def test_change_of_the_leader_is_logged_once_and_without_the_password() -> None:
    async with running_cluster(tls=TLS, credential="gateway:changeit") as cluster:
        settings = EventStoreSettings(uri=cluster.uri, ca_file=CERTIFICATES / "ca.pem")
        async with open_event_store(settings, credential="gateway:changeit") as store:
            with capture_logs() as logged:
                await store.append("one", [new_event()], expected_revision=NO_STREAM)
                await cluster.kill(cluster.nodes[0])
                await read(store)
                leader = cluster.leader
                assert leader is not None
                await cluster.bring_back(cluster.nodes[0])
                await read(store)
    line = {"event": "event_store_leader_changed", "node": leader.address, "before": cluster.nodes[0].address}
    assert logged == [{**line, "log_level": "info"}]


@FORMS
async def test_wrong_password_is_an_access_refused_and_not_a_leader_that_is_missing(
    form: Callable[[Cluster], str],
) -> None:
    async with running_cluster(tls=TLS, credential="gateway:changeit") as cluster:
        settings = EventStoreSettings(uri=form(cluster), ca_file=CERTIFICATES / "ca.pem")
        async with open_event_store(settings, credential="gateway:wrong") as store:
            for call in (append, read, subscribe):
                with pytest.raises(CredentialRefused, match="Unauthenticated"):
                    await call(store)


async def test_append_that_was_sent_before_all_nodes_went_has_an_unknown_outcome(cluster: Cluster) -> None:
    async with opened(cluster.uri) as store:
        await store._cluster.leader()
        cluster.nodes[0].faults.appends.append(SILENCE_BEFORE_COMMIT)
        appending = asyncio.create_task(append(store))
        await until(lambda: cluster.nodes[0].appends == 1)
        for node in cluster.nodes:
            await cluster.kill(node)
        with pytest.raises(OutcomeUnknown, match="looking for the leader"):
            await appending


@pytest.mark.parametrize("preference", ["follower", "random", "readonlyreplica"])
async def test_preference_for_a_node_that_cannot_append_is_refused(preference: str) -> None:
    settings = EventStoreSettings(uri=f"esdb+discover://central:2113?tls=false&NodePreference={preference}")
    with pytest.raises(EventStoreMisconfigured, match="nodePreference must be leader"):
        async with open_event_store(settings):
            pass
