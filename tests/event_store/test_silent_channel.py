"""A look for the leader in which one channel says nothing, or little, or late: the leader is found all the same."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from edge.domain.event_store import NO_STREAM, EventStoreUnavailable, OutcomeUnknown
from edge.domain.settings import EventStoreSettings
from edge.event_store import cluster as looking
from edge.event_store.cluster import Cluster as Nodes
from edge.event_store.embedded.faults import SILENCE_BEFORE_COMMIT
from edge.event_store.node import Access, Keepalive
from fakes.cluster_calls import CALLS, Call, append, gossips, opened, read
from fakes.event_store_cluster import Cluster, ClusterNode
from fakes.event_store_subjects import new_event
from fakes.tcp_proxy import tcp_proxy

each_call = pytest.mark.parametrize("call", CALLS)


def lose_connection(node: ClusterNode) -> None:
    node.lose_next_connection()


def lose_gossip(node: ClusterNode) -> None:
    node.gossips_unanswered = 1


each_silence = pytest.mark.parametrize("fall_silent", [lose_connection, lose_gossip])
Silence = Callable[[ClusterNode], None]


def patient(cluster: Cluster) -> str:
    """Return an address with which a call for gossip outlasts the look: only another channel can help."""
    return f"{cluster.uri}&GossipTimeout=60"


async def elected(cluster: Cluster) -> ClusterNode:
    cluster.elect()
    return await cluster.until_elected()


@each_call
@each_silence
async def test_next_leader_whose_first_channel_is_silent_is_found_on_a_second(
    cluster: Cluster, fall_silent: Silence, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Less than gRPC gives a connection whose first bytes do not come.
    monkeypatch.setattr(looking, "LOOK_TIMEOUT_S", 4.0)
    async with opened(patient(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        fall_silent(await elected(cluster))
        await call(store)


async def test_leader_that_is_silent_on_two_channels_is_not_asked_on_a_third(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "SILENT_S", 0.1)
    monkeypatch.setattr(looking, "LOOK_TIMEOUT_S", 4.0)
    async with opened(patient(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        leader = await elected(cluster)
        leader.gossips_unanswered = 100
        before = leader.gossips
        with pytest.raises(EventStoreUnavailable, match=rf"{leader.address} \(again\) does not answer"):
            await read(store)
        assert leader.gossips - before == 2


async def test_leader_that_is_late_with_each_answer_is_believed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "SILENT_S", 0.5)
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        leader = await elected(cluster)
        leader.gossip_delay_s = 1.0
        await read(store)
        assert store._cluster._last_leader == leader.address


async def test_node_that_answers_is_not_asked_on_a_second_channel(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "SILENT_S", 0.2)
    monkeypatch.setattr(looking, "LOOK_TIMEOUT_S", 2.5)
    cluster.election_s = 60.0
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.elect()
        cluster.believed = cluster.nodes[2]
        with pytest.raises(EventStoreUnavailable, match="looking for the leader") as told:
            await read(store)
    assert f"it names {cluster.nodes[2].address}" in str(told.value)
    assert "(again)" not in str(told.value)


async def test_gossip_that_timed_out_is_asked_for_again_without_a_pause(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "SILENT_S", 60.0)
    monkeypatch.setattr(looking, "ASK_AGAIN_S", 2.0)
    monkeypatch.setattr(looking, "LOOK_TIMEOUT_S", 3.5)
    async with opened(f"{cluster.uri}&GossipTimeout=2") as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        lose_gossip(await elected(cluster))
        await read(store)


async def test_name_that_stands_for_a_dead_and_a_silent_and_a_living_node_is_enough(cluster: Cluster) -> None:
    async with tcp_proxy(cluster.nodes[0].port) as silent:
        silent.go_silent()
        await cluster.kill(cluster.nodes[1])
        addresses = (cluster.nodes[1].address, f"127.0.0.1:{silent.port}", cluster.nodes[2].address)
        settings = EventStoreSettings(uri=cluster.uri_of(cluster.nodes[0], discover=True))
        access = Access(settings, None, Keepalive())
        # As a resolver would answer for one name.
        access.seeds = (f"ipv4:{','.join(addresses)}",)
        nodes = Nodes(access)
        try:
            assert (await nodes.leader()).target == cluster.nodes[0].address
        finally:
            await nodes.close()


async def test_first_append_that_the_next_leader_never_answers_is_told_and_the_next_call_succeeds(
    cluster: Cluster,
) -> None:
    async with opened(cluster.uri, timeout_s=1.0) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        leader = await elected(cluster)
        leader.faults.appends.append(SILENCE_BEFORE_COMMIT)
        with pytest.raises(OutcomeUnknown, match="no answer within"):
            await append(store)
        before = gossips(cluster)
        await read(store)
        # Its channel is asked, and nothing else.
        assert gossips(cluster) - before == 1


async def test_first_read_that_the_next_leader_never_answers_is_told_and_the_next_call_succeeds(
    cluster: Cluster,
) -> None:
    async with opened(cluster.uri, timeout_s=1.0) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        leader = await elected(cluster)
        leader.reads_unanswered = 1
        with pytest.raises(EventStoreUnavailable, match="no answer within"):
            await read(store)
        await read(store)
        assert leader.reads == 2


async def test_look_that_took_long_is_logged_with_what_each_node_said(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "SILENT_S", 0.1)
    monkeypatch.setattr(looking, "LATE_S", 0.05)
    async with opened(patient(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        # The same leader again, on another channel.
        leader = cluster.nodes[0]
        leader.forget_connections()
        store._cluster.doubt(await store._cluster.leader())
        with capture_logs() as logged:
            await read(store)
    (line,) = logged
    assert (line["event"], line["log_level"], line["node"]) == ("event_store_leader_found_late", "info", leader.address)
    assert line["took_s"] >= 0.05
    assert f"{leader.address} (connected) does not answer" in line["answers"]
    assert f"{leader.address} leads" in line["answers"]
