"""Drivers that do what a test tells them, on the running loop's time."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from edge.domain.driver import SeenName
from edge.domain.reading import Reading, Sample, Value
from edge.domain.settings import DeviceGroup, DeviceSettings

Answer: TypeAlias = Reading | Sample | Exception
Answering: TypeAlias = Callable[[], Answer]


def in_turn(*answers: Answering, then: Answering | None = None) -> Answering:
    """Answer one way after the other: round and round, or once and `then` for ever."""
    order = itertools.cycle(answers) if then is None else itertools.chain(answers, itertools.repeat(then))

    def answer() -> Answer:
        answering = next(order)
        return answering()

    return answer


def good(value: float = 21.4) -> Reading:
    return Reading(value=value, unit="Cel")


class ScriptedPolledDriver:
    """Answers each poll as `answers` of the device says: with a reading, or by raising."""

    def __init__(self, *, answer_s: float = 0.01, timeout_s: float = 0.3) -> None:
        self.answer_s = answer_s
        # How long a poll takes that raises.
        self.timeout_s = timeout_s
        self.answers: dict[str, Answering] = {}
        self.open_errors: list[Exception] = []
        self.close_error: Exception | None = None
        self.opened = 0
        self.closed = 0
        # (device, when the poll began)
        self.polls: list[tuple[str, float]] = []
        self.in_flight = 0
        self.cancelled = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.opened += 1
        try:
            yield
        finally:
            self.closed += 1
            if self.close_error is not None:
                raise self.close_error

    async def poll(self, device_id: str) -> Sample:
        self.polls.append((device_id, asyncio.get_running_loop().time()))
        assert self.in_flight == 0, "two polls at a time on one wire"
        self.in_flight += 1
        try:
            answer = self.answers.get(device_id, good)()
            await asyncio.sleep(self.timeout_s if isinstance(answer, Exception) else self.answer_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Sample):
            return answer
        return Sample(device_id=device_id, readings={"air_temperature": answer})

    def poll_times(self, device_id: str) -> list[float]:
        return [began_s for polled, began_s in self.polls if polled == device_id]


class WritableDriver(ScriptedPolledDriver):
    """Keeps what was written, and what was done on its wire in which order."""

    def __init__(self, *, answer_s: float = 0.01, write_s: float = 0.05) -> None:
        super().__init__(answer_s=answer_s)
        self.write_s = write_s
        self.write_errors: list[BaseException] = []
        self.written: list[tuple[str, str, Value]] = []
        self.writes_begun: list[float] = []

    async def write(self, device_id: str, point_id: str, value: Value) -> None:
        self.writes_begun.append(asyncio.get_running_loop().time())
        assert self.in_flight == 0, "a write and a poll at a time on one wire"
        self.in_flight += 1
        try:
            await asyncio.sleep(self.write_s)
        finally:
            self.in_flight -= 1
        if self.write_errors:
            raise self.write_errors.pop(0)
        self.written.append((device_id, point_id, value))


class ScriptedPushedDriver:
    """Gives what a test puts into `arrivals`, raises what it finds there, and keeps what was acknowledged."""

    def __init__(self) -> None:
        self.arrivals: asyncio.Queue[Sequence[Sample] | BaseException] = asyncio.Queue()
        self.acknowledged: list[Sample] = []
        # What of it could be told to the sender.
        self.acknowledged_while_open: list[Sample] = []
        self.is_open = False
        self.accepted_error: Exception | None = None
        self.open_errors: list[Exception] = []
        self.opened = 0
        self.receives = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.opened += 1
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False

    async def receive(self) -> Sequence[Sample]:
        self.receives += 1
        arrived = await self.arrivals.get()
        if isinstance(arrived, BaseException):
            raise arrived
        return arrived

    def accepted(self, samples: Sequence[Sample]) -> None:
        if self.accepted_error is not None:
            raise self.accepted_error
        self.acknowledged.extend(samples)
        if self.is_open:
            self.acknowledged_while_open.extend(samples)


class WindowedDriver(ScriptedPushedDriver):
    """A sender that falls silent while `window` samples are unacknowledged."""

    def __init__(self, samples: Sequence[Sample], *, window: int) -> None:
        super().__init__()
        self.window = window
        self._samples = samples
        self._given = 0
        self._has_room = asyncio.Event()

    async def receive(self) -> Sequence[Sample]:
        while self._given == len(self._samples) or self._given - len(self.acknowledged) >= self.window:
            self._has_room.clear()
            await self._has_room.wait()
        self._given += 1
        return self._samples[self._given - 1 : self._given]

    def accepted(self, samples: Sequence[Sample]) -> None:
        super().accepted(samples)
        self._has_room.set()


class ScriptedGroupDriver(ScriptedPushedDriver):
    """Has device groups: names appear when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.appearing: list[tuple[DeviceGroup, str]] = []
        self.seen_names: list[SeenName] = []
        self.adopted: list[DeviceSettings] = []

    def seen(self) -> Sequence[SeenName]:
        return self.seen_names

    def appeared(self) -> Sequence[tuple[DeviceGroup, str]]:
        appeared, self.appearing = self.appearing, []
        return appeared

    def adopt(self, device: DeviceSettings) -> None:
        self.adopted.append(device)
