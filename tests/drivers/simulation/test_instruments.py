"""Simulated instruments, asked by raw commands of their manuals and by the real driver over a port."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoders.sdi12 import checksum
from drivers.serial.driver import SerialDriver
from drivers.serial.simulate import simulated_instruments
from drivers.simulation import ezo_circuit, sdi12_bus
from drivers.simulation.faults import Fault
from drivers.simulation.instruments import instruments
from drivers.simulation.line import Speaker
from drivers.simulation.pty_line import open_line
from drivers.simulation.raw_values import inverted, polynomial, written
from edge.domain.driver import DeviceUnreachable, DriverContext, MalformedResponse
from edge.domain.reading import Reading, Value
from edge.domain.settings import ConnectionSettings
from edge.settings.site import load_settings
from fakes.simulated_house import ChosenSite

HEAD = '[site]\nid = "s"\n[event_store]\nuri = "esdb://h:1?tls=false"\n'
VALUES: Mapping[str, dict[str, Value]] = {
    "acid": {"ph": 5.812},
    "slab": {"raw_counts": 2301.0, "substrate_temperature": -3.25, "ec": 3.4},
    "drain": {"water_level": 127.0, "water_temperature": 16.4, "ec": 2.9},
    "mast": {"wind_direction": 212.0, "wind_speed": 5.8, "outside_temperature": 21.4, "air_pressure": 1013.2},
}


@cache
def shared_site() -> ChosenSite:
    return ChosenSite()


@pytest.fixture
def site() -> ChosenSite:
    site = shared_site()
    site.chosen.clear()
    site.values = {name: {**values} for name, values in VALUES.items()}
    return site


def connection(port: str, *devices: str) -> ConnectionSettings:
    text = f'{HEAD}[[connection]]\nid = "port"\ndriver = "serial"\nserial_port = "{port}"\n'
    text += "".join(f"[[connection.device]]\n{device}\n" for device in devices)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.toml"
        file.write_text(text, encoding="utf-8")
        return load_settings(file).connections[0]


def speaker(site: ChosenSite, *devices: str) -> Speaker:
    return instruments(simulated_instruments(connection("/dev/p", *devices)), site)


def said(speaker: Speaker, data: bytes) -> bytes:
    return b"".join(utterance.data for utterance in speaker.heard(data, 0.0))


@asynccontextmanager
async def driver(
    site: ChosenSite, folder: Path, *devices: str, quick: pytest.MonkeyPatch
) -> AsyncIterator[SerialDriver]:
    """Open the real driver on a simulated port whose instruments hurry."""
    quick.setattr(ezo_circuit, "READING_S", 0.01)
    quick.setattr(sdi12_bus, "READY_S", 0.01)
    quick.setattr("drivers.simulation.pty_line.BEAT_S", 0.02)
    settings = connection(str(folder / "port"), *devices)
    async with open_line(folder / "port", speaker(site, *devices)):
        driver = SerialDriver(settings, DriverContext())
        async with driver.open():
            yield driver


async def values_of(driver: SerialDriver, device_id: str) -> Mapping[str, Value | None]:
    readings: Mapping[str, Reading] = (await driver.poll(device_id)).readings
    return {name: reading.value for name, reading in readings.items()}


EZO = 'id = "acid"\nprofile = "ezo-ph"\nresponse_timeout_ms = 300'
TEROS = 'id = "slab"\nprofile = "meter-teros-12"\naddress = "1"'
DRAIN = 'id = "drain"\nprofile = "decagon-ctd-10"\naddress = "3"\ncommand = "MC"'
MAST = 'id = "mast"\nprofile = "nmea-weather"'


def test_an_ezo_circuit_answers_as_its_datasheet_says(site: ChosenSite) -> None:
    circuit = speaker(site, EZO)
    assert b"".join(word.data for word in circuit.beat(0.0)) == b"5.812\r"
    assert said(circuit, b"C,0\r") == b"*OK\r"
    assert circuit.beat(0.0) == []
    assert said(circuit, b"C,?\r") == b"?C,0\r*OK\r"
    assert said(circuit, b"R\r") == b"5.812\r*OK\r"
    assert said(circuit, b"RT,2") + said(circuit, b"1.5\r") == b"5.812\r*OK\r"
    assert said(circuit, b"i\r") == b"?I,pH,2.16\r*OK\r"
    assert said(circuit, b"Status\r").startswith(b"?Status,P,")
    assert said(circuit, b"T,19.5\r") == b"*OK\r"
    assert said(circuit, b"banana\r") == b"*ER\r"
    assert said(circuit, b"*OK,0\r") == b""
    assert said(circuit, b"R\r") == b"5.812\r"
    assert said(circuit, b"Factory\r") == b"*RS\r*RE\r"


def test_an_ezo_circuit_suffers(site: ChosenSite) -> None:
    circuit = speaker(site, EZO)
    site.chosen[""] = Fault.NOT_A_NUMBER
    assert said(circuit, b"R\r") == b"no output\r*OK\r"
    site.chosen[""] = Fault.BANNER
    assert said(circuit, b"R\r") == b"*RS\r*RE\r5.812\r*OK\r"
    site.chosen[""] = Fault.SILENT
    assert said(circuit, b"R\r") == b""
    site.chosen[""] = Fault.ECHO
    assert said(circuit, b"R\r") == b"R\r5.812\r*OK\r"


def test_sdi12_sensors_share_a_bus(site: ChosenSite) -> None:
    bus = speaker(site, TEROS, DRAIN)
    assert said(bus, b"1M!") == b"10013\r\n1\r\n"
    assert said(bus, b"1D0!") == b"1+2301-3.25+3400\r\n"
    assert said(bus, b"1D1!") == b"1\r\n"
    assert said(bus, b"1C!") == b"100103\r\n"
    assert said(bus, b"3MC!") == b"30013\r\n3\r\n"
    answer = said(bus, b"3D0!")
    assert answer == f"3+127+16.4+2900{checksum('3+127+16.4+2900')}\r\n".encode()
    assert said(bus, b"3R0!") == b"3+127+16.4+2900\r\n"
    assert said(bus, b"1!") == b"1\r\n"
    assert said(bus, b"1I!").startswith(b"114")
    for silent in (b"?!", b"2M!", b"1Q!", b"!", b"\xff!"):
        assert said(bus, silent) == b""


def test_the_wild_card_finds_the_only_sensor(site: ChosenSite) -> None:
    assert said(speaker(site, TEROS), b"?!") == b"1\r\n"


def test_values_that_do_not_fit_into_one_answer_come_in_the_next(site: ChosenSite) -> None:
    points = "".join(f"[connection.device.point.p{number}]\nfield = {number}\npublish = false\n" for number in range(9))
    site.values["many"] = {f"p{number}": 1234.5 + number for number in range(9)}
    bus = speaker(site, f'id = "many"\ndecoder = "sdi12"\naddress = "a"\n{points}')
    assert said(bus, b"aM!").startswith(b"a0019\r\n")
    parts = [said(bus, f"aD{number}!".encode()) for number in range(3)]
    assert all(len(part) <= 35 + 3 for part in parts)
    assert b"".join(part[1:-2] for part in parts) == b"".join(f"+{1234.5 + n}".encode() for n in range(9))


@given(st.binary(max_size=60))
def test_any_bytes_are_survived_and_the_next_command_is_answered(data: bytes) -> None:
    site = shared_site()
    site.chosen.clear()
    site.values = {name: {**values} for name, values in VALUES.items()}
    for device, command, answer in all_speakers():
        said(device, data)
        assert said(device, command).endswith(answer)


@cache
def all_speakers() -> list[tuple[Speaker, bytes, bytes]]:
    site = shared_site()
    return [
        (speaker(site, EZO), b"\rR\r", b"5.812\r*OK\r"),
        (speaker(site, TEROS), b"!1R0!", b"1+2301-3.25+3400\r\n"),
    ]


async def test_the_driver_reads_a_circuit_over_a_port(
    site: ChosenSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with driver(site, tmp_path, EZO, quick=monkeypatch) as serial:
        assert await values_of(serial, "acid") == VALUES["acid"]
        site.chosen[""] = Fault.NOT_A_NUMBER
        with pytest.raises(MalformedResponse):
            await serial.poll("acid")


async def test_the_driver_reads_a_bus_of_sensors_over_a_port(
    site: ChosenSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with driver(site, tmp_path, TEROS, DRAIN, quick=monkeypatch) as serial:
        assert await values_of(serial, "slab") == VALUES["slab"]
        assert await values_of(serial, "drain") == VALUES["drain"]
        site.chosen["slab"] = Fault.OFFLINE
        with pytest.raises(DeviceUnreachable):
            await serial.poll("slab")
        assert await values_of(serial, "drain") == VALUES["drain"]


async def test_the_driver_hears_a_mast_that_speaks_by_itself(
    site: ChosenSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with driver(site, tmp_path, MAST, quick=monkeypatch) as serial:
        assert await values_of(serial, "mast") == VALUES["mast"]
        site.chosen[""] = Fault.OTHER_UNIT
        await serial.poll("mast")
        values = await values_of(serial, "mast")
        assert values["air_pressure"] == 1013.2


@given(st.floats(-50, 150), st.floats(0.001, 5), st.floats(0, 0.001))
def test_a_curve_is_inverted(offset: float, slope: float, bend: float) -> None:
    def curve(raw: float) -> float:
        return polynomial((offset, slope, bend), raw)

    assert curve(inverted(curve, curve(1234.0))) == pytest.approx(curve(1234.0), abs=1e-6)
    # What the curve never reaches is its nearest end.
    assert inverted(curve, offset - 1) == 0


@pytest.mark.parametrize(
    ("raw", "text"), [(21.5, "21.5"), (-0.0, "0"), (3.0, "3"), (0.1 + 0.2, "0.3"), (True, "true"), ("x", "x")]
)
def test_numbers_are_written_as_instruments_do(raw: Value, text: str) -> None:
    assert written(raw) == text
