"""The simulated RTU line, asked with frames that were made by somebody else."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.modbus_frame import crc16
from drivers.simulation.faults import Fault
from drivers.simulation.line import Speaker
from drivers.simulation.rtu_bus import RtuBus
from edge.domain.settings import DeviceSettings
from fakes.modbus_site import device, point
from fakes.simulated_house import ChosenSite, units_of

# Each followed by its CRC, as manuals print them (those that are right).
REQUEST = bytes.fromhex("01 04 00 01 00 02 20 0B")


def probe() -> DeviceSettings:
    temperature = point("t", 1, table="input", type="int16", scale=0.1, quantity="air_temperature")
    humidity = point("h", 2, table="input", scale=0.1, quantity="relative_humidity")
    return device("probe", temperature, humidity, point("valve", 5, table="coil", type="bool", unit=None))


@cache
def site(fault: Fault | None) -> ChosenSite:
    site = ChosenSite()
    site.values["probe"] = {"t": 30.5, "h": 54.6, "valve": False}
    site.chosen[""] = fault
    return site


def bus(fault: Fault | None = None) -> RtuBus:
    return RtuBus(units_of(site(fault), probe()))


def said(speaker: Speaker, data: bytes, now_s: float = 0.0) -> bytes:
    return b"".join(utterance.data for utterance in speaker.heard(data, now_s))


def framed(text: str) -> bytes:
    frame = bytes.fromhex(text)
    return frame + crc16(frame)


def test_the_checksum_is_the_one_of_the_manuals() -> None:
    assert crc16(REQUEST[:-2]) == REQUEST[-2:]


def test_a_request_is_answered() -> None:
    assert said(bus(), REQUEST) == framed("01 04 04 01 31 02 22")


@given(st.binary(max_size=12), st.integers(1, 7))
def test_a_request_is_found_behind_noise_and_in_pieces(noise: bytes, cut: int) -> None:
    line = bus()
    answer = said(line, noise) + said(line, REQUEST[:cut]) + said(line, REQUEST[cut:])
    assert answer.endswith(framed("01 04 04 01 31 02 22"))


def test_a_torn_request_is_forgotten_after_a_pause() -> None:
    line = bus()
    assert said(line, REQUEST[:5], 10.0) == b""
    assert said(line, REQUEST[5:], 10.5) == b""
    assert said(line, REQUEST, 11.0) == framed("01 04 04 01 31 02 22")


def test_a_wrong_checksum_another_unit_and_nonsense_are_not_answered() -> None:
    line = bus()
    for data in (REQUEST[:-1] + b"\0", framed("02 04 00 01 00 02"), b"", b"\0" * 300):
        assert said(line, data) == b""


@pytest.mark.parametrize(
    ("request_hex", "answer_hex"),
    [
        ("01 04 00 01 00 00", "01 84 03"),
        ("01 04 00 01 00 7E", "01 84 03"),
        ("01 03 00 01 00 01", "01 83 02"),
        ("01 04 00 02 00 02", "01 84 02"),
        ("01 2B 0E 01 00", "01 AB 01"),
        ("01 01 00 05 00 01", "01 01 01 00"),
        ("01 05 00 05 FF 00", "01 05 00 05 FF 00"),
        ("01 06 02 00 00 07", "01 06 02 00 00 07"),
        ("01 10 02 00 00 02 04 00 01 00 02", "01 10 02 00 00 02"),
        ("01 10 02 00 00 02 02 00 01", "01 90 03"),
        ("01 10 1C 00 00 00 00", "01 10 1C 00 00 00"),
        ("01 0F 00 05 00 02 01 03", "01 0F 00 05 00 02"),
    ],
)
def test_reads_writes_and_refusals(request_hex: str, answer_hex: str) -> None:
    assert said(bus(), framed(request_hex)) == framed(answer_hex)


def test_a_written_coil_stays_written() -> None:
    line = bus()
    said(line, framed("01 05 00 05 FF 00"))
    assert said(line, framed("01 01 00 05 00 01")) == framed("01 01 01 01")


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(data: bytes) -> None:
    line = bus()
    said(line, data)
    assert said(line, REQUEST, 99.0) == framed("01 04 04 01 31 02 22")


def test_echo_banner_and_noise_are_on_the_line() -> None:
    answer = framed("01 04 04 01 31 02 22")
    assert said(bus(Fault.ECHO), REQUEST) == REQUEST + answer
    assert said(bus(Fault.BANNER), REQUEST).endswith(answer)
    assert said(bus(Fault.BANNER), REQUEST) != answer
    noisy = said(bus(Fault.NOISE), REQUEST)
    differing = [first ^ second for first, second in zip(noisy, answer, strict=True) if first != second]
    assert len(differing) == 1
    assert differing[0].bit_count() == 1
    (late,) = bus(Fault.LATE).heard(REQUEST, 0.0)
    assert (late.data, late.after_s > 0) == (answer, True)
