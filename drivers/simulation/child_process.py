"""Child processes that must not outlive us: they are ended in order, and however we end, the kernel ends them."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress

# prctl(2); Linux.
_PR_SET_PDEATHSIG = 1


def ending_with_us(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """Return what a new child has to call before it becomes its program; `preexec_fn` of subprocesses.

    The signal comes when the thread that started the child ends: that must be the main one.
    """
    # Looked up here: after the fork there must be no import and no lock.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            # We ended before the kernel knew.
            os._exit(1)

    return bind


async def stop(process: asyncio.subprocess.Process, *, timeout_s: float) -> None:
    """End a child: ask it to stop; kill it when the time is over, or when this call is cancelled."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        # A person may have suspended it to see what happens. It must be able to hear.
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        _kill(process)
        await process.wait()
    except asyncio.CancelledError:
        _kill(process)
        raise


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
