"""What the model says comes out of the driver again: through registers, wires and the profile."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from drivers.decoders.modbus_options import StatusRule
from drivers.modbus.driver import ModbusDriver
from drivers.modbus.options import ModbusConnectionOptions, ModbusDeviceOptions, SetupWrite
from drivers.simulation.faults import MODBUS_RTU_FAULTS, Fault
from drivers.simulation.greenhouse import Greenhouse
from drivers.simulation.modbus_server import PortTaken, serve_host
from drivers.simulation.modbus_units import ModbusUnits
from drivers.simulation.pty_line import open_line
from drivers.simulation.rtu_bus import RtuBus
from drivers.simulation.sensors import Sensors
from edge.domain.driver import DeviceUnreachable, MalformedResponse
from edge.domain.quantity import Conversion
from edge.domain.reading import Reason
from edge.domain.settings import DeviceSettings, PointSettings
from fakes.modbus_site import device, on_line, point
from fakes.simulated_house import NOON_S, ChosenSite, Hands, simulated, unit_of, units_of

Way = Literal["tcp", "rtu_over_tcp", "serial"]

POINTS = (
    point("air_temperature", 1, table="input", type="int16", scale=0.1, quantity="air_temperature"),
    point("relative_humidity", 2, table="input", scale=0.1, quantity="relative_humidity"),
    point("ec", 5, type="uint32", word_order="CDAB", quantity="ec", conversion=Conversion(factor=0.001)),
    point("photons", 20, type="float32", word_order="DCBA", quantity="photon_flux_density"),
    point("co2", 3, table="input", quantity="co2_concentration", invalid_raw=(0xFFFF,)),
)


@pytest.fixture(params=["tcp", "rtu_over_tcp", "serial"])
def way(request: pytest.FixtureRequest) -> Way:
    way: Way = request.param
    return way


def bench(address: int = 7, points: tuple[PointSettings, ...] = POINTS, device_id: str = "bench") -> DeviceSettings:
    return device(device_id, *points, options=ModbusDeviceOptions(address=address))


@asynccontextmanager
async def served(way: Way, units: ModbusUnits, folder: Path) -> AsyncIterator[ModbusConnectionOptions]:
    """Serve units, and say where they are."""
    if way == "serial":
        async with open_line(folder / "wire", RtuBus(units)) as line:
            yield ModbusConnectionOptions(
                transport=way, serial_port=str(line.link), response_timeout_ms=150, quiet_ms=10
            )
        return
    async with serve_host(units, listen="127.0.0.1", framing="tcp" if way == "tcp" else "rtu") as port:
        yield ModbusConnectionOptions(
            transport=way, host="127.0.0.1", tcp_port=port, response_timeout_ms=150, quiet_ms=10
        )


@asynccontextmanager
async def polled_site(
    way: Way, folder: Path, site: ChosenSite, *devices: DeviceSettings
) -> AsyncIterator[ModbusDriver]:
    async with served(way, units_of(site, *devices), folder) as options:
        driver = ModbusDriver(on_line(options, *devices))
        async with driver.open():
            yield driver


async def values_of(driver: ModbusDriver, device_id: str = "bench") -> Mapping[str, float]:
    readings = (await driver.poll(device_id)).readings
    return {name: reading.value for name, reading in readings.items() if isinstance(reading.value, float)}


async def test_a_poll_gives_what_the_sensors_measure(way: Way, tmp_path: Path) -> None:
    truth = Sensors(simulated(bench()), seed=1).measured(Greenhouse.at(NOON_S, seed=1))
    async with polled_site(way, tmp_path, ChosenSite(), bench()) as driver:
        values = await values_of(driver)
    assert values.keys() == truth.keys()
    # Two polls of a jittering sensor, and a tenth of resolution; the encoding itself is compared in the next test.
    for name, value in values.items():
        assert value == pytest.approx(truth[name], rel=0.05, abs=0.5), name


async def test_known_values_come_back_exactly(way: Way, tmp_path: Path) -> None:
    known = {"air_temperature": -3.2, "relative_humidity": 61.4, "ec": 70.123, "photons": 812.5, "co2": 944.0}
    site = ChosenSite()
    site.values["bench"] = {**known}
    async with polled_site(way, tmp_path, site, bench()) as driver:
        assert await values_of(driver) == known


async def test_coils_come_back_bit_by_bit(way: Way, tmp_path: Path) -> None:
    places = {"pump": 3, "valve": 17, "alarm": 18, "lamp": 40}
    points = tuple(point(name, at, table="coil", type="bool", unit=None) for name, at in places.items())
    site = ChosenSite()
    site.values["bench"] = {"pump": True, "valve": False, "alarm": True, "lamp": True}
    async with polled_site(way, tmp_path, site, bench(points=points)) as driver:
        readings = (await driver.poll("bench")).readings
    assert {name: reading.value for name, reading in readings.items()} == site.values["bench"]


async def test_what_is_written_at_the_start_is_taken_and_kept(way: Way, tmp_path: Path) -> None:
    setup = (SetupWrite(address=49_999, value=1084), SetupWrite(frame="10 1C 00 00 00 00"))
    options = ModbusDeviceOptions(address=7, setup=setup)
    settings = device("bench", POINTS[0], point("gain", 49_999, unit=None), options=options)
    async with polled_site(way, tmp_path, ChosenSite(), settings) as driver:
        assert (await values_of(driver))["gain"] == 1084


async def test_the_site_files_correction_makes_the_value_true(tmp_path: Path) -> None:
    probe = PointSettings(
        id="water_level",
        quantity="water_level",
        type=POINTS[0].type,
        unit="mm",
        conversion=Conversion(),
        options=point("water_level", type="float32").options,
        offset=-26.0,
        gain=2.0,
    )
    level = Greenhouse.at(NOON_S, seed=1).indoor()["water_level"]
    async with polled_site("tcp", tmp_path, ChosenSite(), bench(points=(probe,))) as driver:
        values = await values_of(driver)
    assert values["water_level"] * 2.0 - 26.0 == pytest.approx(level, abs=5)


async def test_time_passes_for_all_devices_of_a_site(tmp_path: Path) -> None:
    clock = Hands()
    async with polled_site("tcp", tmp_path, ChosenSite(clock), bench(), bench(8, device_id="other")) as driver:
        before = await values_of(driver)
        for clock.now_s in (6 * 3600.0, 12 * 3600.0):
            after = await values_of(driver, "other")
    assert before["photons"] > 100
    assert after["photons"] < 20


async def test_devices_that_share_a_unit_share_its_registers(way: Way, tmp_path: Path) -> None:
    climate, light = bench(7, POINTS[:2]), bench(7, POINTS[3:4], "light")
    async with polled_site(way, tmp_path, ChosenSite(), climate, light) as driver:
        assert (await values_of(driver)).keys() == {"air_temperature", "relative_humidity"}
        assert (await values_of(driver, "light")).keys() == {"photons"}


async def test_a_unit_that_is_not_there_is_silent_and_a_register_that_is_not_there_is_refused(
    way: Way, tmp_path: Path
) -> None:
    devices = (bench(9, device_id="absent"), bench(7, (point("t", 999),), "wrong"))
    async with served(way, units_of(ChosenSite(), bench()), tmp_path) as options:
        driver = ModbusDriver(on_line(options, *devices))
        async with driver.open():
            with pytest.raises(DeviceUnreachable):
                await driver.poll("absent")
            with pytest.raises(MalformedResponse, match="exception 2"):
                await driver.poll("wrong")


async def test_a_port_that_is_taken_is_named() -> None:
    units = units_of(ChosenSite(), bench())
    async with serve_host(units, listen="127.0.0.1") as port:
        with pytest.raises(PortTaken, match=str(port)):
            async with serve_host(units, listen="127.0.0.1", port=port):
                pass


async def test_a_client_that_speaks_something_else_is_hung_up_on() -> None:
    async with serve_host(units_of(ChosenSite(), bench()), listen="127.0.0.1") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


async def test_a_server_ends_while_clients_are_there(tmp_path: Path) -> None:
    async with polled_site("tcp", tmp_path, ChosenSite(), bench()) as driver:
        assert await values_of(driver)


async def test_faults_show_as_silence_refusal_and_bad_values(way: Way, tmp_path: Path) -> None:
    site = ChosenSite()
    async with polled_site(way, tmp_path, site, bench()) as driver:
        good = await values_of(driver)
        for gone in (Fault.SILENT, Fault.OFFLINE):
            site.chosen[""] = gone
            with pytest.raises(DeviceUnreachable):
                await driver.poll("bench")
        site.chosen[""] = Fault.BUSY
        with pytest.raises(MalformedResponse, match="exception 6"):
            await driver.poll("bench")
        site.chosen[""] = Fault.NOT_A_NUMBER
        readings = (await driver.poll("bench")).readings
        faulty = {name for name, reading in readings.items() if reading.reason is Reason.SENSOR_FAULT}
        assert faulty == {"photons", "co2"}
        site.chosen[""] = Fault.SPIKE
        assert (await values_of(driver))["co2"] > good["co2"] + 5000
        site.chosen[""] = Fault.ZERO
        assert (await values_of(driver))["ec"] == 0
        site.chosen[""] = Fault.STUCK
        assert await values_of(driver) == await values_of(driver)


async def test_a_status_register_tells_of_a_broken_sensor(tmp_path: Path) -> None:
    rule = StatusRule(mask=0x7C, points=("air_temperature",))
    status = point("status", 30, table="input", bad_when_bits=rule, unit=None)
    site = ChosenSite()
    async with polled_site("tcp", tmp_path, site, bench(points=(POINTS[0], status))) as driver:
        assert (await driver.poll("bench")).readings["air_temperature"].reason is None
        site.chosen[""] = Fault.NOT_A_NUMBER
        assert (await driver.poll("bench")).readings["air_temperature"].reason is Reason.SENSOR_FAULT


@pytest.mark.parametrize("fault", [Fault.ECHO, Fault.BANNER])
@pytest.mark.parametrize("way", ["rtu_over_tcp", "serial"])
async def test_the_driver_hears_the_answer_behind_an_echo_and_a_greeting(
    way: Way, fault: Fault, tmp_path: Path
) -> None:
    known = {"air_temperature": -3.2, "relative_humidity": 61.4, "ec": 70.123, "photons": 812.5, "co2": 944.0}
    site = ChosenSite()
    site.values["bench"] = {**known}
    site.chosen[""] = fault
    async with polled_site(way, tmp_path, site, bench()) as driver:
        assert await values_of(driver) == known


@pytest.mark.parametrize("way", ["rtu_over_tcp", "serial"])
async def test_noise_is_no_value(way: Way, tmp_path: Path) -> None:
    site = ChosenSite()
    site.chosen[""] = Fault.NOISE
    async with polled_site(way, tmp_path, site, bench(points=POINTS[:1])) as driver:
        for _ in range(5):
            with pytest.raises((DeviceUnreachable, MalformedResponse)):
                await driver.poll("bench")


async def test_a_late_answer_is_nobody_elses(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = ChosenSite()
    units = (bench(7, POINTS[:1]), bench(8, POINTS[:1], "other"))
    site.values = {"bench": {"air_temperature": 1.0}, "other": {"air_temperature": 30.0}}
    site.chosen["bench"] = Fault.LATE
    # Later than the time-out, and then at once: before the other unit's answer is read.
    monkeypatch.setattr("drivers.simulation.modbus_server.LATE_BY_S", 0.2)
    monkeypatch.setattr("drivers.simulation.line.LATE_BY_S", 0.2)
    async with polled_site(way, tmp_path, site, *units) as driver:
        for _ in range(5):
            with pytest.raises(DeviceUnreachable):
                await driver.poll("bench")
            assert await values_of(driver, "other") == {"air_temperature": 30.0}


async def test_a_seeded_timetable_switches_faults_on() -> None:
    clock = Hands()
    site, calm = ChosenSite(clock, faults=(Fault.BUSY, Fault.ECHO)), ChosenSite(clock)
    served_unit = unit_of(bench(), MODBUS_RTU_FAULTS).device
    seen = set()
    for clock.now_s in range(0, 20_000, 10):
        seen.add(site.fault(served_unit))
        assert calm.fault(served_unit) is None
    assert seen == {None, Fault.BUSY, Fault.ECHO}
