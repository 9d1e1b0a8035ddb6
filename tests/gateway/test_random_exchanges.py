"""Connections come, go and change at random, while devices fail and the disk takes nothing: what must hold, holds."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from edge.collect.status import Condition
from edge.domain.driver import ConnectionLost, DeviceUnreachable, Driver
from edge.domain.event import EventType
from edge.domain.reading import Sample
from edge.domain.settings import ConnectionSettings
from fakes.alarm_check import alarm_violations
from fakes.collect_site import connection, device
from fakes.gateway_stage import Run, Stage
from fakes.inline_sqlite import disk_error, ignore
from fakes.scripted_driver import Answer, ScriptedPolledDriver, good

SEEDS = range(8)
STEPS = 25
DEVICES = ("a", "b", "c", "d")
CONNECTIONS = ("one", "two", "three")
FAILURES = (DeviceUnreachable("no answer"), ConnectionLost("unplugged"), ZeroDivisionError("odd"))


@dataclass
class Chance:
    """What one seed decides."""

    seed: int
    rng: random.Random = field(init=False)
    # How often a device fails just now.
    failing: float = 0.0
    # The connections whose transport somebody holds.
    held: set[str] = field(default_factory=set)
    # How often another one took it all the same.
    collisions: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def answer(self) -> Answer:
        return self.rng.choice(FAILURES) if self.rng.random() < self.failing else good()

    def layout(self) -> dict[str, ConnectionSettings]:
        """Some connections, with some devices behind them."""
        placed: dict[str, list[str]] = {name: [] for name in self.rng.sample(CONNECTIONS, self.rng.randint(1, 3))}
        for name in self.rng.sample(DEVICES, self.rng.randint(1, len(DEVICES))):
            placed[self.rng.choice(list(placed))].append(name)
        return {name: connection(*map(device, behind), connection_id=name) for name, behind in placed.items()}


class CountingDriver(ScriptedPolledDriver):
    """Counts the samples that it gave, by device, over all drivers of a test; it may break while it opens or closes."""

    def __init__(self, connection_id: str, chance: Chance, given: dict[str, int]) -> None:
        super().__init__()
        self.answers = dict.fromkeys(DEVICES, chance.answer)
        self._connection_id = connection_id
        self._chance = chance
        self._given = given

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        if self._chance.rng.random() < self._chance.failing / 3:
            raise ZeroDivisionError("odd at opening")
        # An assertion here would be taken for a fault of the driver.
        self._chance.collisions += self._connection_id in self._chance.held
        self._chance.held.add(self._connection_id)
        try:
            yield
        finally:
            try:
                await asyncio.sleep(self._chance.rng.choice([0.0, 1.5]))
            finally:
                self._chance.held.discard(self._connection_id)

    async def poll(self, device_id: str) -> Sample:
        sample = await super().poll(device_id)
        self._given[device_id] += 1
        return sample


def changes(old: dict[str, ConnectionSettings], new: dict[str, ConnectionSettings]) -> Iterator[str]:
    """The connections that there are not any more, or not like this."""
    return (name for name, settings in old.items() if new.get(name) != settings)


@dataclass
class Site:
    """One seed's site as it changes, and what must come of it."""

    chance: Chance
    given: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DEVICES, 0))
    retired: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DEVICES, 0))
    now: dict[str, ConnectionSettings] = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.chance.layout()

    def drivers(self) -> dict[str, CountingDriver]:
        return {name: CountingDriver(name, self.chance, self.given) for name in CONNECTIONS}

    async def exchange(self, stage: Stage) -> None:
        new, rng = self.chance.layout(), self.chance.rng
        stage.drivers.kept.update(self.drivers())
        stopped = list(changes(self.now, new))
        started = [new[name] for name in new if name in stopped or name not in self.now]
        task = asyncio.create_task(stage.connections.exchange(stopped=stopped, started=started))
        if rng.random() < 0.3:
            await asyncio.sleep(rng.choice([0.0, 0.02, 2.0]) * rng.random())
            task.cancel()
        await asyncio.wait([task])
        # Given up or done: one of the two, whole.
        there = behind(stage)
        assert there == layout_of(new) or (task.cancelled() and there == layout_of(self.now))
        if there == layout_of(new):
            for name in devices_of(self.now) - devices_of(new):
                self.retired[name] += 1
            self.now = new

    async def live(self, stage: Stage) -> None:
        rng = self.chance.rng
        for _ in range(STEPS):
            self.chance.failing = rng.choice([0.0, 0.0, 0.3, 1.0])
            stage.disk.before = take_nothing if rng.random() < 0.2 else ignore
            await asyncio.sleep(rng.random() * 20)
            asyncio.get_running_loop().call_later(rng.random() * 5, heal, stage)
            await self.exchange(stage)
        self.chance.failing = 0.0
        await asyncio.sleep(120)
        before = dict(self.given)
        await asyncio.sleep(10)
        assert {status.condition for status in stage.fleet.status().devices} == {Condition.ANSWERING}
        for name in DEVICES:
            polled = 10 if name in devices_of(self.now) else 0
            assert self.given[name] - before[name] == pytest.approx(polled, abs=1)
        await stage.forwarded()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_exchanged_nothing_is_lost_doubled_or_left_over(run: Run, seed: int) -> None:
    site = Site(Chance(seed))
    drivers: dict[str, Driver] = {**site.drivers()}
    stage = run(*((settings, drivers[name]) for name, settings in site.now.items()), story=site.live)
    assert site.chance.collisions == 0
    assert alarm_violations(stage.told()) == []
    assert list(stage.outbox.alarms) == []
    for name in DEVICES:
        sequences = stage.sequences(name)
        assert sequences == list(range(1, len(sequences) + 1))
        # A poll may have been given up in the moment of its answer.
        assert 0 <= site.given[name] - len(sequences) <= STEPS
        said = stage.told(EventType.DEVICE_DESCRIBED, EventType.DEVICE_RETIRED)
        events = [event for event, data in said if data["deviceId"] == name]
        assert events.count("DeviceRetired") == site.retired[name]
        assert events[-1:] in ([], ["DeviceDescribed" if name in devices_of(site.now) else "DeviceRetired"])


def take_nothing(sql: str) -> None:
    if sql == "COMMIT":
        raise disk_error(sqlite3.SQLITE_BUSY)


def heal(stage: Stage) -> None:
    stage.disk.before = ignore


def layout_of(settings: dict[str, ConnectionSettings]) -> dict[str, set[str]]:
    return {name: {each.id for each in item.devices} for name, item in settings.items()}


def behind(stage: Stage) -> dict[str, set[str]]:
    status = stage.fleet.status()
    return {
        item.connection_id: {each.device_id for each in status.devices if each.connection_id == item.connection_id}
        for item in status.connections
    }


def devices_of(settings: dict[str, ConnectionSettings]) -> set[str]:
    return {each.id for item in settings.values() for each in item.devices}
