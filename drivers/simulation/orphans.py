"""Child processes that must not outlive us, however we end: the kernel ends them (prctl(2), PR_SET_PDEATHSIG; Linux)."""

import ctypes
import os
import signal
from collections.abc import Callable

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
