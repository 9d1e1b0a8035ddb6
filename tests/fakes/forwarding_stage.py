"""What the named cases of forwarding have in common."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from edge.domain.event import EventType
from fakes.forwarding_check import violations
from fakes.forwarding_world import Life, Script, World
from fakes.virtual_time import run_virtual

STREAM = "sensorReadings-north-1.a"
OTHER = "sensorReadings-north-1.b"
GATEWAY_STREAM = "gateway-north-1"


def play(world: World, story: Callable[[World], Coroutine[None, None, None]]) -> None:
    """Play a story to its end, then hold the world against the promise."""
    run_virtual(lambda: story(world))
    assert violations(world) == []


async def twenty(life: Life) -> None:
    """The script of an ordinary life: twenty samples of one device, all forwarded."""
    for _ in range(20):
        life.offer("a")
    await life.settle()


def types(world: World) -> list[str]:
    """The types of the gateway's own stream, in order."""
    return [event.type for event in world.store.events(GATEWAY_STREAM)]


def told(world: World, event_type: EventType) -> list[dict[str, Any]]:
    """The bodies of the gateway's own events of one type."""
    return [json.loads(event.data) for event in world.store.events(GATEWAY_STREAM) if event.type == event_type]


def alarms(world: World, event_type: EventType) -> list[tuple[str, str | None, str | None]]:
    """Name, stream and device of each alarm that was raised, or cleared."""
    return [(body["alarm"], body.get("stream"), body.get("deviceId")) for body in told(world, event_type)]


def sequences(world: World, stream: str = STREAM) -> list[int]:
    """The numbers of a device's samples as its stream has them."""
    return [json.loads(event.data)["sequence"] for event in world.store.events(stream)]


def tell(world: World, *scripts: Script) -> None:
    """Play lives one after the other, then hold the world against the promise."""

    async def story(world: World) -> None:
        for script in scripts:
            await world.live(script)

    play(world, story)
