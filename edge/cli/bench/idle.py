"""What the daemon costs where next to nothing happens."""

import asyncio
import time

from edge.cli.bench.control import until
from edge.cli.bench.processes import cpu_s, daemon, store
from edge.cli.bench.run import Measured, Run
from edge.cli.bench.site import BenchSite
from edge.cli.bench.spread import spread_of

DEVICES = 10
POLL_INTERVAL_S = 10
# One round of polls is in each window.
WINDOWS = 3
WINDOW_S = 10.0
SETTLING_S = 3.0


async def measure(run: Run) -> Measured:
    """Measure idle_cpu_percent."""
    state = run.directory / "state"
    percents = []
    async with store(run.directory / "store") as uri:
        site = BenchSite(devices=DEVICES, poll_interval_s=POLL_INTERVAL_S, uri=uri)
        async with daemon(site.write(run.directory), state) as process:
            await until(state, process, lambda now: now.forwarded > 0)
            await asyncio.sleep(SETTLING_S)
            for _ in range(WINDOWS):
                used_s, started_s = cpu_s(process.pid), time.monotonic()
                await asyncio.sleep(WINDOW_S)
                percents.append(100 * (cpu_s(process.pid) - used_s) / (time.monotonic() - started_s))
                run.say(f"{percents[-1]:.2f} % of one core")
    return {"idle_cpu_percent": spread_of(percents)}
