"""Whose turn it is: streams with something to do, control streams first, each at most once in flight."""

import asyncio
from collections.abc import Callable


class Turns:
    """Hands out streams to the workers."""

    def __init__(self, *, is_control: Callable[[int], bool]) -> None:
        self._is_control = is_control
        # In the order in which the work came up.
        self._waiting: dict[int, None] = {}
        self._in_flight: set[int] = set()
        self._stirred = asyncio.Event()

    def add(self, stream: int) -> None:
        """Something is to be done for a stream."""
        if stream not in self._waiting:
            self._waiting[stream] = None
            self._stirred.set()

    async def take(self) -> int:
        """Wait for the next stream; it is in flight until `release`."""
        while (stream := self._next()) is None:
            self._stirred.clear()
            await self._stirred.wait()
        del self._waiting[stream]
        self._in_flight.add(stream)
        return stream

    def release(self, stream: int) -> None:
        """A worker is done with a stream for now."""
        self._in_flight.discard(stream)
        if stream in self._waiting:
            self._stirred.set()

    def _next(self) -> int | None:
        free = [stream for stream in self._waiting if stream not in self._in_flight]
        return next(filter(self._is_control, free), free[0] if free else None)
