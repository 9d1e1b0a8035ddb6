import asyncio

from edge.forward.turns import Turns


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
