"""Drivers that give and raise what no contract allows. The gateway and the neighbours never notice."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.domain.driver import Driver, SeenName
from edge.domain.event import EventType
from edge.domain.reading import SOURCE_KEY_LENGTH_MAX, TEXT_LENGTH_MAX, Sample
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings
from edge.operate.status import as_json
from fakes.collect_run import Work, collect
from fakes.collect_site import connection, device, group, point
from fakes.odd_objects import ANY_TEXT, ANYTHING, ERRORS, ArrayNumber, changes_of, forced, samples
from fakes.scripted_driver import ScriptedGroupDriver, ScriptedPolledDriver, ScriptedPushedDriver, good

fuzzed = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class OddPolledDriver(ScriptedPolledDriver):
    """Its device `a` gives, or raises, one thing for ever."""

    def __init__(self, *, returned: object = None, raised: BaseException | None = None) -> None:
        super().__init__()
        self.returned = returned
        self.raised = raised

    async def poll(self, device_id: str) -> Sample:
        if device_id != "a":
            return await super().poll(device_id)
        await asyncio.sleep(0.01)
        if self.raised is not None:
            raise self.raised
        return self.returned  # type: ignore[return-value]


class OddPushedDriver(ScriptedPushedDriver):
    """Gives and raises what it finds in `arrivals`, whatever it is; `close_error` at the end."""

    def __init__(self, *, open_error: BaseException | None = None, close_error: BaseException | None = None) -> None:
        super().__init__()
        self.open_error = open_error
        self.close_error = close_error

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        if self.open_error is not None and self.opened == 0:
            self.opened += 1
            raise self.open_error
        self.opened += 1
        yield
        if self.close_error is not None:
            raise self.close_error

    async def receive(self) -> Sequence[Sample]:
        arrived: object = await self.arrivals.get()
        if isinstance(arrived, BaseException):
            raise arrived
        return arrived  # type: ignore[return-value]


def line(*names: str) -> ConnectionSettings:
    # Corrected and held back, so that each step of the way is gone.
    devices = (device(name, point(offset=0.1, deadband=0.5)) for name in names)
    return connection(*devices, connection_id="odd", groups=(group(),))


def beside(odd: Driver, *, seconds: float = 4.5, names: tuple[str, ...] = ("a", "b")) -> Work:
    """Let an odd driver work beside a good one, and look whether the good one was disturbed."""
    well = ScriptedPolledDriver()
    with structlog.testing.capture_logs():
        work = collect((line(*names), odd), (connection(device("well")), well), story=lambda _: asyncio.sleep(seconds))
    assert len(work.outbox.samples("well")) == len(well.poll_times("well")) == math.ceil(seconds)
    # What `status` shows.
    json.dumps(as_json(work.fleet.status())).encode()
    assert all(type(event.source_key) is bytes for event in work.outbox.events)
    assert all(len(event.source_key) <= SOURCE_KEY_LENGTH_MAX for event in work.outbox.events)
    return work


READING = good()
SAMPLE = Sample(device_id="a", readings={"air_temperature": READING})
FIELDS: list[tuple[object, str]] = [
    *(
        (forced(replace(SAMPLE), {name: value}), name)
        for name, value in (
            ("source_key", "a-message"),
            ("source_key", b"x" * (SOURCE_KEY_LENGTH_MAX + 1)),
            ("measured_at_ms", "2026-11-23T10:00:00Z"),
            ("measured_at_ms", datetime(2026, 11, 23, tzinfo=UTC)),
            ("measured_at_ms", True),
            ("measured_at_ms", 1e12),
            ("measured_at_ms", math.nan),
            ("measured_at_ms", -1),
            ("measured_at_ms", 10**18),
            ("origin", "live"),
            ("may_repeat", 1),
            ("device_id", None),
            ("device_id", ["a"]),
            ("readings", [READING]),
            ("readings", {1: READING}),
            ("readings", {"air_temperature": None}),
            ("readings", {"air_temperature": {"value": 21.4, "unit": "Cel"}}),
        )
    ),
    *(
        (forced(replace(SAMPLE), {"readings": {"air_temperature": forced(replace(READING), {name: value})}}), name)
        for name, value in (
            ("unit", b"Cel"),
            ("quality", "good"),
            ("reason", "sensor_fault"),
            ("value", [21.4]),
            ("value", b"21.4"),
            ("value", ArrayNumber(21.4)),
            ("value", Decimal("21.4")),
            ("value", math.inf),
            ("value", "\ud800"),
            ("value", "x" * (TEXT_LENGTH_MAX + 1)),
        )
    ),
]


@pytest.mark.parametrize(("sample", "name"), FIELDS)
def test_a_field_that_cannot_be_is_told_once_with_its_device_and_only_that_device_backs_off(
    sample: Sample, name: str
) -> None:
    polled = ScriptedPolledDriver()
    polled.answers["a"] = lambda: sample
    with structlog.testing.capture_logs() as logs:
        work = collect((line("a", "b"), polled), story=lambda _: asyncio.sleep(60.4))
    (raised,) = work.outbox.of(EventType.ALARM_RAISED)
    assert (raised.data["alarm"], raised.data["deviceId"]) == ("driver_fault", "a")
    assert name in raised.data["message"]
    (told,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (told["event"], told["device_id"]) == ("driver_failed", "a")
    assert len(polled.poll_times("a")) < 15
    assert len(polled.poll_times("b")) == 60
    assert polled.opened == 1


@pytest.mark.parametrize(("sample", "name"), [item for item in FIELDS if item[1] != "device_id"])
def test_a_field_that_cannot_be_is_told_of_its_device_and_the_sample_acknowledged(sample: Sample, name: str) -> None:
    pushed = ScriptedPushedDriver()
    right = Sample(device_id="b", readings={"air_temperature": good()})
    pushed.arrivals.put_nowait([sample, right, sample])
    work = collect((line("a", "b"), pushed), story=lambda _: asyncio.sleep(2))
    (raised,) = work.outbox.of(EventType.ALARM_RAISED)
    assert raised.data["deviceId"] == "a"
    assert name in raised.data["message"]
    assert len(work.outbox.samples("b")) == 1
    # Unacknowledged, it would come again and again; and what came after it could never be acknowledged.
    assert [id(one) for one in pushed.acknowledged] == [id(sample), id(right), id(sample)]
    assert pushed.opened == 1


def test_a_driver_may_keep_what_is_its_own_in_its_own_class_of_samples() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Numbered(Sample):
        number: int

    driver = ScriptedPushedDriver()
    sample = Numbered(device_id="a", readings={"air_temperature": good()}, number=7)
    driver.arrivals.put_nowait([sample])
    work = collect((line("a"), driver), story=lambda _: asyncio.sleep(2))
    assert len(work.outbox.samples("a")) == 1
    assert driver.acknowledged[0] is sample


def test_a_class_of_samples_that_changes_from_look_to_look_is_looked_at_once() -> None:
    class Fickle(Sample):
        looks = 0

        def __getattribute__(self, name: str) -> Any:
            if name == "source_key":
                Fickle.looks += 1
                return b"" if Fickle.looks < 3 else "a text"
            return super().__getattribute__(name)

    driver = ScriptedPolledDriver()
    driver.answers["a"] = lambda: Fickle(device_id="a", readings={"air_temperature": good()})
    with structlog.testing.capture_logs() as logs:
        work = collect((line("a"), driver), story=lambda _: asyncio.sleep(5.5))
    assert [event.source_key for event in work.outbox.samples("a")] == [b""]
    # Once for its birth, once for the copy; from then on each copy is refused.
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["driver_failed"]


def test_a_driver_that_goes_on_changing_its_readings_changes_no_sample() -> None:
    readings = {"air_temperature": good()}
    sample = Sample(device_id="a", readings=readings)
    readings["air_temperature"] = good(99.0)
    readings["other"] = good()
    assert sample.readings == {"air_temperature": good()}


@fuzzed
@given(samples("a"))
def test_whatever_a_poll_returns_the_gateway_and_the_other_devices_go_on(returned: object) -> None:
    work = beside(OddPolledDriver(returned=returned))
    assert work.outbox.samples("b")


@fuzzed
@given(ERRORS)
def test_whatever_a_poll_raises_the_gateway_goes_on(raised: BaseException) -> None:
    beside(OddPolledDriver(raised=raised))


@fuzzed
@given(samples("a"), ANYTHING)
def test_whatever_is_received_the_gateway_and_the_other_devices_go_on(one: object, all_of_it: object) -> None:
    driver = OddPushedDriver()
    right = Sample(device_id="b", readings={"air_temperature": good()})
    for arrived in ([one, right], all_of_it, [one]):
        driver.arrivals.put_nowait(arrived)  # type: ignore[arg-type]
    work = beside(driver)
    # Beside the odd one, in one batch.
    assert len(work.outbox.samples("b")) == 1
    assert any(sample is right for sample in driver.acknowledged)


class OddGroupDriver(ScriptedGroupDriver):
    """Tells of names, of its window and of acknowledgements whatever a test wants."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        super().__init__()
        self._odd = answers

    def _answer(self, of: str) -> Any:
        answer = self._odd[of]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def seen(self) -> Sequence[SeenName]:
        return self._answer("seen")  # type: ignore[no-any-return]

    def appeared(self) -> Sequence[tuple[DeviceGroup, str]]:
        return self._answer("appeared")  # type: ignore[no-any-return]

    def adopt(self, device: DeviceSettings) -> None:
        super().adopt(device)
        self._answer("adopt")

    def accepted(self, samples: Sequence[Sample]) -> None:
        super().accepted(samples)
        self._answer("accepted")

    @property
    def window(self) -> int:
        return self._answer("window")  # type: ignore[no-any-return]


def newcomers() -> st.SearchStrategy[object]:
    return st.lists(st.tuples(st.just(group()) | ANYTHING, ANY_TEXT | ANYTHING) | ANYTHING, max_size=3) | ANYTHING


def seen_names() -> st.SearchStrategy[object]:
    told = SeenName(group_id="radio-{name}", name="x", topic="radio/x", last_seen_ms=1, reason="not in names")
    return st.lists(changes_of(SeenName).map(lambda changes: forced(replace(told), changes)) | ANYTHING) | ANYTHING


@fuzzed
@given(
    st.fixed_dictionaries(
        {
            "seen": seen_names() | ERRORS,
            "appeared": newcomers() | ERRORS,
            "adopt": st.none() | ERRORS,
            "accepted": st.none() | ERRORS,
            "window": ANYTHING | ERRORS,
        }
    )
)
def test_whatever_a_driver_tells_of_names_window_and_acknowledgements_the_gateway_goes_on(
    answers: dict[str, object],
) -> None:
    driver = OddGroupDriver(answers)
    driver.arrivals.put_nowait([Sample(device_id="b", readings={"air_temperature": good()})])
    beside(driver, seconds=9.5)


@fuzzed
@given(ERRORS, ERRORS, ERRORS)
def test_whatever_receive_open_and_close_raise_the_gateway_goes_on(
    opening: BaseException, receiving: BaseException, closing: BaseException
) -> None:
    driver = OddPushedDriver(open_error=opening, close_error=closing)
    for _ in range(3):
        driver.arrivals.put_nowait(receiving)
    driver.arrivals.put_nowait([Sample(device_id="b", readings={"air_temperature": good()})])
    work = beside(driver, seconds=119.5)
    assert work.outbox.samples("b")
