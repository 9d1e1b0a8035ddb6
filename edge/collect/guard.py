"""The border between the gateway and a driver. What a driver must not raise becomes a DriverFault here, and only here."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from edge.domain.driver import DecodingBroke, Driver, DriverError
from edge.domain.reading import Sample

_log = structlog.get_logger(__name__)


class DriverFault(Exception):  # noqa: N818 - as the errors of domain/driver.py
    """A driver or decoder broke its contract: a bug in it. Remedy: keep the rest running, and tell a person.

    `device_id` is whose message it was, where the driver knows it.
    """

    def __init__(self, message: str, *, device_id: str | None = None) -> None:
        super().__init__(message)
        self.device_id = device_id


# What a driver says about an error goes into events and the status: a sentence, not a dump.
_TEXT_LENGTH_MAX = 300


def text_of(error: Exception) -> str:
    """Return what an error says, short and such that UTF-8 can hold it."""
    text = str(error) or type(error).__name__
    return text[:_TEXT_LENGTH_MAX].encode(errors="replace").decode()


def sample_of(returned: object) -> Sample:
    """Return what a driver returned if it is a sample. Raises DriverFault: types are no promise across this border."""
    if isinstance(returned, Sample):
        return returned
    raise DriverFault(f"the driver returned {type(returned).__name__}, not a sample")


@contextmanager
def driver_call() -> Iterator[None]:
    """Let through what a driver may raise, turn the rest into DriverFault (with the cause as it was)."""
    try:
        yield
    except (DriverError, DriverFault):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled us: something the driver waited for was cancelled inside it. Passed on, it would end the
        # collector without a sound.
        raise DriverFault("CancelledError, though nobody cancelled the call") from error
    except DecodingBroke as broke:
        bug = broke.__cause__ or broke
        raise DriverFault(f"{type(bug).__name__}: {bug}", device_id=broke.device_id) from bug
    except Exception as error:
        raise DriverFault(f"{type(error).__name__}: {error}") from error


@asynccontextmanager
async def opened(driver: Driver) -> AsyncIterator[None]:
    """Keep a driver's transport open. What goes wrong while closing is logged; the next `open` starts afresh."""
    with driver_call():
        transport = driver.open()
        await transport.__aenter__()
    try:
        yield
    finally:
        try:
            with driver_call():
                await transport.__aexit__(*sys.exc_info())
        except (DriverError, DriverFault):
            _log.warning("connection_close_failed", exc_info=True)
