"""What a device is told before its question, and what goes into the question."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from drivers.serial.driver import SerialDriver
from drivers.serial.options import Compensation
from edge.domain.driver import DeviceUnreachable, DriverContext, LatestReading, MalformedResponse
from edge.domain.reading import Quality, Reading, Reason, bad
from fakes.serial_peer import Circuit, Reply, plugged, silent
from fakes.serial_site import connection, ezo, opened


async def test_the_setup_goes_before_the_first_question_and_again_after_each_opening(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", Circuit()) as peer:
        driver = SerialDriver(connection(peer.link, ezo(setup=("C,0\r",))), DriverContext())
        for _ in range(2):
            async with driver.open():
                await driver.poll("ezo")
                await driver.poll("ezo")
    assert peer.requests == [b"C,0\r", b"R\r", b"R\r"] * 2


async def test_a_restart_in_the_middle_of_an_answer_has_the_setup_applied_and_the_question_repeated(
    tmp_path: Path,
) -> None:
    circuit = Circuit()

    def restarts_once(request: bytes) -> Sequence[Reply]:
        if request == b"R\r" and not circuit.is_continuous:
            circuit.is_continuous = True
            peer.behave = circuit
            return (Reply(b"*RS\r*RE\r1.000\r"),)
        return circuit(request)

    with plugged(tmp_path / "ezo", restarts_once) as peer:
        async with opened(peer.link, ezo(setup=("C,0\r",))) as driver:
            sample = await driver.poll("ezo")
    assert sample.readings["ph"].value == 7.01
    assert not circuit.is_continuous
    assert peer.requests == [b"C,0\r", b"R\r"] * 2


async def test_a_restart_during_the_setup_has_all_of_it_repeated(tmp_path: Path) -> None:
    circuit = Circuit()

    def restarts_once(_request: bytes) -> Sequence[Reply]:
        peer.behave = circuit
        return (Reply(b"*RE\r"),)

    with plugged(tmp_path / "ezo", restarts_once) as peer:
        async with opened(peer.link, ezo(setup=("C,0\r",))) as driver:
            assert (await driver.poll("ezo")).readings["ph"].value == 7.01
    assert not circuit.is_continuous


async def test_a_circuit_that_restarts_all_the_time_gives_no_value(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", lambda _request: [Reply(b"*RE\r1.000\r")]) as peer:
        async with opened(peer.link, ezo(setup=("C,0\r",))) as driver:
            with pytest.raises(MalformedResponse, match="restarts again and again"):
                await driver.poll("ezo")


async def test_a_device_that_was_silent_is_set_up_again(tmp_path: Path) -> None:
    circuit = Circuit()
    with plugged(tmp_path / "ezo", circuit) as peer:
        async with opened(peer.link, ezo(setup=("C,0\r",)), response_timeout_ms=200) as driver:
            await driver.poll("ezo")
            peer.behave = silent
            with pytest.raises(DeviceUnreachable, match=r"^ezo at .*ezo did not answer within 0.2 s$"):
                await driver.poll("ezo")
            peer.behave = circuit
            await driver.poll("ezo")
    assert peer.requests == [b"C,0\r", b"R\r", b"R\r", b"C,0\r", b"R\r"]


async def test_a_setup_line_that_is_refused_does_not_cost_the_value(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", Circuit()) as peer:
        async with opened(peer.link, ezo(setup=("O,TDS,0\r",), setup_pause_ms=100), response_timeout_ms=200) as driver:
            sample = await driver.poll("ezo")
    assert sample.readings["ph"].value == 7.01


async def test_a_text_that_is_no_reading_is_told_with_its_frame(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", lambda _request: [Reply(b"?I,pH,1.96\r")]) as peer:
        async with opened(peer.link, ezo(), response_timeout_ms=200) as driver:
            with pytest.raises(MalformedResponse, match="answer to another command") as caught:
                await driver.poll("ezo")
    assert caught.value.__notes__ == ["frame: b'?I,pH,1.96'"]


COMPENSATED = {
    "ask": "RT,{compensation}\r",
    "compensation": Compensation(device="tank", point="water", max_age_s=60, fallback=20),
}


@pytest.mark.parametrize(
    ("latest", "asked", "reason"),
    [
        (LatestReading(reading=Reading(value=18.333333, unit="Cel"), age_s=59), b"RT,18.333\r", None),
        (LatestReading(reading=Reading(value=18.3, unit="Cel"), age_s=61), b"RT,20.0\r", Reason.UNCOMPENSATED),
        (LatestReading(reading=bad(Reason.SENSOR_FAULT, "Cel"), age_s=1), b"RT,20.0\r", Reason.UNCOMPENSATED),
        (
            LatestReading(
                reading=Reading(value=99.0, unit="Cel", quality=Quality.UNCERTAIN, reason=Reason.OUT_OF_RANGE), age_s=1
            ),
            b"RT,20.0\r",
            Reason.UNCOMPENSATED,
        ),
        (None, b"RT,20.0\r", Reason.UNCOMPENSATED),
    ],
)
async def test_a_compensated_reading_is_only_as_good_as_the_other_points(
    latest: LatestReading | None, asked: bytes, reason: Reason | None, tmp_path: Path
) -> None:
    wanted: list[tuple[str, str]] = []

    def look_up(device_id: str, point_id: str) -> LatestReading | None:
        wanted.append((device_id, point_id))
        return latest

    with plugged(tmp_path / "ezo", Circuit()) as peer:
        async with opened(peer.link, ezo(**COMPENSATED), context=DriverContext(latest=look_up)) as driver:
            reading = (await driver.poll("ezo")).readings["ph"]
    assert wanted == [("tank", "water")]
    assert peer.requests == [asked]
    quality = Quality.GOOD if reason is None else Quality.UNCERTAIN
    assert reading == Reading(value=7.01, unit="[pH]", quality=quality, reason=reason)


async def test_without_a_compensation_25_degrees_are_sent_and_the_value_is_uncertain(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", Circuit()) as peer:
        async with opened(peer.link, ezo(ask="RT,{compensation}\r")) as driver:
            reading = (await driver.poll("ezo")).readings["ph"]
    assert peer.requests == [b"RT,25.0\r"]
    assert reading.reason is Reason.UNCOMPENSATED
