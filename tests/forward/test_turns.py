import asyncio

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
