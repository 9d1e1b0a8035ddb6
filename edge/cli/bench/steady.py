"""The daemon at a hundred samples a second: its memory, and what it sends over the link."""

import asyncio

from edge.cli.bench.control import Progress, until
from edge.cli.bench.processes import daemon, resident_bytes, store
from edge.cli.bench.relay import relay_to
from edge.cli.bench.run import Measured, Run
from edge.cli.bench.site import BenchSite
from edge.cli.bench.spread import spread_of

# A hundred sensors, each asked once a second.
DEVICES = 100
SHORT_S = 90.0
LONG_S = 600.0
# Long enough for ten of everything that happens every few seconds.
LINK_ONLY_S = 30.0
# The first appends read their streams back; that is not the steady state.
SETTLING_S = 10.0
WINDOWS = 4


async def measure(run: Run) -> Measured:
    """Measure rss_mb and link_bytes_per_sample, on the same daemon."""
    length_s = LINK_ONLY_S if run.wanted == "link_bytes_per_sample" else LONG_S if run.is_long else SHORT_S
    run.say(f"the daemon runs for {length_s:.0f} s")
    state = run.directory / "state"
    async with (
        store(run.directory / "store") as uri,
        relay_to(uri) as relay,
        daemon(BenchSite(devices=DEVICES, uri=relay.uri).write(run.directory), state) as process,
    ):
        await asyncio.sleep(SETTLING_S)
        link, memory = [], []
        before, bytes_before = await until(state, process, _forwards), relay.passed
        for _ in range(WINDOWS):
            await asyncio.sleep((length_s - SETTLING_S) / WINDOWS)
            now, bytes_now = await until(state, process, _forwards), relay.passed
            link.append((bytes_now - bytes_before) / max(1, now.forwarded - before.forwarded))
            memory.append(resident_bytes(process.pid) / 1e6)
            run.say(f"{memory[-1]:.1f} MB, {link[-1]:.0f} bytes over the link per sample")
            before, bytes_before = now, bytes_now
    # Memory is what it is at the end.
    return {"rss_mb": spread_of(memory[-1:]), "link_bytes_per_sample": spread_of(link)}


def _forwards(now: Progress) -> bool:
    return now.forwarded > 0
