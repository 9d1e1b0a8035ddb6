import asyncio

import pytest

from edge.collect.guard import DriverFault, device_of, driver_call, sample_of, text_of
from edge.domain.driver import ConnectionLost, DeviceUnreachable
from fakes.odd_objects import UnspeakableError, VendorsExit


@pytest.mark.parametrize("error", [DeviceUnreachable("x"), ConnectionLost("y"), DriverFault("z")])
def test_named_errors_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, driver_call():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        *(KeyError("x"), TimeoutError(), RecursionError(), AssertionError()),
        *(SystemExit(3), KeyboardInterrupt(), GeneratorExit(), VendorsExit("enough"), StopIteration()),
        BaseExceptionGroup("one", [KeyboardInterrupt()]),
    ],
)
def test_any_other_error_becomes_a_fault_with_its_cause(error: BaseException) -> None:
    with pytest.raises(DriverFault, match=type(error).__name__) as caught, driver_call():
        raise error
    assert caught.value.__cause__ is error


async def test_a_cancellation_that_nobody_asked_for_is_a_fault() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    with pytest.raises(DriverFault, match="nobody cancelled"), driver_call():
        await future


async def test_a_cancellation_from_outside_passes() -> None:
    async def call() -> None:
        with driver_call():
            await asyncio.sleep(3600)

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("made_of_it", [None, ConnectionLost("gone"), KeyError("x"), SystemExit(3)])
async def test_a_driver_cannot_swallow_or_rename_a_cancellation(made_of_it: BaseException | None) -> None:
    async def call() -> None:
        with driver_call():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if made_of_it is not None:
                    raise made_of_it from None
        pytest.fail("it went on")

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_coroutine_that_is_closed_from_outside_closes() -> None:
    async def call() -> None:
        with driver_call():
            await asyncio.get_running_loop().create_future()

    coroutine = call()
    coroutine.send(None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(coroutine.close))


def test_only_samples_are_samples() -> None:
    with pytest.raises(DriverFault, match="NoneType"):
        sample_of(None)


def test_what_an_error_says_fits_into_an_event() -> None:
    assert text_of(ValueError("x" * 1000)) == "x" * 300
    assert text_of(ValueError("\udc80")) == "?"
    assert text_of(ValueError()) == "ValueError"
    assert text_of(UnspeakableError()) == "UnspeakableError"


@pytest.mark.parametrize("device_id", [None, 7, ["a"], b"a"])
def test_only_a_text_names_a_device(device_id: object) -> None:
    error = DeviceUnreachable()
    error.device_id = device_id  # type: ignore[assignment]
    assert device_of(error) is None
    assert device_of(DeviceUnreachable(device_id="a")) == "a"


def test_an_error_that_never_called_its_base_class_names_no_device() -> None:
    class Forgetful(DeviceUnreachable):
        def __init__(self) -> None:
            self.code = 7

    assert device_of(Forgetful()) is None
