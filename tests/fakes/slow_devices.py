"""A configuration loop that runs while the test goes on, with devices that take long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge.storage.configurations import load_pending
from edge.storage.remembered import load_checkpoints
from fakes.configure_world import STREAM, Gateway

# No daemon runs that long.
FOR_EVER_S = 1e9


@asynccontextmanager
async def following(gateway: Gateway) -> AsyncIterator[None]:
    """Run the loop; it is read to its end when the body begins, and stops at once after it."""
    task = asyncio.create_task(gateway.configurator.run())
    await asyncio.sleep(5)
    try:
        yield
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=0.1)
        assert done, "a stop waits for no device"


def slow(gateway: Gateway, delay_s: float, device_id: str = "bench") -> None:
    gateway.fleet.delay_s = lambda asked: delay_s if asked == device_id else 0.0


async def pending(gateway: Gateway) -> list[int]:
    return [item.revision for item in await load_pending(gateway.outbox.database)]


async def newest(gateway: Gateway) -> int:
    [checkpoint, *_] = await load_checkpoints(gateway.outbox.database, STREAM)
    return checkpoint.revision
