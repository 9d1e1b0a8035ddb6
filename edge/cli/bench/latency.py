"""How long an event takes from measuring to a follower of the event store."""

import json
import time
from collections.abc import AsyncIterator

from edge.cli.bench.control import until
from edge.cli.bench.processes import daemon, store
from edge.cli.bench.run import Measured, Run, quantile, spread_of
from edge.cli.bench.site import BenchSite
from edge.domain.clock import unix_ms_of
from edge.domain.event import EventType
from edge.domain.event_store import CaughtUp
from edge.domain.settings import EventStoreSettings
from edge.event_store.client import PositionedEvent, open_event_store

DEVICES = 50
RATE_PER_S = 500
# One after the other, each with its own quantiles.
WINDOWS = 4
WINDOW_S = 6.0
WARM_UP_S = 4.0


async def measure(run: Run) -> Measured:
    """Measure latency_p50_s and latency_p99_s."""
    async with store(run.directory / "store") as uri:
        site = BenchSite(devices=DEVICES, poll_interval_s=DEVICES / RATE_PER_S, uri=uri)
        state = run.directory / "state"
        async with daemon(site.write(run.directory), state) as process:
            await until(state, process, lambda now: now.forwarded > 0)
            windows = await _latencies(uri, run)
    halves, most = zip(*((quantile(window, 0.5), quantile(window, 0.99)) for window in windows), strict=True)
    return {"latency_p50_s": spread_of(halves), "latency_p99_s": spread_of(most)}


async def _latencies(uri: str, run: Run) -> list[list[float]]:
    windows: list[list[float]] = []
    async with (
        open_event_store(EventStoreSettings(uri=uri)) as event_store,
        event_store.subscribe_all(after_position=None) as items,
    ):
        await _for_seconds(items, WARM_UP_S)
        for _ in range(WINDOWS):
            window = await _for_seconds(items, WINDOW_S)
            run.say(
                f"{len(window) / WINDOW_S:.0f} events/s, half of them within {quantile(window, 0.5):.3f} s,"
                f" 99 of 100 within {quantile(window, 0.99):.3f} s"
            )
            windows.append(window)
    return windows


async def _for_seconds(items: AsyncIterator[PositionedEvent | CaughtUp], seconds: float) -> list[float]:
    """Follow for a while; return how old each sample was when it came."""
    until_s = time.monotonic() + seconds
    ages: list[float] = []
    async for item in items:
        if isinstance(item, PositionedEvent) and item.event.type == EventType.SENSOR_READING_RECEIVED:
            # The daemon runs on this machine, by the same clock.
            ages.append(time.time() - unix_ms_of(json.loads(item.event.data)["measuredAt"]) / 1000)
        if time.monotonic() >= until_s:
            break
    return ages
