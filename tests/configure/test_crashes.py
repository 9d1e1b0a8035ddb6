"""Killed between any two steps, cut off, set back: each update gets exactly one answer on the status stream."""

import asyncio
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from edge.domain.event import EventType
from edge.storage.configurations import load_pending
from edge.storage.remembered import load_checkpoints
from fakes.configure_world import STATUS_STREAM, STREAM, Gateway, World, update, update_event
from fakes.inline_sqlite import InlineConnect
from fakes.virtual_time import run_virtual

SEEDS = int(os.environ.get("GREENHOUSE_EDGE_SEEDS", "300")) // 20


class Killed(Exception):  # noqa: N818 - what happened
    """The process ended here."""


class Killer:
    """Ends the process before a statement; from then on nothing reaches the disk any more."""

    def __init__(self, statements: int | None) -> None:
        self.left = statements
        # Opening the database is the business of storage.
        self.is_armed = False

    def __call__(self, _sql: str) -> None:
        if self.left is None or not self.is_armed:
            return
        if self.left == 0:
            raise Killed
        self.left -= 1

    @property
    def has_killed(self) -> bool:
        return self.left == 0


def check(world: World, gateway: Gateway) -> None:
    """Every update on the stream has one answer; what is in force is what was last applied."""
    asked = {e.event_id for e in world.store.events(STREAM) if e.type == EventType.DEVICE_CONFIGURATION_UPDATED}
    answers = [(e.type, json.loads(e.data)) for e in world.store.events(STATUS_STREAM)]
    assert Counter(UUID(data["updateEventId"]) for _, data in answers) == Counter(asked)
    for device_id, configuration in gateway.fleet.in_force.items():
        applied = [
            data["configVersion"]
            for event_type, data in answers
            if event_type == EventType.DEVICE_CONFIGURATION_APPLIED and data["deviceId"] == device_id
        ]
        assert applied == sorted(set(applied))
        assert configuration.version == max(applied, default=0)


def at_once(_device_id: str) -> float:
    return 0.0


async def run_until_killed(
    world: World,
    killer: Killer,
    *,
    duration_s: float = 30.0,
    is_last: bool = False,
    delay_s: Callable[[str], float] = at_once,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Start the daemon; end it after a while if nothing kills it before. After the last run, look at everything."""
    try:
        async with world.started(connect=InlineConnect(before=killer)) as gateway:
            gateway.fleet.delay_s = delay_s
            killer.is_armed = True
            task = asyncio.create_task(gateway.configurator.run())
            for _ in range(4):
                await asyncio.wait([task], timeout=duration_s / 4)
                if meanwhile is not None:
                    meanwhile()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if not killer.has_killed:
                await world.forward(gateway.outbox)
            if is_last:
                check(world, gateway)
    except* Killed:
        pass


def publish_some_of_everything(world: World) -> None:
    world.ask(1, {"pollIntervalS": 5})
    world.ask(1, {"pollIntervalS": 4}, device_id="roof")
    world.ask(2, {"nonsense": 1})
    world.publish(update_event({}, event_type="SomethingElse"), update_event(b"junk"))
    world.ask(3, {"pollIntervalS": 7}, basedOn=1)


@pytest.mark.parametrize("slow_s", [0.0, 10.0, 3600.0])
def test_killed_before_any_statement_every_update_is_answered_once(tmp_path: Path, slow_s: float) -> None:
    async def main() -> None:
        template = World(tmp_path / "template")
        await run_until_killed(template, Killer(None))
        statements = 0
        while True:
            world = World(tmp_path / f"state{statements}")
            shutil.copytree(template.directory, world.directory)
            publish_some_of_everything(world)
            killer = Killer(statements)
            await run_until_killed(world, killer, delay_s=lambda device_id: slow_s if device_id == "bench" else 0.0)
            await run_until_killed(world, Killer(None), is_last=True)
            if not killer.has_killed:
                break
            statements += 1
        assert statements > 40, "the loop writes more than that"

    run_virtual(main)


def happen(world: World, chance: random.Random) -> None:
    """Let producers, junk and the link do something."""

    def ask() -> None:
        data = update(
            chance.randint(1, 12),
            chance.choice([{}, {"pollIntervalS": chance.choice([0, 3, 5])}]),
            device_id=chance.choice(["bench", "roof", "nobody"]),
        )
        world.publish(update_event(data))

    def junk() -> None:
        world.publish(update_event(chance.randbytes(8), event_type=chance.choice([*EventType, "Other"])))

    for _ in range(chance.randint(0, 6)):
        chance.choice([ask, ask, ask, junk])()
    if chance.random() < 0.2:
        world.store.go_down()
    else:
        world.store.down = False


def lose_or_copy(directory: Path, copy: Path, chance: random.Random) -> None:
    """Take a backup of the database, put it back, or lose the database."""
    fate = chance.random()
    if fate < 0.15:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(directory, copy)
    elif fate < 0.3 and copy.exists():
        shutil.rmtree(directory)
        shutil.copytree(copy, directory)
    elif fate < 0.4:
        shutil.rmtree(directory)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_every_update_is_answered_once(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    def delay_s(_device_id: str) -> float:
        return chance.choice([0.0, 0.0, chance.uniform(0, 10), 3600.0])

    async def main() -> None:
        world = World(tmp_path / "state")
        for _ in range(8):
            happen(world, chance)
            killer = Killer(chance.choice([None, chance.randint(0, 200)]))
            await run_until_killed(world, killer, delay_s=delay_s, meanwhile=lambda: happen(world, chance))
            lose_or_copy(world.directory, tmp_path / "copy", chance)
        world.store.down = False
        await run_until_killed(world, Killer(None), duration_s=300, is_last=True)

    run_virtual(main)


def test_the_checkpoint_passes_an_update_without_an_answer_only_with_the_commit_that_keeps_it(tmp_path: Path) -> None:
    async def main() -> None:
        world = World(tmp_path)
        world.publish(update_event({}, event_type="SomethingElse"))
        world.ask(1)
        for version in range(1, 101):
            world.ask(version, device_id="roof")

        def kill_at_the_first_application(sql: str) -> None:
            if "INTO configurations" in sql:
                raise Killed

        killing = InlineConnect()
        async with world.started(connect=killing) as gateway:
            killing.before = kill_at_the_first_application
            with pytest.raises(ExceptionGroup) as ended:
                await gateway.configurator.run()
            assert ended.group_contains(Killed)
        async with world.started() as gateway:
            waiting = await load_pending(gateway.outbox.database)
            assert [item.revision for item in waiting] == [1, 101], "the last valid one of each device survived"
            [newest, *_] = await load_checkpoints(gateway.outbox.database, STREAM)
            assert newest == (101, world.store.events(STREAM)[101].event_id)
            await gateway.settle()
            assert len(await gateway.answers()) == 101
            assert await load_pending(gateway.outbox.database) == []

    run_virtual(main)


def test_an_update_that_waited_is_answered_though_the_stream_was_truncated_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        world = World(tmp_path)
        world.ask(1)
        world.ask(2, {"pollIntervalS": 5})
        killing = InlineConnect()

        def kill_at_the_first_application(sql: str) -> None:
            if "INTO configurations" in sql:
                raise Killed

        async with world.started(connect=killing) as gateway:
            killing.before = kill_at_the_first_application
            with pytest.raises(ExceptionGroup) as ended:
                await gateway.configurator.run()
            assert ended.group_contains(Killed)
        world.store.truncate(STREAM, 2)
        async with world.started() as gateway:
            await gateway.settle()
            assert await gateway.answers() == [("bench", 1, "superseded"), ("bench", 2, "applied")]

    run_virtual(main)
