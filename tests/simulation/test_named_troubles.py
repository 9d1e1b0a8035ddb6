"""What an event store or a stranger can do to a stream, each case by its name."""

import asyncio
import json

from structlog.testing import capture_logs

from edge.domain.event import EventType, NewEvent
from fakes.forwarding_stage import STREAM, play, tell, twenty, types
from fakes.forwarding_world import Life, World
from fakes.stream_state import Fault
from fakes.virtual_time import run_virtual


def test_a_clone_stops_forwarding_and_measuring_goes_on(world: World) -> None:
    async def cloned(life: Life) -> None:
        await twenty(life)
        metadata = {"run": str(life.world.new_id()), "position": 3}
        event = NewEvent(
            event_id=life.world.new_id(),
            type="SensorReadingReceived",
            data=b'{"gatewayId": "north-1"}',
            metadata=json.dumps(metadata).encode(),
        )
        life.world.store.append_now(STREAM, [event], 19)
        life.offer("a")
        await life.settle(within_s=120)
        assert life.forwarder.status().state == "parked"
        assert life.offer("a")
        await life.outbox.flush()

    async def story(world: World) -> None:
        await world.live(cloned)

    run_virtual(lambda: story(world))
    assert len(world.store.events(STREAM)) == 21


def test_a_deleted_stream_is_parked_and_the_others_go_on(world: World) -> None:
    async def parked(life: Life) -> None:
        await twenty(life)
        life.world.delete(STREAM)
        for device in "abab":
            life.offer(device)
        await life.settle()
        assert list(life.forwarder.status().parked) == [STREAM]
        for device in "ab":
            life.offer(device)
        await life.settle()

    async def story(world: World) -> None:
        await world.live(parked)
        await world.live(twenty)

    play(world, story)
    assert len(world.store.events("sensorReadings-north-1.b")) == 3
    assert types(world).count(EventType.ALARM_RAISED) == 1


def test_an_oversize_event_is_set_aside_and_the_stream_goes_on(world: World) -> None:
    async def oversize(life: Life) -> None:
        for size in (0, 0, 1_100_000, 0):
            life.offer("a", size=size)
        await life.settle()

    async def story(world: World) -> None:
        await world.live(oversize)
        await world.live(twenty)

    run_virtual(lambda: story(world))
    assert types(world).count(EventType.EVENT_QUARANTINED) == 1
    told = json.loads(next(e for e in world.store.events("gateway-north-1") if e.type == "EventQuarantined").data)
    assert (told["sequence"], told["reason"], told["deviceId"]) == (3, "too_large", "a")
    assert [json.loads(event.data)["sequence"] for event in world.store.events(STREAM)][:3] == [1, 2, 4]
    assert len(world.store.events(STREAM)) == 23


def test_an_event_the_server_calls_wrong_is_found_in_its_batch(world: World) -> None:
    async def refused(life: Life) -> None:
        for _ in range(10):
            life.offer("a")
        await life.settle()

    async def story(world: World) -> None:
        world.store.refuses = lambda event: b'"sequence": 7' in event.data
        await world.live(refused)

    run_virtual(lambda: story(world))
    assert [json.loads(event.data)["sequence"] for event in world.store.events(STREAM)] == [1, 2, 3, 4, 5, 6, 8, 9, 10]


def test_a_silent_stream_with_an_old_cursor_makes_nobody_scan_the_log(world: World) -> None:
    decoded: list[int] = []

    async def busy(life: Life) -> None:
        for _ in range(200):
            for _ in range(20):
                life.offer("b")
            await life.outbox.flush()
        await life.settle()

    async def again(life: Life) -> None:
        before = life.outbox._backlog.blocks_decoded
        life.offer("a")
        await life.settle()
        decoded.append(life.outbox._backlog.blocks_decoded - before)

    async def story(world: World) -> None:
        await world.live(twenty)
        await world.live(busy)
        await world.live(again)

    play(world, story)
    assert decoded[0] <= 2


def test_a_stream_whose_events_are_all_truncated_goes_on(world: World) -> None:
    async def story(world: World) -> None:
        history = [NewEvent(event_id=world.new_id(), type="T", data=b"{}", metadata=b"") for _ in range(10)]
        world.store.append_now(STREAM, history, -1)
        world.store.truncate(STREAM, 10)
        await world.live(twenty)
        world.store.truncate(STREAM, 30)
        await world.live(twenty)

    play(world, story)
    assert len(world.store.events(STREAM)) == 50


def test_refused_access_drops_nothing(world: World) -> None:
    async def refused(life: Life) -> None:
        life.world.store.access_refused = True
        for _ in range(20):
            life.offer("a")
        await life.settle(within_s=600)
        assert life.forwarder.status().state == "access_refused"
        life.world.store.access_refused = False
        await life.settle()

    async def story(world: World) -> None:
        await world.live(refused)

    play(world, story)
    assert len(world.store.events(STREAM)) == 20


def test_a_stream_that_was_parked_while_nothing_of_it_waited_takes_no_memory(world: World) -> None:
    async def parked(life: Life) -> None:
        await twenty(life)
        life.world.delete(STREAM)
        life.forwarder.doubt()
        await life.settle()
        assert list(life.forwarder.status().parked) == [STREAM]
        for _ in range(50):
            life.offer("a", size=1000)
            await life.outbox.flush()
        await life.settle()
        assert life.forwarder.status().queued_bytes == 0

    async def story(world: World) -> None:
        await world.live(parked)

    play(world, story)


def test_a_clone_that_shows_in_many_streams_at_once_is_said_once(world: World) -> None:
    async def cloned(life: Life) -> None:
        for device in "abcd":
            life.offer(device)
        await life.settle()
        for device in "abcd":
            metadata = {"run": str(life.world.new_id()), "position": 3}
            event = NewEvent(
                event_id=life.world.new_id(),
                type="SensorReadingReceived",
                data=b'{"gatewayId": "north-1"}',
                metadata=json.dumps(metadata).encode(),
            )
            life.world.store.append_now(f"sensorReadings-north-1.{device}", [event], 0)
        life.world.store.latency_s = lambda: 0.3
        for device in "abcd":
            life.offer(device)
        await life.settle(within_s=120)
        assert life.forwarder.status().state == "parked"

    async def story(world: World) -> None:
        await world.live(cloned)

    with capture_logs() as logs:
        run_virtual(lambda: story(world))
    assert [line["event"] for line in logs].count("forwarding_parked") == 1


def test_a_store_that_can_be_read_and_takes_nothing_is_tried_less_and_less_often_and_lost_once(world: World) -> None:
    async def taking_nothing(life: Life) -> None:
        await twenty(life)
        life.world.store.choose_fault = lambda _stream: Fault.UNAVAILABLE
        for device in "ab":
            life.offer(device)
        await asyncio.sleep(60)
        tries = sum(world.store.append_calls.values())
        await asyncio.sleep(3600)
        # Two streams, each half a minute.
        assert sum(world.store.append_calls.values()) - tries < 500
        assert life.forwarder.status().state == "unreachable"
        life.world.store.choose_fault = lambda _stream: None
        await life.settle(within_s=60)
        assert life.forwarder.status().state == "forwarding"

    with capture_logs() as logs:
        tell(world, taking_nothing)
    said = [line["event"] for line in logs if line["event"].startswith("event_store")]
    assert said == ["event_store_reached", "event_store_lost", "event_store_reached"]
