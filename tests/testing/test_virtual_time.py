"""Waiting takes no time on the loop that authors of drivers test with."""

import asyncio
import time

import pytest

from edge.domain.clock import ClockState
from edge.testing.virtual_time import START_UNIX_MS, NothingLeftToHappen, VirtualClock, run_virtual


def test_what_waits_is_woken_in_its_order_and_the_clock_has_moved() -> None:
    woken = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async def main() -> VirtualClock:
        clock = VirtualClock()
        async with asyncio.TaskGroup() as tasks:
            for seconds in (86_400.0, 1.0, 3600.0):
                tasks.create_task(sleeper(seconds))
        return clock

    began_s = time.monotonic()
    clock = run_virtual(main)
    assert time.monotonic() - began_s < 3600
    assert woken == [1.0, 3600.0, 86_400.0]
    assert (clock.monotonic_s(), clock.unix_ms()) == (86_400.0, START_UNIX_MS + 86_400_000)
    assert clock.state() is ClockState.SYNCHRONIZED


def test_a_time_out_comes_at_its_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 600


def test_a_program_that_nothing_will_ever_wake_is_told() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingLeftToHappen):
        run_virtual(main)
