"""What a sample costs the disk: bytes written and bytes kept, on a virtual clock."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.simulated.driver import SimulatedDriver
from edge.cli.bench.run import Measured, Run, Spread, spread_of
from edge.cli.bench.site import BenchSite
from edge.collect.device import make_ready
from edge.collect.sample_event import SampleTemplate
from edge.domain.clock import ClockState
from edge.domain.configuration import site_file_configuration
from edge.domain.event_store import NO_STREAM
from edge.domain.reading import Origin
from edge.domain.settings import OutboxSettings
from edge.gateway.author import make_author
from edge.settings.site import load_settings
from edge.storage.database import open_database
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox, open_outbox

# Samples per second, one of each device a second: so many devices, streams and cursors.
RATES = (10, 100, 1000)
# Retention deletes a hundred blocks at a time: each window has two such deletes and ten writes of the cursors in it.
WINDOW_COMMITS = 200
WINDOWS = 3
# Kept for 90 s instead of a day, so that deleting has begun well before measuring does: what is deleted per new block
# is the same.
SETTLING_COMMITS = 400
KEEP_COMMITS = 180
# Before the first delete: how the file grows.
GROWTH_COMMITS = 50
GROWTH_WINDOWS = 3
BEGUN_MS = 1_790_000_000_000


class SteppedClock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self._passed_ms = 0

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self._passed_ms += milliseconds

    def unix_ms(self) -> int:
        """Wall time."""
        return BEGUN_MS + self._passed_ms

    def uptime_ms(self) -> int:
        """Time since boot."""
        return self._passed_ms

    def monotonic_s(self) -> float:
        """Time for schedules."""
        return self._passed_ms / 1000

    def state(self) -> ClockState:
        """As on a box that reaches a time server."""
        return ClockState.SYNCHRONIZED


async def measure(run: Run) -> Measured:
    """Measure written_bytes_per_sample and stored_bytes_per_sample."""
    written: dict[str, Spread] = {}
    stored: dict[str, Spread] = {}
    for rate in RATES:
        directory = run.directory / str(rate)
        directory.mkdir()
        async with open_worn(directory, rate) as outbox:
            stored[str(rate)] = spread_of(await outbox.growth())
            written[str(rate)] = spread_of(await outbox.writing())
        run.say(f"at {rate} samples/s: {written[str(rate)]} bytes written, {stored[str(rate)]} bytes stored")
    return {"written_bytes_per_sample": written, "stored_bytes_per_sample": stored}


class WornOutbox:
    """An outbox that gets so many samples a second, and whose forwarder is always up to date."""

    def __init__(
        self,
        outbox: Outbox,
        driver: SimulatedDriver,
        templates: Mapping[str, SampleTemplate],
        clock: SteppedClock,
        *,
        interval_ms: int,
    ) -> None:
        self._outbox = outbox
        self._driver = driver
        self._templates = templates
        self._clock = clock
        self._interval_ms = interval_ms
        self._turns = itertools.cycle(templates)
        self._samples_per_commit = len(templates) * interval_ms // 1000
        self._revisions: dict[int, int] = {}
        outbox.attach(self._forward)

    async def growth(self) -> list[float]:
        """Return the bytes by which the file grows per sample, while nothing is deleted yet."""
        # Once round: streams and devices have their rows.
        await self._commit(GROWTH_COMMITS)
        grown = []
        for _ in range(GROWTH_WINDOWS):
            before = await self._outbox.database.size_bytes()
            samples = await self._commit(GROWTH_COMMITS)
            grown.append((await self._outbox.database.size_bytes() - before) / samples)
        return grown

    async def writing(self) -> list[float]:
        """Return the bytes handed to the disk per sample, from one checkpoint of the write-ahead log to another."""
        await self._commit(SETTLING_COMMITS)
        await self._outbox.database.checkpoint()
        figures = []
        for _ in range(WINDOWS):
            before = bytes_written()
            samples = await self._commit(WINDOW_COMMITS)
            # Else the contents of the log would be written to the file in the next window.
            await self._outbox.database.checkpoint()
            figures.append((bytes_written() - before) / samples)
        return figures

    async def _commit(self, commits: int) -> int:
        """Let as much time pass as takes so many commits; return how many samples there were."""
        for _ in range(commits):
            for device_id in itertools.islice(self._turns, self._samples_per_commit):
                self._clock.advance(self._interval_ms // self._samples_per_commit)
                sample = await self._driver.poll(device_id)
                draft = self._templates[device_id].draft(
                    sample.readings, measured_at_ms=self._clock.unix_ms(), origin=Origin.LIVE
                )
                assert draft is not None, "both points are published"
                taken = self._outbox.offer(draft)
                assert taken, "one commit's samples have room"
            await self._outbox.flush()
        return commits * self._samples_per_commit

    def _forward(self, entries: Sequence[Entry]) -> None:
        newest = {entry.stream: entry for entry in entries}
        for stream, entry in newest.items():
            count = sum(other.stream == stream for other in entries) if len(newest) < len(entries) else 1
            self._revisions[stream] = self._revisions.get(stream, NO_STREAM) + count
            self._outbox.cursors.acknowledge(
                stream, revision=self._revisions[stream], event_id=entry.event_id, position=entry.position, count=count
            )


@asynccontextmanager
async def open_worn(directory: Path, rate: int) -> AsyncIterator[WornOutbox]:
    """Open an outbox with one device for each sample of a second, at the default commit interval."""
    settings = load_settings(BenchSite(devices=rate).write(directory))
    interval_ms = settings.outbox.commit_interval_ms
    outbox_settings = OutboxSettings(keep_forwarded_h=KEEP_COMMITS * interval_ms / 3_600_000)
    clock = SteppedClock()
    author = make_author(settings, clock)
    templates = {
        device.id: make_ready(author, device, site_file_configuration(device)).template for device in settings.devices()
    }
    driver = SimulatedDriver(settings.connections[0])
    async with (
        open_database(directory / "state", settings=outbox_settings) as database,
        open_outbox(database, run=author.run, clock=clock, settings=outbox_settings) as outbox,
        driver.open(),
    ):
        # The same bytes are written (compared with FULL), only without a wait for the disk: 3600 commits take seconds.
        await database.fetch_all("PRAGMA synchronous = OFF")
        yield WornOutbox(outbox, driver, templates, clock, interval_ms=interval_ms)


def bytes_written() -> int:
    """Return what this process handed to write() so far; meanwhile it does nothing but write the outbox.

    Not `write_bytes`, which some file systems do not count. What the file system adds of its own is not in it.
    """
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    raise OSError("this kernel does not count what a process writes (CONFIG_TASK_XACCT)")
