"""What the named cases of forwarding have in common."""

from collections.abc import Callable, Coroutine

from fakes.forwarding_check import violations
from fakes.forwarding_world import Life, World
from fakes.virtual_time import run_virtual

STREAM = "sensorReadings-north-1.a"


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
    return [event.type for event in world.store.events("gateway-north-1")]
