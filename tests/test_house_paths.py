"""How many files one sample passes through on its way into the event store, and one update on its way into force."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from drivers import driver_kind
from edge.collect.collector import Collector
from edge.collect.fleet import Fleet
from edge.domain.configuration import site_file_configuration
from edge.domain.driver import DriverContext
from edge.forward.forwarder import Forwarder
from edge.settings.site import load_settings
from edge.storage.database import open_database
from edge.storage.outbox import open_outbox
from fakes.collect_site import author
from fakes.configure_world import World
from fakes.event_store import FakeEventStore
from fakes.inline_sqlite import connect_inline
from fakes.virtual_time import VirtualClock, run_virtual

ROOT = Path(__file__).parent.parent
OURS = tuple(f"{ROOT / folder}/" for folder in ("edge", "drivers"))
# Here is the virtual clock, which a gateway does not have.
FOR_TESTS = f"{ROOT / 'edge/testing'}/"

# Who reads the path of a sample opens so many files. The bound falls with each file that is merged, and never rises.
FILES_MAX = 34
# A file belongs to the path if a function in it is called for every second sample at least. What is done now and then
# (cursors, retention, a look for stalled calls) is another story.
CALLS_A_SAMPLE_MIN = 0.5

POLLS = 30
POLL_INTERVAL_S = 10
STREAM = "sensorReadings-north-1.roof"
SITE = f"""
[site]
id = "north-1"
[event_store]
uri = "esdb://127.0.0.1:1?tls=false"
[[connection]]
id = "line"
driver = "simulated"
poll_interval_s = {POLL_INTERVAL_S}
[[connection.device]]
id = "roof"
[connection.device.point.air_temperature]
[connection.device.point.relative_humidity]
"""


@contextmanager
def counting_calls() -> Iterator[Counter[tuple[str, str]]]:
    """Count the calls of our functions, by file and name."""
    calls: Counter[tuple[str, str]] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(OURS) and not file.startswith(FOR_TESTS):
            calls[file, frame.f_code.co_qualname] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


async def calls_a_sample(folder: Path) -> Mapping[tuple[str, str], float]:
    """Measure and forward for a while with one device that is polled, on real SQLite; the calls per sample."""
    file = folder / "site.toml"
    file.write_text(SITE)
    settings, clock, store = load_settings(file), VirtualClock(), FakeEventStore()
    (line,) = settings.connections
    writer = author(clock)
    async with (
        open_database(folder / "state", settings=settings.outbox, connect=connect_inline) as database,
        open_outbox(database, run=writer.run, clock=clock, settings=settings.outbox) as outbox,
    ):
        collector = Collector(
            connection=line,
            driver=driver_kind(line.driver).create(line, DriverContext()),
            fleet=Fleet(
                [line], {"roof": site_file_configuration(line.devices[0])}, author=writer, alarms=outbox.alarms
            ),
            outbox=outbox,
            author=writer,
            clock=clock,
            chance=lambda: 0.5,
        )
        forwarder = Forwarder(event_store=store, outbox=outbox, author=writer, clock=clock, chance=lambda: 0.5)
        tasks = [asyncio.create_task(run()) for run in (outbox.run, collector.run, forwarder.run)]
        await asyncio.sleep(3.5 * POLL_INTERVAL_S)
        before = len(store.events(STREAM))
        with counting_calls() as calls:
            await asyncio.sleep(POLLS * POLL_INTERVAL_S)
        forwarded = len(store.events(STREAM)) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert forwarded == POLLS
    return {function: count / forwarded for function, count in calls.items()}


def test_a_sample_passes_through_few_files(tmp_path: Path) -> None:
    calls = run_virtual(lambda: calls_a_sample(tmp_path))
    entered = {file for (file, _), count in calls.items() if count >= CALLS_A_SAMPLE_MIN}
    # The test's SQLite works without the thread, and so without this file.
    files = sorted(str(Path(file).relative_to(ROOT)) for file in {*entered, str(ROOT / "edge/storage/connection.py")})
    told = f"{len(files)} files: {' '.join(files)}"
    assert {"drivers/simulated/driver.py", "edge/collect/polling.py", "edge/forward/forwarder.py"} <= set(files), told
    assert len(files) <= FILES_MAX, told


# The answer's commit alone is twelve files of storage. The bound falls with each file that is merged, and never rises.
UPDATE_FILES_MAX = 27


async def files_of_an_update(folder: Path) -> set[str]:
    """Follow the configuration stream, and take in one update that comes alone and is applied; the files entered."""
    world = World(folder)
    async with world.started() as gateway:
        following = asyncio.create_task(gateway.configurator.run())
        await asyncio.sleep(5)
        with counting_calls() as calls:
            world.ask(1, {"pollIntervalS": 30})
            await asyncio.sleep(5)
        following.cancel()
        assert await gateway.answers() == [("bench", 1, "applied")]
    # The virtual clock is the test's.
    return {str(Path(file).relative_to(ROOT)) for file, _ in calls if "/edge/testing/" not in file}


def test_an_update_passes_through_few_files(tmp_path: Path) -> None:
    files = run_virtual(lambda: files_of_an_update(tmp_path))
    told = f"{len(files)} files: {' '.join(sorted(files))}"
    assert {"edge/configure/inbox.py", "edge/configure/case.py", "edge/storage/writer.py"} <= files, told
    assert len(files) <= UPDATE_FILES_MAX, told
