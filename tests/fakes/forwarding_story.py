"""One seed of the simulation: lives, kills, losses, restores, copies and foreign writers, chosen by chance."""

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING

from edge.domain.event_store import Right
from edge.storage.errors import CommitFailed
from fakes.event_store import Fault
from fakes.forwarding_check import POISON, is_poison
from fakes.forwarding_world import STORE_DOWN_S, DiskFault, Life, TransactionFailed, World

if TYPE_CHECKING:
    from uuid import UUID

DEVICES = ("a", "b", "c")
FAULTS = (Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.DELAYED, Fault.UNAVAILABLE)
LIVES_MAX = 6
CONTROL_STREAMS = ("gateway-north-1", "deviceConfigurationStatus-north-1", *(f"audit-north-1.{n}" for n in range(9)))
# More than the turns of the loop that a transaction takes.
CANCELLED_TURNS_MAX = 60


class Story:
    """What happens to a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        # Each seed has its own weather.
        self.fault_rate = self.rng.choice((0.0, 0.05, 0.3))
        self.may_restore_store = self.rng.random() < 0.4
        self.may_copy_database = self.rng.random() < 0.4
        self.may_meet_strangers = self.rng.random() < 0.3
        self.may_delete = self.rng.random() < 0.15
        self.may_refuse = self.rng.random() < 0.4
        self._refuses_everything = False
        world.store.refuses = lambda event: self._refuses_everything or is_poison(event)
        self.may_transact = self.rng.random() < 0.6
        self.disk_fault_rate = self.rng.choice((0.0, 0.0, 0.05, 0.3))
        self._snapshots = [world.store.snapshot()]
        self._copies: list[tuple[Path, set[UUID]]] = []

    async def tell(self) -> None:
        """Play all lives, then heal everything and let it settle."""
        store = self.world.store
        for _ in range(self.rng.randint(1, LIVES_MAX)):
            store.choose_fault = self._fault
            store.choose_read_fault = lambda _stream: self.rng.random() < self.fault_rate / 2
            store.latency_s = lambda: self.rng.choice((0.0, 0.0, 0.02, 0.3))
            store.cancelled_lands = lambda: self.rng.random() < 0.5
            fuse = self.rng.choice((None, self.rng.randint(0, 60), self.rng.randint(0, 600)))
            await self.world.live(self._busy, fuse=fuse)
            self._between_lives()
        self._heal()
        await self.world.live(self._settle)

    def _fault(self, _stream: str) -> Fault | None:
        return self.rng.choice(FAULTS) if self.rng.random() < self.fault_rate else None

    def _disk_fault(self) -> DiskFault | None:
        return self.rng.choice(list(DiskFault)) if self.rng.random() < self.disk_fault_rate else None

    async def _busy(self, life: Life) -> None:
        self.world.choose_disk_fault = self._disk_fault
        for _ in range(self.rng.randint(1, 40)):
            for _ in range(self.rng.randint(0, 6)):
                is_bad = self.may_refuse and self.rng.random() < 0.1
                life.offer(self.rng.choice(DEVICES), padding=POISON if is_bad else "")
            if self.may_transact and self.rng.random() < 0.3:
                await self._transact(life)
            await self._weather()
            await asyncio.sleep(self.rng.choice((0.0, 0.1, 0.6, 3.0, 12.0)))

    async def _transact(self, life: Life) -> None:
        """Write into one or two streams, often new ones; often cancelled at any await, sometimes failing by itself."""
        streams = self.rng.sample(CONTROL_STREAMS, k=self.rng.randint(1, 2))
        turns = self.rng.choice((None, self.rng.randint(0, CANCELLED_TURNS_MAX)))
        transaction = asyncio.create_task(life.transact(streams, fails=self.rng.random() < 0.1))
        try:
            for _ in range(turns or 0):
                await asyncio.sleep(0)
            if turns is not None:
                transaction.cancel()
            # A device may be heard for the first time right now.
            life.offer(self.rng.choice(DEVICES))
            await asyncio.wait([transaction])
        finally:
            # It ends before the outbox is closed, as every task of the daemon does.
            transaction.cancel()
            await asyncio.wait([transaction])
            error = None if transaction.cancelled() else transaction.exception()
        if error is not None and not isinstance(error, CommitFailed | TransactionFailed):
            raise error

    async def _weather(self) -> None:
        store = self.world.store
        roll = self.rng.random()
        if roll < 0.03:
            store.go_down()
        elif roll < 0.10 and store.down:
            store.restart()
        elif roll < 0.15:
            self._snapshots.append(store.snapshot())
        elif roll < 0.25 and store.delayed:
            store.land(self.rng.randrange(len(store.delayed)))
        elif roll < 0.28 and self.may_meet_strangers:
            self._stranger()
        elif roll < 0.29 and self.may_delete:
            self.world.delete("sensorReadings-north-1.c")
        elif roll < 0.31 and self.may_restore_store:
            store.go_down()
            await asyncio.sleep(STORE_DOWN_S)
            self._restore_store()
        elif roll < 0.36 and self.may_refuse:
            self._refuse()

    def _refuse(self) -> None:
        """A server that takes nothing, or a right that is taken or given."""
        store = self.world.store
        match self.rng.randrange(4):
            case 0:
                self._refuses_everything = not self._refuses_everything
            case 1:
                store.access_refused = not store.access_refused
            case 2:
                store.denied.clear()
            case _:
                streams = ["gateway-north-1", *(f"sensorReadings-north-1.{device}" for device in DEVICES)]
                store.denied.add((self.rng.choice(streams), self.rng.choice(list(Right))))

    def _between_lives(self) -> None:
        if self.rng.random() < 0.3:
            self._snapshots.append(self.world.store.snapshot())
        if self.may_restore_store and self.rng.random() < 0.3:
            self._restore_store()
        if self.may_copy_database:
            self._swap_database()
        if self.may_meet_strangers and self.rng.random() < 0.3:
            self._stranger()

    def _restore_store(self) -> None:
        self.world.restore_store(self.rng.choice([*self._snapshots, {}]))
        if self.may_meet_strangers and self.rng.random() < 0.5:
            for _ in range(self.rng.randint(1, 30)):
                self._stranger()

    def _stranger(self) -> None:
        stream = f"sensorReadings-north-1.{self.rng.choice('ab')}"
        self.world.append_foreign(stream)

    def _swap_database(self) -> None:
        if not self.world.directory.exists():
            return
        if self._copies and self.rng.random() < 0.5:
            self.world.put_back(*self.rng.choice(self._copies))
        elif self.rng.random() < 0.7:
            self._copies.append((self.world.copy_database(), set(self.world.accepted)))

    def _heal(self) -> None:
        store = self.world.store
        while store.delayed and self.rng.random() < 0.7:
            store.land()
        store.choose_fault = lambda _stream: None
        store.choose_read_fault = lambda _stream: False
        store.latency_s = lambda: 0.0
        store.access_refused = self._refuses_everything = False
        store.denied.clear()
        store.restart()

    async def _settle(self, life: Life) -> None:
        for device in DEVICES:
            life.offer(device)
        await life.settle()


async def play_seed(directory: Path, seed: int, world: World | None = None) -> World:
    """Play one seed in a directory; return the world as it is afterwards."""
    world = world or World(directory=directory / "state", rng=random.Random(seed))
    await Story(world).tell()
    return world
