"""How fast a backlog goes to the event store when the link is back."""

import asyncio
import shutil
import time
from pathlib import Path

from edge.cli.bench.accepted import DEVICES, FloodDriver, collected, samples_of
from edge.cli.bench.processes import ChildFailed, store
from edge.cli.bench.run import Measured, Run, spread_of
from edge.cli.bench.site import BenchSite
from edge.domain.settings import EventStoreSettings, Settings
from edge.event_store.client import open_event_store
from edge.forward.forwarder import Forwarder
from edge.gateway.author import make_author
from edge.operate.clock import SystemClock
from edge.settings.site import load_settings
from edge.storage.database import open_database
from edge.storage.outbox import Outbox, open_outbox

EVENTS = 100_000
REPEATS = 3
# At a tenth of what is promised it would still come to an end.
TIMEOUT_S = 70.0
LOOK_INTERVAL_S = 0.01


async def measure(run: Run) -> Measured:
    """Measure drain_per_s: the same backlog each time, into an empty store."""
    settings = load_settings(BenchSite(devices=DEVICES).write(run.directory))
    run.say(f"filling an outbox with {EVENTS} events over {DEVICES} streams")
    backlog = run.directory / "backlog"
    await fill(settings, backlog, EVENTS)
    rates = []
    for repeat in range(REPEATS):
        state = run.directory / f"state-{repeat}"
        shutil.copytree(backlog, state)
        async with store(run.directory / f"store-{repeat}") as uri:
            rates.append(await drain(settings, state, uri))
        run.say(f"drained {rates[-1]:.0f} events/s")
        shutil.rmtree(state)
    return {"drain_per_s": spread_of(rates)}


async def fill(settings: Settings, state_directory: Path, count: int) -> None:
    """Make an outbox that holds at least so many events, none of them forwarded."""
    driver = FloodDriver(await samples_of(settings.connections[0]))
    async with collected(settings, driver, state_directory):
        while driver.acknowledged < count:  # noqa: ASYNC110 - the driver belongs to the collector
            await asyncio.sleep(LOOK_INTERVAL_S)


async def drain(settings: Settings, state_directory: Path, uri: str) -> float:
    """Forward everything; return events per second, the first connection and reading the streams included."""
    clock = SystemClock()
    author = make_author(settings, clock)
    async with (
        open_database(state_directory, settings=settings.outbox) as database,
        open_outbox(database, run=author.run, clock=clock, settings=settings.outbox) as outbox,
        open_event_store(EventStoreSettings(uri=uri)) as event_store,
    ):
        forwarder = Forwarder(event_store=event_store, outbox=outbox, author=author, clock=clock, chance=lambda: 0.5)
        pending = outbox.statistics().pending
        writer = asyncio.create_task(outbox.run(), name="writer")
        started_s = time.monotonic()
        forwarding = asyncio.create_task(forwarder.run(), name="forwarder")
        try:
            await _until_drained(outbox, forwarding)
            return pending / (time.monotonic() - started_s)
        finally:
            writer.cancel()
            forwarding.cancel()
            await asyncio.wait([writer, forwarding])


async def _until_drained(outbox: Outbox, forwarding: asyncio.Task[None]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while outbox.statistics().pending:
        if forwarding.done():
            forwarding.result()
        if time.monotonic() > deadline_s:
            raise ChildFailed(f"{outbox.statistics().pending} events are still pending after {TIMEOUT_S:g} s")
        await asyncio.sleep(LOOK_INTERVAL_S)
