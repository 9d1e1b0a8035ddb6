"""The whole gateway on a cluster whose leader dies, freezes, stops and comes back, again and again."""

import asyncio
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from edge.domain.event import NewEvent, RecordedEvent
from edge.domain.event_store import EventStoreError
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import GrpcEventStore, open_event_store
from edge.forward.link import LinkState
from edge.gateway.components import Gateway
from edge.settings.site import load_settings
from fakes.event_store_cluster import Cluster, ClusterNode, running_cluster
from fakes.running_gateway import running, until

FAILOVERS = int(os.environ.get("GREENHOUSE_EDGE_FAILOVERS", "20"))

pytestmark = [pytest.mark.system, pytest.mark.timeout(120 + 10 * FAILOVERS), pytest.mark.xdist_group("cluster")]

CONFIGURATION = "deviceConfiguration-north-1"
ANSWERS = "deviceConfigurationStatus-north-1"
PAGE = 500
DEVICES = 4
# Seconds from an election's end to the next forwarded event, in most failovers. A busy machine may stretch a few.
STANDSTILL_S_MAX = 3.0

SITE = """
[site]
id = "north-1"
[event_store]
uri = "{uri}"
append_timeout_s = 1
read_timeout_s = 1
[outbox]
commit_interval_ms = 50
[[connection]]
id = "line"
driver = "simulated"
mode = "pushed"
push_interval_ms = 20
"""
DEVICE = """
  [[connection.device]]
  id = "bench-{number}"
  remote = {{ poll_interval_s = {{ min = 1, max = 3600 }} }}
    [connection.device.point.air_temperature]
    unit = "Cel"
"""


def opened(cluster: Cluster) -> AbstractAsyncContextManager[GrpcEventStore]:
    """A client of the test's own. The machine may be busy when all there is is read at the end."""
    return open_event_store(EventStoreSettings(uri=cluster.uri, append_timeout_s=1, read_timeout_s=60))


def site_file(folder: Path, uri: str) -> Path:
    file = folder / "site.toml"
    file.write_text(SITE.format(uri=uri) + "".join(DEVICE.format(number=number) for number in range(DEVICES)))
    return file


class Producer:
    """Writes an update after each fault, by a client of its own, until it is known to be there."""

    def __init__(self, store: GrpcEventStore) -> None:
        self._store = store
        self.updates: list[UUID] = []

    async def update(self) -> None:
        version = len(self.updates) + 1
        body = {
            "deviceId": "bench-0",
            "configVersion": version,
            "changedBy": "test",
            "reason": "a fault",
            "configuration": {"pollIntervalS": 1 + version % 60},
        }
        event = NewEvent(
            event_id=uuid4(), type="DeviceConfigurationUpdated", data=json.dumps(body).encode(), metadata=b"{}"
        )
        self.updates.append(event.event_id)
        while True:
            try:
                await self._store.append(CONFIGURATION, [event], expected_revision=version - 2)
                break
            except EventStoreError:
                await asyncio.sleep(0.05)


async def kill(cluster: Cluster, node: ClusterNode) -> None:
    await cluster.kill(node)


async def end(cluster: Cluster, node: ClusterNode) -> None:
    await cluster.end(node)


async def freeze(cluster: Cluster, node: ClusterNode) -> None:
    cluster.freeze(node)


async def depose(cluster: Cluster, node: ClusterNode) -> None:
    """It goes on as a follower."""
    assert node is cluster.leader
    cluster.elect()


WAYS: tuple[Callable[[Cluster, ClusterNode], Awaitable[None]], ...] = (kill, end, depose, kill, freeze)


def forwarded(gateway: Gateway) -> int:
    return gateway.forwarder.status().forwarded


async def until_forwarded(gateway: Gateway, count: int) -> None:
    aim = forwarded(gateway) + count
    await until(lambda: forwarded(gateway) >= aim, f"{count} more events to be forwarded")


async def fail_over(
    cluster: Cluster, gateway: Gateway, way: Callable[[Cluster, ClusterNode], Awaitable[None]]
) -> float:
    """Take the leader away; returns how long after the election nothing was forwarded, in seconds."""
    former = cluster.leader
    assert former is not None
    await way(cluster, former)
    await cluster.until_elected()
    await until_forwarded(gateway, 1)
    standstill_s = time.monotonic() - cluster.elected_at_s
    if not former.is_answering:
        await cluster.bring_back(former)
    return standstill_s


async def events_of(store: GrpcEventStore, stream: str) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while page := await store.read_forward(stream, from_revision=len(events), limit=PAGE):
        events += page
    return events


async def until_answered(store: GrpcEventStore, updates: list[UUID]) -> Counter[str]:
    """Wait for an answer to each update; all answers, counted by what they answer."""
    while True:
        answers = await events_of(store, ANSWERS)
        answered = Counter(json.loads(event.metadata)["$causationId"] for event in answers)
        if answered.keys() >= {str(update) for update in updates}:
            return answered
        await asyncio.sleep(0.1)


def assert_whole(streams: list[list[RecordedEvent]], accepted: int) -> None:
    """Each accepted event stands in its stream once, in order."""
    positions = [[json.loads(event.metadata)["position"] for event in events] for events in streams]
    for of_stream in positions:
        assert of_stream == sorted(of_stream)
    counts = Counter(position for of_stream in positions for position in of_stream)
    assert not [position for position, count in counts.items() if count > 1]
    assert not [position for position in range(1, accepted + 1) if position not in counts]


def told(standstills: dict[str, list[float]]) -> str:
    return "; ".join(
        f"{way}: {len(times)} times, median {statistics.median(times):.2f} s, longest {max(times):.2f} s"
        for way, times in standstills.items()
    )


async def test_leaders_that_go_again_and_again_cost_no_event_and_no_answer(tmp_path: Path) -> None:
    standstills: dict[str, list[float]] = {}
    async with running_cluster(seed=FAILOVERS) as cluster, opened(cluster) as store:
        async with running(load_settings(site_file(tmp_path, cluster.uri))) as gateway:
            producer = Producer(store)
            for failover in range(FAILOVERS):
                await until_forwarded(gateway, 20)
                way = WAYS[failover % len(WAYS)]
                standstills.setdefault(way.__name__, []).append(await fail_over(cluster, gateway, way))
                await producer.update()
            accepted = gateway.outbox.statistics().last_position
            await until(lambda: gateway.outbox.statistics().pending == 0, "the backlog to drain")
            answered = await until_answered(store, producer.updates)
        streams = [await events_of(store, f"sensorReadings-north-1.bench-{number}") for number in range(DEVICES)]
        streams += [await events_of(store, name) for name in ("gateway-north-1", ANSWERS)]
    # Shown with `pytest -s`.
    print(f"from the election's end to the next forwarded event: {told(standstills)}")  # noqa: T201
    assert max(statistics.median(times) for times in standstills.values()) <= STANDSTILL_S_MAX, told(standstills)
    assert cluster.elections == FAILOVERS + 1
    assert answered == Counter(str(update) for update in producer.updates)
    assert_whole(streams, accepted)


async def test_follower_that_dies_or_freezes_is_not_noticed(tmp_path: Path) -> None:
    async with running_cluster() as cluster, running(load_settings(site_file(tmp_path, cluster.uri))) as gateway:
        await until_forwarded(gateway, 20)
        dying, freezing = cluster.followers
        await cluster.kill(dying)
        await until_forwarded(gateway, 20)
        await cluster.bring_back(dying)
        cluster.freeze(freezing)
        await until_forwarded(gateway, 20)
        status = gateway.forwarder.status()
        assert (status.state, status.last_error) == (LinkState.FORWARDING, "")
