import asyncio
import threading

import pytest

from edge.operate.threads import UnawaitedThreads, run_leaving_threads


def test_a_call_gives_its_result_or_its_error() -> None:
    threads = UnawaitedThreads()
    assert threads.submit(divmod, 7, 2).result(10) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 7, 0).result(10)


def test_calls_that_hang_keep_neither_others_nor_the_end_waiting() -> None:
    released = threading.Event()

    async def main() -> str:
        loop = asyncio.get_running_loop()
        hanging = [loop.run_in_executor(None, released.wait) for _ in range(40)]
        answer = await asyncio.to_thread(str, 42)
        assert not any(call.done() for call in hanging)
        return answer

    # `asyncio.run` waits for its executor: this test would never end.
    assert run_leaving_threads(main()) == "42"
    released.set()


def test_calls_that_hang_for_ever_do_not_take_the_machine() -> None:
    released = threading.Event()
    threads = UnawaitedThreads(threads_max=2)
    hanging = [threads.submit(released.wait) for _ in range(2)]
    with pytest.raises(OSError, match="2 calls of the operating system hang already"):
        threads.submit(str, 42)
    released.set()
    assert all(call.result(10) for call in hanging)
