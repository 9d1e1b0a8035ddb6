"""Threads for calls that may hang in a resolver or in a kernel's driver, and cannot be interrupted.

The pool of the standard library has a few threads, so names that no server resolves would keep a serial port from being
opened; and it is waited for at the end, however long they hang.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# One for each connection of the largest site, twice over; calls that never return must not use up the machine.
THREADS_MAX = 64


class UnawaitedThreads(ThreadPoolExecutor):
    """A thread for each call; none keeps the process from ending.

    (asyncio takes only a ThreadPoolExecutor for its default executor; the pool of this one stays empty.)
    """

    def __init__(self, *, threads_max: int = THREADS_MAX) -> None:
        super().__init__()
        self._threads_max = threads_max
        self._running = 0
        self._lock = threading.Lock()

    def submit(
        self, call: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> "Future[Result]":
        """Begin a call. Raises OSError if too many hang already."""
        with self._lock:
            if self._running >= self._threads_max:
                raise OSError(f"{self._running} calls of the operating system hang already")
            self._running += 1
        future: Future[Result] = Future()

        def work() -> None:
            try:
                if future.set_running_or_notify_cancel():
                    future.set_result(call(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - every error goes to the waiting task
                future.set_exception(error)
            finally:
                with self._lock:
                    self._running -= 1

        threading.Thread(target=work, name="call", daemon=True).start()
        return future


def run_leaving_threads(main: Coroutine[None, None, Result]) -> Result:
    """Run a coroutine to its end, as `asyncio.run` does, and leave the calls that hang in threads behind."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(UnawaitedThreads())
        return runner.run(main)
