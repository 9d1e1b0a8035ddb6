"""Openings that hang: in a thread, one at a time, and none left open."""

import asyncio
import threading

import pytest

from drivers.opening import PatientOpening


class Gate:
    """Opens ports, numbered, when a test lets it."""

    def __init__(self) -> None:
        self.may_open = threading.Event()
        self.openings = 0
        self.closed: list[int] = []
        self.error: OSError | None = None

    def open(self) -> int:
        self.openings += 1
        self.may_open.wait(10)
        if self.error is not None:
            raise self.error
        return self.openings

    async def give_up(self, opening: PatientOpening[int]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await opening.opened(self.open, self.closed.append)


async def until_closed(gate: Gate, *ports: int) -> None:
    async with asyncio.timeout(10):
        while gate.closed != list(ports):  # noqa: ASYNC110 - told by a thread
            await asyncio.sleep(0.001)


async def test_what_comes_to_be_open_too_late_is_closed() -> None:
    gate, opening = Gate(), PatientOpening[int]()
    await gate.give_up(opening)
    gate.may_open.set()
    await until_closed(gate, 1)
    assert await opening.opened(gate.open, gate.closed.append) == 2
    assert gate.closed == [1]


async def test_the_next_attempt_waits_for_the_opening_that_was_given_up() -> None:
    gate, opening = Gate(), PatientOpening[int]()
    for _ in range(3):
        await gate.give_up(opening)
    waiting = asyncio.create_task(opening.opened(gate.open, gate.closed.append))
    await asyncio.sleep(0)
    gate.may_open.set()
    assert await waiting == 1
    await asyncio.sleep(0)
    assert (gate.openings, gate.closed) == (1, [])


async def test_an_opening_that_fails_too_late_is_forgotten() -> None:
    gate, opening = Gate(), PatientOpening[int]()
    gate.error = OSError("unplugged")
    await gate.give_up(opening)
    gate.may_open.set()
    async with asyncio.timeout(10):
        while opening._given_up is not None:  # noqa: ASYNC110 - told by a thread
            await asyncio.sleep(0.001)
    with pytest.raises(OSError, match="unplugged"):
        await opening.opened(gate.open, gate.closed.append)
    gate.error = None
    assert await opening.opened(gate.open, gate.closed.append) == 3
