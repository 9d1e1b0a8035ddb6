"""The look for the leader: one at a time, bounded, for whichever call needs it, and told in plain words."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge.domain.event_store import (
    NO_STREAM,
    CredentialRefused,
    EventStoreMisconfigured,
    EventStoreUnavailable,
    OutcomeUnknown,
)
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import open_event_store
from edge.event_store.embedded.faults import SILENCE_BEFORE_COMMIT
from edge.event_store.embedded.server import Tls
from fakes.cluster_calls import (
    FORMS,
    LONG_S,
    Form,
    append,
    gossips,
    opened,
    read,
    subscribe,
    subscribe_all,
    until,
)
from fakes.event_store_cluster import Cluster, running_cluster
from fakes.event_store_subjects import new_event

CERTIFICATES = Path(__file__).parent / "certificates"
TLS = Tls(
    private_key=(CERTIFICATES / "server-key.pem").read_bytes(),
    certificate_chain=(CERTIFICATES / "server.pem").read_bytes(),
)
each_form = pytest.mark.parametrize("form", FORMS)


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


async def test_election_that_does_not_end_is_told_node_by_node(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.event_store.cluster.LOOK_TIMEOUT_S", 1.5)
    cluster.election_s = 60.0
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        cluster.elect()
        await until(lambda: cluster.leader is None)
        async with asyncio.timeout(LONG_S):
            with pytest.raises(OutcomeUnknown, match="looking for the leader") as told:
                await append(store)
    # The one that is connected is not asked on a fresh connection besides.
    for node in cluster.nodes:
        assert str(told.value).count(node.address) == 1
    assert str(told.value).count("is not the leader (it names none)") == len(cluster.nodes)


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


@each_form
async def test_store_that_was_closed_opens_no_channel_again(cluster: Cluster, form: Form) -> None:
    async with opened(form(cluster)) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
    before = gossips(cluster)
    for call in (append, read, subscribe):
        with pytest.raises(EventStoreUnavailable, match="closed"):
            await call(store)
    assert gossips(cluster) == before


async def test_look_that_is_under_way_when_the_store_is_closed_leaves_no_channel_open(cluster: Cluster) -> None:
    async with opened(cluster.uri) as store:
        await store.append("one", [new_event()], expected_revision=NO_STREAM)
        await cluster.kill(cluster.nodes[0])
        before = gossips(cluster)
        reading = asyncio.create_task(read(store))
        await until(lambda: gossips(cluster) > before)
    with pytest.raises(EventStoreUnavailable, match="closed"):
        await reading
    assert store._cluster._present is None


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
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("event_store_leader_changed", "info")
    assert (line["node"], line["before"]) == (leader.address, cluster.nodes[0].address)
    assert line["took_s"] > 0
    assert f"{leader.address} leads" in line["answers"]
    assert "changeit" not in str(line)


@each_form
async def test_wrong_password_is_an_access_refused_and_not_a_leader_that_is_missing(
    form: Form,
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
