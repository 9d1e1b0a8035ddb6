"""Opens ports in a thread: in a kernel's driver that may take a moment or never end, and no other task waits for it."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

Opened = TypeVar("Opened")


class PatientOpening(Generic[Opened]):
    """The openings of one port, one at a time.

    - An opening cannot be cancelled. One that was given up is still under way, and the next call waits for the same
      one: a second one would only hang beside it, and take a thread that other connections need.
    - What comes to be open while no call waits for it is closed.
    """

    def __init__(self) -> None:
        self._given_up: asyncio.Future[Opened] | None = None

    async def opened(self, open_port: Callable[[], Opened], close: Callable[[Opened], None]) -> Opened:
        """Open a port; raises what `open_port` raises. `open_port` runs in a thread, `close` on the event loop."""
        opening = self._given_up or asyncio.ensure_future(asyncio.to_thread(open_port))
        self._given_up = None
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._given_up = opening
            opening.add_done_callback(partial(self._close_late, close))
            raise

    def _close_late(self, close: Callable[[Opened], None], opening: "asyncio.Future[Opened]") -> None:
        if self._given_up is not opening:
            # Another call took it.
            return
        self._given_up = None
        if not opening.cancelled() and opening.exception() is None:
            close(opening.result())
