"""A cluster whose leader goes: every call finds the next one, and none hangs or claims what it cannot know."""

import asyncio

import pytest

from edge.domain.event import RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    EventStoreUnavailable,
    OutcomeUnknown,
)
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import open_event_store
from edge.event_store.embedded.faults import SILENCE_BEFORE_COMMIT
from edge.event_store.node import Keepalive
from fakes.cluster_calls import (
    CALLS,
    FORMS,
    LONG_S,
    Call,
    Form,
    append,
    discovered,
    gossips,
    opened,
    read,
    succeeds,
    until,
)
from fakes.event_store_cluster import Cluster, running_cluster
from fakes.event_store_subjects import new_event

each_call = pytest.mark.parametrize("call", CALLS)
each_form = pytest.mark.parametrize("form", FORMS)


@each_call
@each_form
async def test_call_waits_for_the_next_leader_when_the_former_was_killed(
    cluster: Cluster, form: Form, call: Call
) -> None:
    async with opened(form(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        await cluster.kill(cluster.nodes[0])
        # No error, and no back-off of a caller: the election ends while the call looks for the leader.
        await call(store)
        assert cluster.leader is not cluster.nodes[0]


@each_call
@each_form
async def test_call_goes_to_the_next_leader_when_the_former_follows(cluster: Cluster, form: Form, call: Call) -> None:
    async with opened(form(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.elect()
        await cluster.until_elected()
        await call(store)


@each_call
async def test_call_made_in_an_election_waits_for_its_end(cluster: Cluster, call: Call) -> None:
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.elect()
        await until(lambda: cluster.leader is None)
        # The node says that it is not ready: an append by a message, a read by a status.
        await call(store)


@each_call
@each_form
async def test_call_after_one_that_a_frozen_leader_never_answered_finds_the_next_leader(form: Form, call: Call) -> None:
    # When the first call has timed out, the others still take the frozen leader for a living one.
    async with running_cluster(notice_s=1.5) as cluster, opened(form(cluster), timeout_s=1.0) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.freeze(cluster.nodes[0])
        with pytest.raises(OutcomeUnknown if call is append else EventStoreUnavailable):
            await call(store)
        await call(store)


@each_call
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
