"""One seed of the simulation: lives, kills, losses, restores, copies and foreign writers, chosen by chance."""

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING

from edge.domain.event_store import Right
from edge.domain.settings import OutboxSettings
from edge.storage.errors import CommitFailed
from edge.storage.upkeep import ROWS_MIN
from fakes.event_store import Fault
from fakes.forwarding_check import POISON, is_poison
from fakes.forwarding_world import STORE_DOWN_S, DiskFault, Life, TransactionFailed, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from fakes.stream_state import StreamState

DEVICES = ("a", "b", "c")
FAULTS = (Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.DELAYED, Fault.UNAVAILABLE)
LIVES_MAX = 6
CONTROL_STREAMS = ("gateway-north-1", "deviceConfigurationStatus-north-1", *(f"audit-north-1.{n}" for n in range(9)))
# More than the turns of the loop that a transaction takes.
CANCELLED_TURNS_MAX = 60
HOUR_S = 3600.0
# Longer than a forwarder believes a store that nobody called.
SILENCE_S = 6.0


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
        self.may_grow_exactly = self.rng.random() < 0.2
        # The answer to a read may be so late that a commit, with what it deletes, comes between.
        self.answers_s = self.rng.choice(((0.0, 0.0, 0.02, 0.3), (0.0, 0.3, 2.0, 5.0)))
        world.has_subscription = self.rng.random() < 0.7
        # What is forwarded goes early, by its age or because the file is full.
        self.presses_retention = self.rng.random() < 0.3
        # What waits for a stream that was deleted would fill the file for ever; and in a file that is full of what a
        # restored store is to get again there is no room for the event that says so.
        # The same holds for a restored database, for an event that is to be set aside, and for a transaction.
        needs_room = (
            self.may_delete or self.may_restore_store or self.may_copy_database or self.may_refuse or self.may_transact
        )
        self.fills_quota = not needs_room and self.rng.random() < 0.5
        if self.presses_retention or self.fills_quota:
            world.retention_is_short = True
            world.settings = OutboxSettings(keep_forwarded_h=0.5, max_size_mb=1 if self.fills_quota else 16)
        self._snapshots = [world.store.snapshot()]
        self._copies: list[tuple[Path, set[UUID]]] = []

    def press_retention(self) -> None:
        """Have what is forwarded deleted early, the store restored and its answers late; nothing else goes wrong."""
        self.presses_retention = self.may_restore_store = self.world.retention_is_short = True
        self.may_copy_database = self.may_meet_strangers = self.may_delete = self.may_grow_exactly = False
        self.may_refuse = self.may_transact = self.fills_quota = False
        self.disk_fault_rate = 0.0
        self.answers_s = (0.0, 0.3, 2.0, 5.0)
        self.world.settings = OutboxSettings(keep_forwarded_h=0.5)

    async def tell(self) -> None:
        """Play all lives, then heal everything and let it settle."""
        store = self.world.store
        for _ in range(self.rng.randint(1, LIVES_MAX)):
            store.choose_fault = self._fault
            store.choose_read_fault = lambda _stream: self.rng.random() < self.fault_rate / 2
            store.latency_s = lambda: self.rng.choice(self.answers_s)
            store.repeats_positions = lambda: self.rng.random() < 0.5
            store.cancelled_lands = lambda: self.rng.random() < 0.5
            fuse = self.rng.choice((None, self.rng.randint(0, 60), self.rng.randint(0, 600)))
            await self.world.live(self._busy, fuse=fuse)
            self._between_lives()
        if self.rng.random() < 0.5:
            self._heal()
            await self.world.live(self._settle)
        else:
            await self.world.live(self._fall_silent)

    def _fault(self, _stream: str) -> Fault | None:
        return self.rng.choice(FAULTS) if self.rng.random() < self.fault_rate else None

    def _disk_fault(self) -> DiskFault | None:
        return self.rng.choice(list(DiskFault)) if self.rng.random() < self.disk_fault_rate else None

    async def _busy(self, life: Life) -> None:
        self.world.choose_disk_fault = self._disk_fault
        if self.presses_retention and self.rng.random() < 0.5:
            await self._grow_old(life)
        if self.fills_quota and self.rng.random() < 0.5:
            await self._fill_up(life)
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

    async def _grow_old(self, life: Life) -> None:
        """So much is forwarded and so long nothing happens that the next commit deletes it; or it is needed again."""
        for _ in range(ROWS_MIN + 20):
            life.offer(self.rng.choice(DEVICES))
            await life.outbox.flush()
        await asyncio.sleep(2 * HOUR_S)
        if self.may_restore_store:
            self._restore_in_life()
        for _ in range(self.rng.randint(1, 20)):
            life.offer(self.rng.choice(DEVICES))
            await asyncio.sleep(1)

    async def _fill_up(self, life: Life) -> None:
        """More is measured than the file can hold, with and without an event store to take it."""
        for _ in range(60):
            for _ in range(6):
                life.offer(self.rng.choice(DEVICES), size=6000)
            await self._weather()
            await asyncio.sleep(0.6)

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
            self._restore_in_life()
        elif roll < 0.33 and self.may_restore_store and self.world.has_subscription:
            # So quickly that no call fails: only the subscription shows it.
            self._restore_in_life()
        elif roll < 0.38 and self.may_refuse:
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
            self._restore_store(self._snapshots)
        if self.may_copy_database:
            self._swap_database()
        if self.may_meet_strangers and self.rng.random() < 0.3:
            self._stranger()

    def _restore_in_life(self) -> None:
        """Restore the store, but bring back nothing that the database does not know: within a run that shows a clone."""
        unknown = self.world.excused - _ids(self.world.store.streams)
        self._restore_store([each for each in self._snapshots if not _ids(each) & unknown])

    def _restore_store(self, snapshots: "Sequence[dict[str, StreamState]]") -> None:
        store = self.world.store
        lengths = {stream: len(state.events) for stream, state in store.streams.items()}
        self.world.restore_store(self.rng.choice([*snapshots, {}]))
        if self.may_grow_exactly and self.rng.random() < 0.5:
            stream = f"sensorReadings-north-1.{self.rng.choice('ab')}"
            # A store that refuses everything takes none of them.
            for _ in range(lengths.get(stream, 0) - len(store.events(stream))):
                self.world.append_foreign(stream)
                self.world.grown_exactly.add(stream)
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
        self.world.choose_disk_fault = lambda: None
        store.latency_s = lambda: 0.0
        store.access_refused = self._refuses_everything = False
        store.denied.clear()
        store.restart()

    async def _fall_silent(self, life: Life) -> None:
        """The store is restored in the middle of a life, and only one device speaks after it."""
        await self._busy(life)
        self._heal()
        await self._settle(life)
        if self.may_restore_store:
            self._restore_in_life()
            await asyncio.sleep(self.rng.choice((0.0, SILENCE_S)))
        # Not the one whose stream may have been deleted: its samples reach no store that could show the restore.
        life.offer(self.rng.choice("ab"))
        await life.settle()

    async def _settle(self, life: Life) -> None:
        for device in DEVICES:
            life.offer(device)
        await life.settle()


def _ids(streams: "Mapping[str, StreamState]") -> "set[UUID]":
    return {event.event_id for state in streams.values() for event in state.events}


async def play_seed(directory: Path, seed: int, world: World | None = None) -> World:
    """Play one seed in a directory; return the world as it is afterwards."""
    world = world or World(directory=directory / "state", rng=random.Random(seed))
    await Story(world).tell()
    return world
