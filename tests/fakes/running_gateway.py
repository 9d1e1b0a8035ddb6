"""The whole gateway in this process, on real time and real ports; its event store is away."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from edge.collect.status import Condition
from edge.domain.settings import Settings
from edge.gateway.components import Gateway
from edge.gateway.compose import open_gateway

# Generous: two cores that others use, too.
WAIT_S = 30.0


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of the context; its state is in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="ge-") as state:
        async with open_gateway(settings, state_directory=Path(state)) as gateway:
            stop = asyncio.Event()
            task = asyncio.create_task(gateway.run(stop))
            try:
                yield gateway
            finally:
                stop.set()
                await task


async def until(reached: Callable[[], bool], what: str) -> None:
    """Look again and again until something is so."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not reached():  # noqa: ASYNC110 - other processes set no event of ours
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {WAIT_S:g} s for {what}") from None


def samples(gateway: Gateway, device_id: str) -> int:
    """How many samples of a device were accepted."""
    return next(each.samples_accepted for each in gateway.fleet.status().devices if each.device_id == device_id)


def is_lost(gateway: Gateway, device_id: str) -> bool:
    """Whether a device is called lost."""
    return any(
        each.device_id == device_id and each.condition is Condition.LOST for each in gateway.fleet.status().devices
    )


def is_open(gateway: Gateway) -> bool:
    """Whether the first connection is open."""
    return gateway.fleet.status().connections[0].is_open


def last_error(gateway: Gateway) -> str:
    """What was wrong with the first connection."""
    return gateway.fleet.status().connections[0].last_error or ""
