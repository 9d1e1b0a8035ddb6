"""Reads central streams for a person: in order, to the end or without one, over any restart of the store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from edge.domain.backoff import Backoff
from edge.domain.event import RecordedEvent
from edge.domain.event_store import (
    NO_STREAM,
    CaughtUp,
    EventStore,
    EventStoreUnavailable,
    StreamDeleted,
    StreamNotFound,
)

# Larger pages gain nothing: reading is bound by decoding.
PAGE_EVENTS = 200
RECONNECT = Backoff(first_s=0.5, longest_s=5.0)


class Positioned(Protocol):
    """An event of `$all` and the position after which reading may be resumed."""

    @property
    def position(self) -> int:
        """The position."""

    @property
    def event(self) -> RecordedEvent:
        """The event."""


class WholeStore(EventStore, Protocol):
    """An event store that can also be read across all streams."""

    def subscribe_all(
        self, *, after_position: int | None
    ) -> AbstractAsyncContextManager[AsyncIterator[Positioned | CaughtUp]]:
        """Follow all streams from after a position."""


@dataclass(slots=True)
class _Place:
    """How far one stream, or all of them, has been written out."""

    last: RecordedEvent | None = None
    position: int | None = None

    @property
    def revision(self) -> int:
        return NO_STREAM if self.last is None else self.last.revision


Source: TypeAlias = AbstractAsyncContextManager[AsyncIterator[RecordedEvent | Positioned | CaughtUp]]


class Tail:
    """Writes events out. `note` tells the person what the events do not (a lost store, a missing stream)."""

    def __init__(
        self,
        store: WholeStore,
        *,
        write: Callable[[RecordedEvent], None],
        note: Callable[[str], None],
        chance: Callable[[], float],
        follow: bool,
    ) -> None:
        self._store = store
        self._write = write
        self._note = note
        self._chance = chance
        self._follow = follow
        # Whether the store ever answered: if not, the address may be wrong, and a person should look at it.
        self._reached = False
        # How many of the followed streams wait for the store.
        self._lost = 0

    async def streams(self, names: Sequence[str], *, may_be_missing: bool = False) -> None:
        """Write out these streams, one after the other, or side by side as events come. Raises EventStoreError."""
        if not self._follow:
            for name in names:
                await self._read_stream(name, may_be_missing=may_be_missing)
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                for name in names:
                    tasks.create_task(self._follow_stream(name), name=f"tail_{name}")
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def everything(self) -> None:
        """Write out all streams in the store's order. Raises EventStoreError."""
        place = _Place()
        await self._follow_over_losses(place, lambda: self._store.subscribe_all(after_position=place.position))

    async def _read_stream(self, name: str, *, may_be_missing: bool) -> None:
        following = 0
        try:
            while page := await self._store.read_forward(name, from_revision=following, limit=PAGE_EVENTS):
                for event in page:
                    self._write(event)
                following = page[-1].revision + 1
        except StreamNotFound:
            if not may_be_missing:
                self._note(f"{name}: no such stream")
        except StreamDeleted:
            self._note(f"{name}: deleted")

    async def _follow_stream(self, name: str) -> None:
        place = _Place()
        try:
            await self._follow_over_losses(place, lambda: self._store.subscribe(name, after_revision=place.revision))
        except StreamDeleted:
            self._note(f"{name}: deleted")

    async def _follow_over_losses(self, place: _Place, subscribe: Callable[[], Source]) -> None:
        failures = 0
        while True:
            try:
                if failures:
                    await self._return_to(place)
                async with subscribe() as items:
                    self._reached = True
                    self._note_return(failures)
                    failures = 0
                    await self._write_out(place, items)
                    return
            except EventStoreUnavailable as error:
                if not self._reached:
                    raise
                failures += 1
                self._note_loss(error, failures)
            await asyncio.sleep(RECONNECT.delay_s(failures, self._chance))

    def _note_loss(self, error: EventStoreUnavailable, failures: int) -> None:
        """Note an outage once, however many streams are followed."""
        if failures == 1:
            self._lost += 1
            if self._lost == 1:
                self._note(f"the store was lost ({error}); trying again")

    def _note_return(self, failures: int) -> None:
        if failures:
            self._lost -= 1
            if self._lost == 0:
                self._note("the store is back")

    async def _return_to(self, place: _Place) -> None:
        if await self._went_back(place.last):
            self._note("the store is not the one it was: from its start again")
            place.last = place.position = None

    async def _write_out(self, place: _Place, items: AsyncIterator[RecordedEvent | Positioned | CaughtUp]) -> None:
        """Write out events as they come; without `follow`, return at the end."""
        async for item in items:
            if isinstance(item, CaughtUp):
                if not self._follow:
                    return
                continue
            if isinstance(item, RecordedEvent):
                place.last = item
            else:
                place.last, place.position = item.event, item.position
            self._write(place.last)

    async def _went_back(self, last: RecordedEvent | None) -> bool:
        """Whether the store no longer holds what it gave: restored to an older state, or another one."""
        if last is None:
            return False
        try:
            there = await self._store.read_forward(last.stream, from_revision=last.revision, limit=1)
            if there and there[0].revision == last.revision:
                return there[0].event_id != last.event_id
            tail = await self._store.read_backward(last.stream, limit=1)
        except StreamNotFound:
            return True
        except StreamDeleted:
            return False
        # An event that was truncated away does not mean that the store went back.
        return bool(tail) and tail[0].revision < last.revision
