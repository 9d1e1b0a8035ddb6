"""What an update costs, counted in operations: the same at a site of ten devices and at one of a thousand."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.configure import inbox
from edge.configure.reading import Unreadable, Update, read_update
from edge.domain.event import RecordedEvent
from edge.storage.connection import Connection
from fakes.configure_world import World, make_device, make_settings, update, update_event
from fakes.inline_sqlite import InlineConnect, InlineConnection
from fakes.virtual_time import run_virtual

UPDATES_PER_DEVICE = 4
# SQLite tells of every so many steps of its machine.
STEPS = 100


@dataclass
class Count:
    updates: int = 0
    parsed: int = 0
    # Hundreds of steps of SQLite's machine: a scan of a table shows here, however few rows it returns.
    steps: int = 0

    def per_update(self) -> tuple[float, float]:
        return self.parsed / self.updates, self.steps / self.updates


@dataclass
class CountingConnect(InlineConnect):
    count: Count | None = None

    async def __call__(self, file: Path) -> Connection:
        connection = sqlite3.connect(file, isolation_level=None, timeout=0)
        connection.set_progress_handler(self._step, STEPS)
        return InlineConnection(connection, self)

    def _step(self) -> int:
        assert self.count is not None
        self.count.steps += 1
        return 0


def publish(world: World, devices: int) -> None:
    for version in range(1, UPDATES_PER_DEVICE + 1):
        data = [update(version, {"pollIntervalS": 10 + version}, device_id=f"d{i}") for i in range(devices)]
        world.publish(*[update_event(item) for item in data])


async def cost(directory: Path, devices: int, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool) -> Count:
    """Count what a start takes that finds updates: all new, or answered in an earlier life of a lost database."""
    count = Count(updates=devices * UPDATES_PER_DEVICE)

    def counted(event: RecordedEvent) -> Update | Unreadable:
        count.parsed += 1
        return read_update(event)

    settings = make_settings(*[make_device(f"d{i}") for i in range(devices)])
    world = World(directory / f"first-{devices}", settings)
    if is_lost:
        publish(world, devices)
    async with world.started() as gateway:
        await gateway.settle(100)
        await world.forward(gateway.outbox)
    if is_lost:
        world.directory = directory / f"second-{devices}"
    else:
        publish(world, devices)
    monkeypatch.setattr(inbox, "read_update", counted)
    async with world.started(connect=CountingConnect(count=count)) as gateway:
        await gateway.settle(100)
        assert len(await gateway.answers()) == (0 if is_lost else count.updates)
        assert {c.version for c in gateway.fleet.in_force.values()} == {UPDATES_PER_DEVICE}
    monkeypatch.undo()
    return count


@pytest.mark.parametrize("is_lost", [False, True], ids=["new", "answered_by_a_lost_database"])
def test_an_update_costs_the_same_with_ten_devices_and_with_a_thousand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    async def main() -> None:
        few = (await cost(tmp_path, 10, monkeypatch, is_lost=is_lost)).per_update()
        many = (await cost(tmp_path, 1000, monkeypatch, is_lost=is_lost)).per_update()
        assert few[0] == many[0] == 1.0, "each update is parsed once"
        assert many[1] < 1.5 * few[1], "the work of the database grows with the updates alone"

    run_virtual(main)
