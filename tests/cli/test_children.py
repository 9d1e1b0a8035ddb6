import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.cli import children
from edge.cli.children import Child
from edge.domain.backoff import Backoff


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "RESTART", Backoff(first_s=0.01, longest_s=0.02))


@dataclass
class Ends:
    """Chance as a child asks for it: once each time that it has ended."""

    count: int = 0
    wanted: int = 1
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> float:
        self.count += 1
        if self.count >= self.wanted:
            self.reached.set()
        return 0.0


@pytest.mark.usefixtures("quick")
async def test_a_child_that_cannot_start_says_why_and_is_tried_again(tmp_path: Path) -> None:
    ends = Ends(wanted=2)
    arguments = ("simulate", str(tmp_path / "absent.toml"))
    child = Child(name="simulate", arguments=arguments, log_file=tmp_path / "log", chance=ends)
    task = asyncio.create_task(child.run())
    await asyncio.wait_for(ends.reached.wait(), 60)
    task.cancel()
    await asyncio.wait([task])
    assert child.failures == 2
    assert "ended with exit code 78" in child.trouble
    assert "absent.toml" in child.trouble
    assert "again in" in child.trouble


def test_the_wait_grows() -> None:
    waits = [children.RESTART.delay_s(failures, lambda: 0.0) for failures in range(1, 12)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] > 5


@dataclass(kw_only=True)
class WatchedChild(Child):
    """Tells the test each time that it was started."""

    started: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def _start(self) -> None:
        await super()._start()
        assert self.pid is not None
        self.started.put_nowait(self.pid)


@pytest.mark.usefixtures("quick")
async def test_a_child_that_was_killed_comes_back(tmp_path: Path) -> None:
    arguments = ("event-store", "--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "store"))
    child = WatchedChild(name="event-store", arguments=arguments, log_file=tmp_path / "log")
    task = asyncio.create_task(child.run())
    first = await asyncio.wait_for(child.started.get(), 60)
    os.kill(first, signal.SIGKILL)
    assert await asyncio.wait_for(child.started.get(), 60) != first
    assert child.restarts == 1
    assert "ended by SIGKILL" in child.trouble
    task.cancel()
    await asyncio.wait([task])
    assert child.pid is None


PARENT = """
import asyncio, sys
from pathlib import Path
from edge.cli.children import Child
async def main():
    child = Child(
        name="store",
        arguments=("event-store", "--listen", "127.0.0.1:0", "--state-dir", sys.argv[1]),
        log_file=Path(sys.argv[1]) / "log",
    )
    task = asyncio.create_task(child.run())
    while child.pid is None:
        await asyncio.sleep(0.01)
    print(child.pid, flush=True)
    await task
asyncio.run(main())
"""


async def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    await parent.communicate()
    await asyncio.wait_for(ended(pid), 30)


async def ended(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
