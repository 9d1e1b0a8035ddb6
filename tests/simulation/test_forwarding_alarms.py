"""The alarms of forwarding over restarts: each is raised once, and cleared when what it says is over."""

import asyncio
import json
from collections.abc import Callable, Coroutine

from edge.domain.event import EventType, NewEvent
from fakes.forwarding_stage import STREAM, play, twenty
from fakes.forwarding_world import Life, World
from fakes.virtual_time import run_virtual

RAISED, CLEARED = EventType.ALARM_RAISED, EventType.ALARM_CLEARED


def told(world: World) -> list[tuple[str, str, str | None]]:
    """The alarms of the gateway's stream: type, alarm and stream."""
    return [
        (event.type, data["alarm"], data.get("stream"))
        for event in world.store.events("gateway-north-1")
        if event.type in {RAISED, CLEARED}
        for data in [json.loads(event.data)]
    ]


def busy(duration_s: float) -> Callable[[Life], Coroutine[None, None, None]]:
    """A sample a minute."""

    async def script(life: Life) -> None:
        for _ in range(round(duration_s / 60)):
            life.offer("a")
            await asyncio.sleep(60)
        await life.settle()

    return script


def test_foreign_events_are_told_once_over_restarts_and_cleared_after_a_quiet_hour(world: World) -> None:
    async def disturbed(life: Life) -> None:
        for _ in range(3):
            life.world.append_foreign(STREAM)
            await busy(1800)(life)

    async def story(world: World) -> None:
        await world.live(twenty)
        for _ in range(2):
            await world.live(disturbed)
            assert told(world) == [(RAISED, "foreign_event", STREAM)]
        await world.live(busy(3000))
        assert told(world) == [(RAISED, "foreign_event", STREAM)]
        await world.live(busy(4000))
        assert told(world) == [(RAISED, "foreign_event", STREAM), (CLEARED, "foreign_event", STREAM)]
        await world.live(disturbed)
        assert told(world)[2:] == [(RAISED, "foreign_event", STREAM)]

    play(world, story)


def test_a_stream_that_is_parked_no_more_has_its_alarm_cleared_at_the_next_start(world: World) -> None:
    async def parked(life: Life) -> None:
        await twenty(life)
        life.world.delete(STREAM)
        await twenty(life)

    async def unparked(life: Life) -> None:
        await twenty(life)
        await life.outbox.unpark(life.outbox.streams.number(STREAM))

    async def story(world: World) -> None:
        snapshot = world.store.snapshot()
        await world.live(parked)
        await world.live(unparked)
        assert told(world) == [(RAISED, "stream_parked", STREAM)]
        world.restore_store(snapshot)
        await world.live(twenty)
        assert told(world) == [(RAISED, "stream_parked", STREAM), (CLEARED, "stream_parked", STREAM)]

    play(world, story)


def append_as_clone(world: World) -> None:
    """Another daemon with a copy of the database writes into our stream."""
    event = NewEvent(
        event_id=world.new_id(),
        type="SensorReadingReceived",
        data=b'{"gatewayId": "north-1"}',
        metadata=json.dumps({"run": str(world.new_id()), "position": 3}).encode(),
    )
    world.store.append_now(STREAM, [event], len(world.store.events(STREAM)) - 1)


def test_a_clone_is_told_again_only_if_it_still_writes_after_a_restart(world: World) -> None:
    async def cloned(life: Life) -> None:
        await twenty(life)
        append_as_clone(life.world)
        life.offer("a")
        await life.settle(within_s=120)
        assert life.forwarder.status().state == "parked"

    async def story(world: World) -> None:
        await world.live(cloned)
        assert told(world) == []
        await world.live(cloned)
        assert told(world) == [(RAISED, "outbox_cloned", None), (CLEARED, "outbox_cloned", None)]
        await world.live(twenty)
        assert told(world) == [(RAISED, "outbox_cloned", None), (CLEARED, "outbox_cloned", None)] * 2

    # What the clone wrote claims to be ours, and was never accepted: only the alarms are looked at here.
    run_virtual(lambda: story(world))
