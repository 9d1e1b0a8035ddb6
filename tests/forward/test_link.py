import asyncio
from collections.abc import Callable, Coroutine

from edge.domain.event_store import EventStoreUnavailable
from edge.forward.link import LINK_BACKOFF, Link
from fakes.virtual_time import VirtualClock, run_virtual

GONE = EventStoreUnavailable("gone")


def on_a_link(story: Callable[[Link], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        await story(Link(VirtualClock(), lambda: 1.0))

    run_virtual(main)


async def waited_s(link: Link) -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await link.ready()
    return loop.time() - began_s


def test_calls_that_were_under_way_together_are_one_loss() -> None:
    async def story(link: Link) -> None:
        generation = link.generation
        assert [link.lost(generation, GONE) for _ in range(8)] == [True] + [False] * 7
        assert await waited_s(link) == LINK_BACKOFF.delay_s(1, lambda: 1.0)
        assert link.lost(link.generation, GONE)
        assert await waited_s(link) == LINK_BACKOFF.delay_s(2, lambda: 1.0)

    on_a_link(story)


def test_a_hurry_ends_the_wait_of_all_and_no_later_one() -> None:
    async def story(link: Link) -> None:
        for _ in range(10):
            link.lost(link.generation, GONE)
        waiting = [asyncio.create_task(waited_s(link)) for _ in range(3)]
        await asyncio.sleep(1)
        link.hurry()
        assert await asyncio.gather(*waiting) == [1.0, 1.0, 1.0]
        link.lost(link.generation, GONE)
        assert await waited_s(link) > 1

    on_a_link(story)
