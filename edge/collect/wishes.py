"""Values to write to the devices of a connection: wishes that wait for its owner task, the oldest first."""

import asyncio
from collections import deque

from edge.domain.configuration import WriteFailed
from edge.domain.reading import Value

# More than the writable points behind one wire. A fuller queue means that the line stands still.
WISHES_MAX = 64


class Wish:
    """A value that a point is to have, and its caller, which waits.

    - It is written at most once.
    - It is not begun once its caller has stopped waiting.
    - A write that was begun is finished, also when its caller has stopped waiting.
    """

    def __init__(self, device_id: str, point_id: str, value: Value) -> None:
        self.device_id = device_id
        self.point_id = point_id
        self.value = value
        self.is_begun = False
        self._answer: asyncio.Future[WriteFailed | None] = asyncio.get_running_loop().create_future()

    @property
    def is_given_up(self) -> bool:
        """Whether its caller has stopped waiting."""
        return self._answer.cancelled()

    def answer(self, failure: WriteFailed | None) -> None:
        """End it with an error, or with None: the device has the value."""
        if not self._answer.done():
            self._answer.set_result(failure)

    async def granted(self, timeout_s: float) -> None:
        """Wait until the device has the value. Raises WriteFailed, or TimeoutError when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._answer
        except TimeoutError:
            # The answer may have come in the same moment.
            if self.is_given_up:
                raise
        failure = self._answer.result()
        if failure is not None:
            raise failure


class Wishes:
    """The queue of one connection."""

    def __init__(self) -> None:
        # A plain field: it is looked at with each sample.
        self.waiting: deque[Wish] = deque()

    def add(self, wish: Wish) -> None:
        """Put a wish behind the others. Raises WriteFailed if too many wait."""
        if len(self.waiting) >= WISHES_MAX:
            self.waiting = deque(waiting for waiting in self.waiting if not waiting.is_given_up)
        if len(self.waiting) >= WISHES_MAX:
            raise WriteFailed(f"{WISHES_MAX} others wait to be written over its connection", may_have_arrived=False)
        self.waiting.append(wish)

    def take(self) -> Wish | None:
        """Take the oldest whose caller still waits."""
        while self.waiting:
            wish = self.waiting.popleft()
            if not wish.is_given_up:
                return wish
        return None

    def refuse_all(self, why: str) -> None:
        """Answer all of them: none is written."""
        while (wish := self.take()) is not None:
            wish.answer(WriteFailed(why, may_have_arrived=False))
