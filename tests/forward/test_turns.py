import asyncio
import sys
from types import FrameType

from edge.forward.queues import Turns


async def test_control_streams_go_first_then_in_the_order_of_asking() -> None:
    turns = Turns(is_control=lambda stream: stream == 9)
    for stream in (3, 1, 9, 2):
        turns.add(stream)
    assert [await turns.take() for _ in range(4)] == [9, 3, 1, 2]


async def test_a_stream_in_flight_waits_for_its_end() -> None:
    turns = Turns(is_control=lambda _stream: False)
    turns.add(1)
    assert await turns.take() == 1
    turns.add(1)
    waiting = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    turns.release(1)
    assert await waiting == 1


async def test_asking_twice_gives_one_turn() -> None:
    turns = Turns(is_control=lambda _stream: False)
    turns.add(1)
    turns.add(1)
    turns.add(2)
    assert [await turns.take(), await turns.take()] == [1, 2]
    waiting = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    turns.add(3)
    assert await waiting == 3


async def test_what_comes_up_for_a_stream_in_flight_waits_behind_the_others() -> None:
    turns = Turns(is_control=lambda _stream: False)
    turns.add(1)
    turns.add(2)
    assert await turns.take() == 1
    turns.add(1)
    turns.add(3)
    turns.release(1)
    assert [await turns.take() for _ in range(3)] == [2, 3, 1]


class Counted(int):
    """A stream's number that counts how often anybody looks at it."""

    looks = 0

    def __hash__(self) -> int:
        Counted.looks += 1
        return int(self)

    def __eq__(self, other: object) -> bool:
        return int(self) == other


async def _looks_per_turn(streams: int) -> float:
    turns = Turns(is_control=lambda stream: stream == 0)
    numbers = [Counted(number) for number in range(streams)]
    for number in numbers:
        turns.add(number)
    Counted.looks = 0
    for _ in range(streams):
        taken = await turns.take()
        turns.add(taken)
        turns.release(taken)
    return Counted.looks / streams


async def test_a_turn_costs_the_same_among_ten_streams_and_a_thousand() -> None:
    assert await _looks_per_turn(1000) == await _looks_per_turn(10)


async def test_work_that_comes_up_wakes_one_worker() -> None:
    turns = Turns(is_control=lambda _stream: False)
    workers = [asyncio.create_task(turns.take()) for _ in range(8)]
    await asyncio.sleep(0)
    woken = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal woken
        woken += event == "call" and frame.f_code is Turns.take.__code__

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for stream in (1, 2):
            turns.add(stream)
            for _ in range(3):
                await asyncio.sleep(0)
    finally:
        sys.setprofile(before)
    assert (woken, [worker.result() for worker in workers if worker.done()]) == (2, [1, 2])
    for worker in workers:
        worker.cancel()


async def test_a_worker_that_is_cancelled_takes_no_turn_with_it() -> None:
    turns = Turns(is_control=lambda _stream: False)
    leaving, staying = (asyncio.create_task(turns.take()) for _ in range(2))
    await asyncio.sleep(0)
    turns.add(1)
    leaving.cancel()
    assert await staying == 1
