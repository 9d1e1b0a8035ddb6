"""How soon the daemon is there: after a start, and after a power cut's like."""

import asyncio
import time
from pathlib import Path

from edge.cli.bench.control import Progress, until
from edge.cli.bench.processes import daemon, store
from edge.cli.bench.run import Measured, Run
from edge.cli.bench.site import BenchSite
from edge.cli.bench.spread import spread_of

STARTS = 5
KILLS = 3
DEVICES = 100
# So much is behind it when it is killed: some twenty commits, and cursors that are some seconds old.
BEFORE_KILL_S = 6.0


async def measure_start(run: Run) -> Measured:
    """Measure start_to_ready_s: an empty state directory, an event store that answers."""
    times = []
    async with store(run.directory / "store") as uri:
        site_file = BenchSite(devices=DEVICES, uri=uri).write(run.directory)
        for number in range(STARTS):
            state = run.directory / f"state-{number}"
            started_s = time.monotonic()
            async with daemon(site_file, state) as process:
                await until(state, process, lambda now: now.committed > 0)
                times.append(time.monotonic() - started_s)
                run.say(f"ready after {times[-1]:.2f} s")
    return {"start_to_ready_s": spread_of(times)}


async def measure_recovery(run: Run) -> Measured:
    """Measure recovery_s: the same state directory, killed again and again."""
    state = run.directory / "state"
    times = []
    async with store(run.directory / "store") as uri:
        site_file = BenchSite(devices=DEVICES, uri=uri).write(run.directory)
        for _ in range(KILLS):
            killed_s = await _killed(site_file, state)
            # Ends in peace, and takes the note of the killed one away with its own.
            async with daemon(site_file, state) as process:
                await until(state, process, _accepts)
                times.append(time.monotonic() - killed_s)
                run.say(f"accepting again after {times[-1]:.2f} s")
    return {"recovery_s": spread_of(times)}


async def _killed(site_file: Path, state: Path) -> float:
    """Run a daemon for some seconds, kill it, and return when that was."""
    async with daemon(site_file, state) as process:
        await until(state, process, _accepts)
        await asyncio.sleep(BEFORE_KILL_S)
        killed_s = time.monotonic()
        process.kill()
        await process.wait()
        return killed_s


def _accepts(now: Progress) -> bool:
    return now.accepted > 0
