"""The daemon in a process of its own: the time of its start, its cost when idle, and at a hundred samples a second."""

import asyncio
import time
from pathlib import Path

from edge.cli.bench.control import Progress, until
from edge.cli.bench.processes import cpu_s, daemon, resident_bytes, store
from edge.cli.bench.relay import relay_to
from edge.cli.bench.run import Measured, Run, spread_of
from edge.cli.bench.site import BenchSite

# A hundred sensors, each asked once a second.
DEVICES = 100

STARTS = 5
KILLS = 3
# So much is behind it when it is killed: some twenty commits, and cursors that are some seconds old.
BEFORE_KILL_S = 6.0

IDLE_DEVICES = 10
IDLE_POLL_INTERVAL_S = 10
# One round of polls is in each window.
IDLE_WINDOWS = 3
IDLE_WINDOW_S = 10.0
IDLE_SETTLING_S = 3.0

SHORT_S = 90.0
LONG_S = 600.0
# Long enough for ten of everything that happens every few seconds.
LINK_ONLY_S = 30.0
# The first appends read their streams back; that is not the steady state.
STEADY_SETTLING_S = 10.0
STEADY_WINDOWS = 4


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
            # This one is stopped, and so removes the note that the killed one left.
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


async def measure_idle(run: Run) -> Measured:
    """Measure idle_cpu_percent."""
    state = run.directory / "state"
    percents = []
    async with store(run.directory / "store") as uri:
        site = BenchSite(devices=IDLE_DEVICES, poll_interval_s=IDLE_POLL_INTERVAL_S, uri=uri)
        async with daemon(site.write(run.directory), state) as process:
            await until(state, process, lambda now: now.forwarded > 0)
            await asyncio.sleep(IDLE_SETTLING_S)
            for _ in range(IDLE_WINDOWS):
                used_s, started_s = cpu_s(process.pid), time.monotonic()
                await asyncio.sleep(IDLE_WINDOW_S)
                percents.append(100 * (cpu_s(process.pid) - used_s) / (time.monotonic() - started_s))
                run.say(f"{percents[-1]:.2f} % of one core")
    return {"idle_cpu_percent": spread_of(percents)}


async def measure_steady(run: Run) -> Measured:
    """Measure rss_mb and link_bytes_per_sample, on the same daemon."""
    length_s = LINK_ONLY_S if run.wanted == "link_bytes_per_sample" else LONG_S if run.is_long else SHORT_S
    run.say(f"the daemon runs for {length_s:.0f} s")
    state = run.directory / "state"
    async with (
        store(run.directory / "store") as uri,
        relay_to(uri) as relay,
        daemon(BenchSite(devices=DEVICES, uri=relay.uri).write(run.directory), state) as process,
    ):
        await asyncio.sleep(STEADY_SETTLING_S)
        link, memory = [], []
        before, bytes_before = await until(state, process, _forwards), relay.passed
        for _ in range(STEADY_WINDOWS):
            await asyncio.sleep((length_s - STEADY_SETTLING_S) / STEADY_WINDOWS)
            now, bytes_now = await until(state, process, _forwards), relay.passed
            link.append((bytes_now - bytes_before) / max(1, now.forwarded - before.forwarded))
            memory.append(resident_bytes(process.pid) / 1e6)
            run.say(f"{memory[-1]:.1f} MB, {link[-1]:.0f} bytes over the link per sample")
            before, bytes_before = now, bytes_now
    # Memory is what it is at the end.
    return {"rss_mb": spread_of(memory[-1:]), "link_bytes_per_sample": spread_of(link)}


def _forwards(now: Progress) -> bool:
    return now.forwarded > 0
