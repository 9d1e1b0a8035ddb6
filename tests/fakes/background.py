"""Peers that run beside a verb: the verb has an event loop of its own, so they get one in another thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

Peer = TypeVar("Peer")

WAIT_S = 20.0


@contextmanager
def beside(peer: Callable[[], AbstractAsyncContextManager[Peer]]) -> Iterator[Peer]:
    """Run a peer for the length of the context."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="peer")
    thread.start()
    context: list[AbstractAsyncContextManager[Peer]] = []

    async def enter() -> Peer:
        context.append(peer())
        return await context[0].__aenter__()

    async def leave() -> None:
        await context[0].__aexit__(None, None, None)

    try:
        yield asyncio.run_coroutine_threadsafe(enter(), loop).result(WAIT_S)
    finally:
        asyncio.run_coroutine_threadsafe(leave(), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()
