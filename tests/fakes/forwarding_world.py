"""A gateway's outbox and forwarder in a world that goes wrong: the seeded simulation's stage.

Real SQLite, real outbox, real forwarder; the store obeys the server's append rule. `point` stands before and after every
await of writer and forwarder, and can kill: then nothing more is done, in the middle of whatever it was.
"""

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from pathlib import Path
from uuid import UUID

from edge.domain.author import Author, Reference
from edge.domain.event import Draft, EventType, NewEvent, Numbers, RecordedEvent
from edge.domain.event_store import NO_STREAM, EventStoreError, RequestRefused
from edge.domain.facts import DeviceConfigurationApplied, LoadedSite, SiteFileLoaded
from edge.domain.settings import OutboxSettings, StreamTemplates
from edge.forward.forwarder import Forwarder
from edge.storage.database import open_database
from edge.storage.entries import Entry
from edge.storage.outbox import Outbox, open_outbox
from edge.storage.placement import Placement
from fakes.contract_check import breaches
from fakes.event_store import FakeEventStore, StreamState
from fakes.inline_sqlite import InlineConnect, disk_error
from fakes.virtual_time import VirtualClock

GATEWAY = "north-1"
# Longer than any store takes to be restored unnoticed (SILENCE_S of the forwarder).
STORE_DOWN_S = 30.0
Script = Callable[["Life"], Coroutine[None, None, None]]


class Killed(BaseException):
    """kill -9."""


class TransactionFailed(Exception):  # noqa: N818 - not an error of ours
    """The body of a transaction had a reason to give up."""


class DiskFault(Enum):
    """How a COMMIT fails."""

    # Nothing was written. (A full file would also give up what is forwarded, and a restored store could not get it back.)
    BUSY = auto()
    # A failed sync: the commit is not in the file, or it is.
    SYNC_FAILED = auto()
    SYNC_FAILED_ALTHOUGH_DONE = auto()


class _LifeOver(Exception):  # noqa: N818 - not an error
    """The script has ended."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What a commit put on disk."""

    stream: str
    position: int
    data: bytes
    metadata: bytes


@dataclass(kw_only=True)
class Life:
    """One run of the daemon, as its script sees it."""

    world: "World"
    outbox: Outbox
    forwarder: Forwarder
    author: Author

    def offer(self, device: str, *, size: int = 0, padding: str = "") -> bool:
        """Offer one sample of a device, with a text in it or so many characters."""
        draft = Draft(
            stream=self.author.stream(self.author.streams.sensor_readings, device),
            event_id=self.author.new_id(),
            type=EventType.SENSOR_READING_RECEIVED,
            encode=partial(
                _encode, device, self.author.metadata(), padding or self.world.rng.randbytes(size // 2).hex()
            ),
            device_id=device,
        )
        self.world.intended[draft.event_id] = draft.stream
        return self.outbox.offer(draft)

    async def transact(self, streams: Sequence[str], *, fails: bool = False) -> None:
        """Write a control event into each of these streams, all in one transaction, with an await between any two steps.

        Raises TransactionFailed at its end if it `fails`.
        """
        drafts = [self._control(stream) for stream in streams]
        async with self.outbox.transaction() as transaction:
            for draft in drafts:
                await transaction.fetch_one("SELECT 1")
                transaction.append(draft)
                await asyncio.sleep(0)
            if fails:
                raise TransactionFailed
        self.world.promised |= {draft.event_id for draft in drafts}

    def _control(self, stream: str) -> Draft:
        update_id = self.author.new_id()
        if stream == self.author.stream(self.author.streams.configuration_status):
            applied = DeviceConfigurationApplied(
                device_id="door", update_event_id=update_id, update_revision=0, config_version=1, changes=()
            )
            draft = self.author.control(applied, reference=Reference(config_version=1, causation_id=update_id))
        else:
            loaded = SiteFileLoaded(
                site=LoadedSite(name="", time_zone="UTC", require_reason=False),
                file="site.toml",
                digest="sha256:" + "0" * 64,
                devices=(),
            )
            draft = self.author.control(loaded)._replace(stream=stream)
        self.world.intended[draft.event_id] = stream
        return draft

    async def settle(self, *, within_s: float = 3600) -> None:
        """Wait until everything that can be forwarded is, and every stream was compared."""
        await self.outbox.flush()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s
        await asyncio.sleep(5)
        while self._busy() and loop.time() < end_s:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(5)
        await self.outbox.flush()

    def _busy(self) -> bool:
        parked = self.outbox.streams.parked()
        lagging = set(self.outbox.cursors.lagging()) - set(parked)
        return bool(lagging) or self.forwarder.status().queued_bytes > 0


def _encode(device: str, metadata: str, padding: str, numbers: Numbers) -> tuple[bytes, bytes]:
    body: dict[str, object] = {"gatewayId": GATEWAY, "deviceId": device, "sequence": numbers.sequence}
    if numbers.previous is not None:
        body["previous"] = {"run": str(numbers.previous[0]), "sequence": numbers.previous[1]}
    if padding:
        body["padding"] = padding
    return json.dumps(body).encode(), f"{metadata}{numbers.position}}}".encode()


class Seam:
    """The event store with a point before and after each call."""

    def __init__(self, store: FakeEventStore, point: Callable[[], None]) -> None:
        self._store = store
        self._point = point
        self.subscribe = store.subscribe

    async def append(self, stream: str, events: Sequence[NewEvent], *, expected_revision: int) -> int | None:
        self._point()
        position = await self._store.append(stream, events, expected_revision=expected_revision)
        self._point()
        return position

    async def read_forward(self, stream: str, *, from_revision: int, limit: int) -> list[RecordedEvent]:
        self._point()
        events = await self._store.read_forward(stream, from_revision=from_revision, limit=limit)
        self._point()
        return events

    async def read_backward(self, stream: str, *, limit: int, from_revision: int | None = None) -> list[RecordedEvent]:
        self._point()
        events = await self._store.read_backward(stream, limit=limit, from_revision=from_revision)
        self._point()
        return events


@dataclass(kw_only=True)
class World:
    """The disk, the store, and what was ever accepted."""

    directory: Path
    rng: random.Random
    store: FakeEventStore = field(default_factory=FakeEventStore)
    settings: OutboxSettings = field(default_factory=lambda: OutboxSettings(keep_forwarded_h=1000))
    accepted: dict[UUID, Accepted] = field(default_factory=dict)
    # Gone with a database that was replaced by an older copy: the only ones that may be missing.
    excused: set[UUID] = field(default_factory=set)
    # The stream that each event was written for.
    intended: dict[UUID, str] = field(default_factory=dict)
    # Events whose transaction ended well: they must be on disk.
    promised: set[UUID] = field(default_factory=set)
    # How the next COMMIT of a life fails; asked from when the life has begun.
    choose_disk_fault: Callable[[], DiskFault | None] = lambda: None
    # Streams that were deleted for ever: parked until somebody decides, even if a restored store has them again.
    deleted: set[str] = field(default_factory=set)
    # What was written and does not keep the published contract.
    breaches: list[str] = field(default_factory=list)
    store_went_back: bool = False
    database_went_back: bool = False
    # A restore may lose events for good; how many, an event tells.
    retention_is_short: bool = False
    # Streams that a restore shortened and a stranger filled up again at once: what was lost comes out of its order.
    grown_exactly: set[str] = field(default_factory=set)
    # The configuration is followed beside the forwarder, as in the gateway.
    has_subscription: bool = False
    runs: list[UUID] = field(default_factory=list)
    # Points until the kill; None = nobody kills.
    fuse: int | None = None
    is_dead: bool = False
    _disk_fault: DiskFault | None = None
    # What tells entries in the wrong stream; the tests of the teeth believe all.
    placement: Callable[[Author], Placement | None] = Placement
    # What the forwarder is given; the tests of the teeth put a worse one between.
    seam: Callable[[FakeEventStore, Callable[[], None]], Seam] = Seam

    def point(self) -> None:
        """A moment at which the process may be killed."""
        if self.fuse is not None and not self.is_dead:
            self.fuse -= 1
            self.is_dead = self.fuse < 0
        if self.is_dead:
            raise Killed

    def _before(self, sql: str) -> None:
        self.point()
        self._disk_fault = self.choose_disk_fault() if sql == "COMMIT" else None
        if self._disk_fault is DiskFault.BUSY:
            raise disk_error(sqlite3.SQLITE_BUSY)
        if self._disk_fault is DiskFault.SYNC_FAILED:
            raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

    def _after(self, _sql: str) -> None:
        self.point()
        if self._disk_fault is DiskFault.SYNC_FAILED_ALTHOUGH_DONE:
            raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

    def new_id(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128), version=4)

    async def live(self, script: Script, *, fuse: int | None = None) -> bool:
        """Run the daemon under a script; whether it ended without being killed."""
        self.fuse, self.is_dead = fuse, False
        self.choose_disk_fault = lambda: None
        try:
            async with AsyncExitStack() as stack:
                life = await self._open(stack)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(life.outbox.run())
                    tasks.create_task(life.forwarder.run())
                    if self.has_subscription:
                        tasks.create_task(self._follow(life.forwarder))
                    await script(life)
                    raise _LifeOver
        except* _LifeOver:
            pass
        except* Killed:
            pass
        assert self.breaches == [], self.breaches
        return not self.is_dead

    async def _follow(self, forwarder: Forwarder) -> None:
        while True:
            with suppress(EventStoreError):
                async with self.store.subscribe("deviceConfiguration-north-1", after_revision=NO_STREAM) as items:
                    forwarder.hurry()
                    async for _ in items:
                        pass
            forwarder.doubt()
            await asyncio.sleep(1)

    async def _open(self, stack: AsyncExitStack) -> Life:
        clock = VirtualClock()
        author = Author(
            site_id=GATEWAY,
            gateway_id=GATEWAY,
            run=self.new_id(),
            boot_id=UUID(int=0),
            streams=StreamTemplates(),
            clock=clock,
            new_id=self.new_id,
        )
        self.runs.append(author.run)
        database = await stack.enter_async_context(
            open_database(self.directory, settings=self.settings, connect=InlineConnect(self._before, self._after))
        )
        outbox = await stack.enter_async_context(
            open_outbox(database, run=author.run, clock=clock, settings=self.settings, placement=self.placement(author))
        )
        # What a killed run committed without living to tell.
        page = await outbox.read_after(0, bytes_max=1 << 30)
        self._note(outbox, page.entries)
        outbox.attach(lambda entries: self._note(outbox, entries))
        forwarder = Forwarder(
            event_store=self.seam(self.store, self.point),
            outbox=outbox,
            author=author,
            clock=clock,
            chance=self.rng.random,
        )
        return Life(world=self, outbox=outbox, forwarder=forwarder, author=author)

    def _note(self, outbox: Outbox, entries: Sequence[Entry]) -> None:
        for entry in entries:
            # What the scripts offer is shorter than the contract allows.
            if entry.event_id not in self.intended and entry.event_id not in self.accepted:
                self.breaches += breaches(entry.type, entry.data, entry.metadata)
            self.accepted[entry.event_id] = Accepted(
                stream=outbox.streams.name(entry.stream),
                position=entry.position,
                data=entry.data,
                metadata=entry.metadata,
            )

    def copy_database(self) -> Path:
        """Take a copy of the state directory while no life is under way."""
        target = self.directory.parent / f"copy-{self.rng.getrandbits(32):08x}"
        shutil.copytree(self.directory, target)
        return target

    def put_back(self, copy: Path, known: set[UUID]) -> None:
        """Replace the database by a copy that held only these events."""
        shutil.rmtree(self.directory)
        shutil.copytree(copy, self.directory)
        self.excused |= set(self.accepted) - known
        self.database_went_back = True

    def restore_store(self, snapshot: dict[str, StreamState]) -> None:
        self.store.restore(snapshot)
        self.store_went_back = True

    def delete(self, stream: str) -> None:
        self.store.tombstone(stream)
        self.deleted.add(stream)

    def append_foreign(self, stream: str) -> None:
        """Somebody else writes into our stream, if the store takes it."""
        state = self.store.streams.get(stream)
        event = NewEvent(event_id=self.new_id(), type="SomethingElse", data=b"{}", metadata=b"")
        with suppress(RequestRefused):
            self.store.append_now(stream, [event], -1 if state is None else state.last)
