"""A child process is ended, whatever it does and whatever happens to us meanwhile."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from drivers.simulation.child_process import stop

DEAF = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
Start = Callable[[str], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a Python program; returns when it has run so far that it reads its input."""
    started = []

    async def run(code: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", f"{code}\nprint(flush=True)\ninput()"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        await process.stdout.readline()
        return process

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_child_that_hears_is_asked(start: Start) -> None:
    process = await start("")
    await stop(process, timeout_s=60)
    assert process.returncode == -signal.SIGTERM


async def test_a_suspended_child_is_woken_to_hear(start: Start) -> None:
    process = await start("import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))")
    process.send_signal(signal.SIGSTOP)
    await stop(process, timeout_s=60)
    assert process.returncode == 5


async def test_a_deaf_child_is_killed(start: Start) -> None:
    process = await start(DEAF)
    await stop(process, timeout_s=0)
    assert process.returncode == -signal.SIGKILL


async def test_a_child_is_killed_when_its_end_is_no_longer_waited_for(start: Start) -> None:
    process = await start(DEAF)
    stopping = asyncio.ensure_future(stop(process, timeout_s=60))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert await process.wait() == -signal.SIGKILL


async def test_a_child_that_has_ended_is_left_alone(start: Start) -> None:
    process = await start("sys = __import__('sys'); print(flush=True); sys.exit(3)")
    await process.wait()
    await stop(process, timeout_s=0)
    assert process.returncode == 3
