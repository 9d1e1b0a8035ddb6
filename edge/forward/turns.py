"""Whose turn it is: streams with something to do, control streams first, each at most once in flight."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable


class Turns:
    """Hands out streams to the workers. Whatever the number of streams, each call costs the same."""

    def __init__(self, *, is_control: Callable[[int], bool]) -> None:
        self._is_control = is_control
        # Streams that can be taken, in the order in which their work came up. A dict would look at all that were taken
        # from its front before.
        self._control: OrderedDict[int, None] = OrderedDict()
        self._telemetry: OrderedDict[int, None] = OrderedDict()
        # A stream in flight, and whether something came up for it meanwhile: then its next turn begins at `release`.
        self._in_flight: dict[int, bool] = {}
        self._stirred = asyncio.Event()

    def add(self, stream: int) -> None:
        """Something is to be done for a stream."""
        if stream in self._in_flight:
            self._in_flight[stream] = True
            return
        waiting = self._control if self._is_control(stream) else self._telemetry
        waiting[stream] = None
        self._stirred.set()

    async def take(self) -> int:
        """Wait for the next stream; it is in flight until `release`."""
        while not (waiting := self._control or self._telemetry):
            self._stirred.clear()
            await self._stirred.wait()
        stream, _ = waiting.popitem(last=False)
        self._in_flight[stream] = False
        return stream

    def release(self, stream: int) -> None:
        """A worker is done with a stream for now."""
        if self._in_flight.pop(stream):
            self.add(stream)
