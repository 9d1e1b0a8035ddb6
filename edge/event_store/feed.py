"""A source of items that is read ahead by a task of its own.

The client library turns a cancelled wait into a normal end of iteration. Here the reading task is the only one that
waits inside the library. The iterating task waits on an event, where cancellation works as everywhere.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Items read ahead of the iterating task. Above it the reader stops, and gRPC's flow control stops the server.
READ_AHEAD_MAX = 16


class Feed(Generic[Item]):
    """Iterates over what the reader has read. Ends only by the exception the reader met."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._end: Exception | None = None
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()

    async def read(self, source: AsyncIterator[Item], ended: Callable[[], Exception]) -> None:
        """Read until the source ends or fails; `ended` makes the error for a source that just ends."""
        try:
            async for item in source:
                while len(self._items) >= READ_AHEAD_MAX:
                    self._room.clear()
                    await self._room.wait()
                self._items.append(item)
                self._arrived.set()
            self._end = ended()
        except Exception as error:  # noqa: BLE001 - not swallowed: raised where the items are taken
            self._end = error
        self._arrived.set()

    def __aiter__(self) -> "Feed[Item]":
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._end is not None:
                raise self._end
            self._arrived.clear()
            await self._arrived.wait()
        self._room.set()
        return self._items.popleft()


@asynccontextmanager
async def feeding(source: AsyncGenerator[Item, None], ended: Callable[[], Exception]) -> AsyncIterator[Feed[Item]]:
    """Read a source for the length of the context."""
    feed: Feed[Item] = Feed()
    reader = asyncio.create_task(feed.read(source, ended), name="subscription_reader")
    try:
        yield feed
    finally:
        reader.cancel()
        await asyncio.wait([reader])
        await source.aclose()
