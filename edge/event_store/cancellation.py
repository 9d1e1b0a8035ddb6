"""Tells a cancellation of our task from one that the client library makes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class CallEnded(Exception):  # noqa: N818 - not an error of ours
    """The library ended the call with CancelledError although this task was not cancelled."""


@contextmanager
def cancellation_kept() -> Iterator[None]:
    """Let CancelledError out if, and only if, this task was cancelled meanwhile (by a time-out, too).

    A cancelled wait inside the client library comes out as CancelledError, as another exception, or as a normal end;
    and when the library closes a channel under a running call, CancelledError comes out of a task that was not
    cancelled. Raises CallEnded for the latter.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    except asyncio.CancelledError:
        if task.cancelling() > before:
            raise
        raise CallEnded("the library ended the call") from None
    except Exception as error:
        if task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise
    if task.cancelling() > before:
        raise asyncio.CancelledError
