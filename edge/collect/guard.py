"""The border between gateway and driver. What a driver must not raise or return becomes a DriverFault, only here."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import fields

from edge.domain.driver import DecodingBroke, DriverError
from edge.domain.reading import Sample


class DriverFault(Exception):  # noqa: N818 - as the errors of domain/driver.py
    """A driver or decoder broke its contract: a bug in it. Remedy: keep the rest running, and tell a person.

    `device_id` is the device of the message, if the driver knows it.
    """

    def __init__(self, message: str, *, device_id: str | None = None) -> None:
        super().__init__(message)
        self.device_id = device_id


# What a driver says about an error goes into events and the status: a sentence, not a dump.
_TEXT_LENGTH_MAX = 300


def text_of(error: BaseException) -> str:
    """Return what an error says, short and such that UTF-8 can hold it."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - a driver's own class of errors can raise anything here
        text = ""
    return (text or type(error).__name__)[:_TEXT_LENGTH_MAX].encode(errors="replace").decode()


def sample_of(returned: object) -> Sample:
    """Return what a driver returned as a sample, each field of which is what it must be.

    Raises DriverFault, with the sample's device where it names one: types are no promise across this border.
    """
    sample = returned if type(returned) is Sample else _copy_of(returned)
    try:
        sample.check()
    except (TypeError, ValueError, AttributeError) as error:
        raise DriverFault(f"a sample that cannot be used: {text_of(error)}", device_id=device_of(sample)) from error
    return sample


def _copy_of(returned: object) -> Sample:
    """Copy a sample of a driver's own class: its attributes may change from one access to the next."""
    with driver_call():
        if not isinstance(returned, Sample):
            raise DriverFault(f"the driver returned {type(returned).__name__}, not a sample")
        return Sample(**{item.name: getattr(returned, item.name) for item in fields(Sample)})


class GuardedCall:
    """A call of a driver: allowed errors pass, all others become DriverFault, with the error as its cause.

    The rest is all of it: what ends a program (SystemExit, KeyboardInterrupt) is no driver's to raise. Ctrl-C and
    SIGTERM do not come this way: they set the event that stops the gateway, which then cancels the task. A class and
    not a generator: it stands around each poll and each message, and costs a third.
    """

    __slots__ = ("_cancelled_before", "_task")

    def __init__(self) -> None:
        self._task = _current_task()
        self._cancelled_before = 0 if self._task is None else self._task.cancelling()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        outcome = self.outcome(error)
        if outcome is not None and outcome is not error:
            raise outcome

    def outcome(self, error: BaseException | None) -> BaseException | None:
        """Return what is to be raised instead of what the call raised; the same if it may pass."""
        if self._task is not None and self._task.cancelling() > self._cancelled_before:
            # Cancelled meanwhile, so the task ends, whatever the driver made of it, or if it swallowed the
            # cancellation.
            return error if isinstance(error, asyncio.CancelledError) else _caused(asyncio.CancelledError(), error)
        if error is None or isinstance(error, DriverError | DriverFault):
            return error
        if isinstance(error, GeneratorExit) and _current_task() is not self._task:
            # The whole coroutine is closed from outside when its loop has ended; that is not the driver's doing.
            return error
        return _caused(_fault_of(error), error.__cause__ if isinstance(error, DecodingBroke) else error)


def driver_call() -> GuardedCall:
    """Guard what stands in the `with`, which is a call of a driver."""
    return GuardedCall()


def _caused(error: BaseException, cause: BaseException | None) -> BaseException:
    error.__cause__ = cause
    return error


def _fault_of(error: BaseException) -> DriverFault:
    if isinstance(error, asyncio.CancelledError):
        # Something the driver waited for was cancelled inside it. Passed on, it would end the collector without a
        # sound.
        return DriverFault("CancelledError, though nobody cancelled the call")
    bug = error.__cause__ or error if isinstance(error, DecodingBroke) else error
    name, text = type(bug).__name__, text_of(bug)
    return DriverFault(name if text == name else f"{name}: {text}", device_id=device_of(error))


def device_of(told: BaseException | Sample) -> str | None:
    """Return which device an error or a sample of a driver is about, if it says so."""
    try:
        device_id = getattr(told, "device_id", None)
    except BaseException:  # noqa: BLE001 - as in text_of
        return None
    return device_id if type(device_id) is str else None


class UnmadeDriver:
    """Stands for a driver that could not be made, until the gateway's next start: each opening says why."""

    def __init__(self, cause: Exception) -> None:
        self._cause = cause

    def open(self) -> AbstractAsyncContextManager[None]:
        """Raise DriverFault."""
        raise DriverFault(f"the driver could not be made: {text_of(self._cause)}") from self._cause

    async def poll(self, device_id: str) -> Sample:
        """Never called."""
        raise AssertionError(f"{device_id} was asked though its driver never opens")


def _current_task() -> "asyncio.Task[object] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        # No loop runs.
        return None
