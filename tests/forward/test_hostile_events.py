"""What others wrote into our streams: nothing of it raises outside its reader, and forwarding goes on."""

import asyncio
import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain.event import NewEvent, RecordedEvent
from edge.forward.reconcile import NUMBER_MAX, Kinship, facts_of, origin_of
from fakes.event_store import Fault
from fakes.forwarding_stage import STREAM, twenty
from fakes.forwarding_world import GATEWAY, Life, World
from fakes.hostile_events import data, events, metadata
from fakes.virtual_time import run_virtual

SEED = 7
# The first run of a world with this seed.
RUN = UUID(int=Random(SEED).getrandbits(128), version=4)
CONTROL_STREAM = f"gateway-{GATEWAY}"
OUR_STREAMS = (STREAM, f"sensorReadings-{GATEWAY}.b", CONTROL_STREAM)


@given(data(GATEWAY), metadata(RUN))
def test_whose_an_event_is_can_be_asked_of_any_bytes(body: bytes, head: bytes) -> None:
    recorded = RecordedEvent(event_id=RUN, type="T", data=body, metadata=head, stream="s-1", revision=0)
    found = origin_of(recorded, gateway_id=GATEWAY, is_known=lambda run, position: run == RUN and position <= 9)
    if found.kinship is Kinship.FOREIGN:
        assert (found.run, found.position) == (None, None)
    else:
        assert found.position is not None
        assert type(found.position) is int
        assert 0 < found.position <= NUMBER_MAX
        assert (found.kinship is Kinship.OURS) == (found.run == RUN and found.position <= 9)


@given(data(GATEWAY), metadata(RUN))
def test_the_facts_of_an_event_can_be_asked_of_any_bytes(body: bytes, head: bytes) -> None:
    facts = facts_of(body, head)
    assert facts.run is None or isinstance(facts.run, UUID)
    # What is told of them goes into an event.
    json.dumps([str(facts.run), facts.device_id, facts.sequence], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "position",
    ["-1" + "0" * 30, "-1", "0", str(2**63), "1" + "0" * 400, "1" * 5000, "true", "1.0", "1e999", "NaN", '"1"', "[1]"],
)
def test_a_number_that_no_file_could_give_is_no_position(position: str) -> None:
    head = f'{{"run":"{RUN}","position":{position}}}'.encode()
    body = f'{{"gatewayId":"{GATEWAY}","sequence":{position}}}'.encode()
    recorded = RecordedEvent(event_id=RUN, type="T", data=body, metadata=head, stream="s-1", revision=0)
    found = origin_of(recorded, gateway_id=GATEWAY, is_known=lambda _run, _position: True)
    assert (found.kinship, found.position) == (Kinship.FOREIGN, None)
    assert facts_of(body, head).sequence is None


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"a":' * 100_000])
def test_nesting_beyond_measure_is_somebody_elses(nested: bytes) -> None:
    recorded = RecordedEvent(event_id=RUN, type="T", data=nested, metadata=nested, stream="s-1", revision=0)
    found = origin_of(recorded, gateway_id=GATEWAY, is_known=lambda _run, _position: True)
    assert found.kinship is Kinship.FOREIGN


@pytest.mark.parametrize("position", [-(10**30), -1, 0, 2**63, 10**400])
def test_a_copied_event_with_an_impossible_position_ends_no_run(tmp_path: Path, position: int) -> None:
    async def story() -> None:
        await world.live(twenty)
        [ours, *_] = world.store.events(STREAM)
        head = json.dumps({**json.loads(ours.metadata), "position": position}).encode()
        _write(world, STREAM, [NewEvent(event_id=uuid4(), type="T", data=ours.data, metadata=head)])
        await world.live(twenty)

    world = World(directory=tmp_path / "state", rng=Random(SEED))
    run_virtual(story)
    assert len(world.store.events(STREAM)) == 41


def test_a_copy_of_an_event_of_another_stream_takes_nothing_from_what_is_pending(tmp_path: Path) -> None:
    async def copied(life: Life) -> None:
        life.world.store.choose_fault = lambda stream: Fault.LOST_REQUEST if stream == STREAM else None
        for device in "aaab":
            life.offer(device)
        await life.outbox.flush()
        await asyncio.sleep(5)
        [other] = world.store.events(f"sensorReadings-{GATEWAY}.b")
        copy = NewEvent(event_id=uuid4(), type=other.type, data=other.data, metadata=other.metadata)
        _write(world, STREAM, [copy])
        life.world.store.choose_fault = lambda _stream: None
        await life.settle()

    async def story() -> None:
        await world.live(copied)

    world = World(directory=tmp_path / "state", rng=Random(SEED))
    run_virtual(story)
    assert [json.loads(event.data)["sequence"] for event in world.store.events(STREAM)] == [1, 1, 2, 3]


def _write(world: World, stream: str, hostile: list[NewEvent]) -> None:
    state = world.store.streams.get(stream)
    world.store.append_now(stream, hostile, -1 if state is None else state.last)


def _claiming(world: World, hostile: list[NewEvent], claims: list[bool]) -> list[NewEvent]:
    """Some of them carry the metadata of an event of ours, as a careless copy does."""
    [first, *_] = world.store.events(STREAM)
    return [
        event._replace(event_id=uuid4(), data=first.data, metadata=first.metadata) if claim else event
        for event, claim in zip(hostile, claims, strict=True)
    ]


def _is_no_clone(event: NewEvent) -> bool:
    """An event that credibly comes from an unknown run of this gateway parks forwarding, and should."""
    recorded = RecordedEvent(event_id=RUN, type="T", data=event.data, metadata=event.metadata, stream="s-1", revision=0)
    found = origin_of(recorded, gateway_id=GATEWAY, is_known=lambda run, position: run == RUN and position <= 9)
    return found.kinship is not Kinship.UNKNOWN_RUN


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(events(GATEWAY, RUN).filter(_is_no_clone), st.booleans()), min_size=1, max_size=4),
    st.sampled_from(["before", "during", "restart", "restore"]),
)
def test_forwarding_goes_on_whatever_stands_in_our_streams(hostile: list[tuple[NewEvent, bool]], when: str) -> None:
    with TemporaryDirectory() as folder:
        world = World(directory=Path(folder) / "state", rng=Random(SEED))

        def disturb() -> None:
            strangers = [event for event, _ in hostile]
            if world.store.events(STREAM):
                strangers = _claiming(world, strangers, [claim for _, claim in hostile])
            for stream in OUR_STREAMS:
                _write(world, stream, [event._replace(event_id=uuid4()) for event in strangers])

        async def during(life: Life) -> None:
            await twenty(life)
            disturb()
            life.offer("b")
            await twenty(life)
            assert life.forwarder.status().queued_bytes == 0

        async def story() -> None:
            if when == "before":
                disturb()
            await world.live(during if when == "during" else twenty)
            if when == "restart":
                disturb()
            if when == "restore":
                world.restore_store({})
                disturb()
            await world.live(twenty)

        run_virtual(story)
        there = [event.event_id for event in world.store.events(STREAM) if event.event_id in world.accepted]
        ours = [event_id for event_id, accepted in world.accepted.items() if accepted.stream == STREAM]
        assert there == ours
