"""What the model says comes out of the driver again: through registers, sockets and the profile."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from drivers.modbus.driver import ModbusDriver
from drivers.modbus.options import ModbusDeviceOptions
from drivers.simulation.faults import Fault
from drivers.simulation.greenhouse import Greenhouse
from drivers.simulation.modbus_server import PortTaken, serve_host
from drivers.simulation.sensors import Sensors, ServedUnit
from drivers.simulation.site import ServedHost, SimulatedSite, encoded
from edge.domain.driver import DeviceUnreachable, MalformedResponse
from edge.domain.quantity import Conversion
from edge.domain.reading import Reason
from edge.domain.settings import DeviceSettings, PointSettings
from fakes.modbus_site import connection, device, point

NOON_S = 12 * 3600.0

POINTS = (
    point("air_temperature", 1, table="input", type="int16", scale=0.1, quantity="air_temperature"),
    point("relative_humidity", 2, table="input", scale=0.1, quantity="relative_humidity"),
    point("ec", 5, type="uint32", word_order="CDAB", quantity="ec", conversion=Conversion(factor=0.001)),
    point("photons", 20, type="float32", word_order="DCBA", quantity="photon_flux_density"),
    point("co2", 3, table="input", quantity="co2_concentration", invalid_raw=(0xFFFF,)),
)


class Hands:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def bench(address: int = 7, points: tuple[PointSettings, ...] = POINTS, device_id: str = "bench") -> DeviceSettings:
    return device(device_id, *points, options=ModbusDeviceOptions(address=address))


def unit_of(settings: DeviceSettings) -> ServedUnit:
    assert isinstance(settings.options, ModbusDeviceOptions)
    return ServedUnit(device_id=settings.id, address=settings.options.address, points=settings.points)


def still_site(clock: Hands | None = None, *, has_faults: bool = False) -> SimulatedSite:
    greenhouse = Greenhouse.at(NOON_S, seed=1)
    return SimulatedSite(greenhouse, now_s=clock or Hands(), seed=1, has_faults=has_faults)


@asynccontextmanager
async def polled_site(site: SimulatedSite, *devices: DeviceSettings) -> AsyncIterator[ModbusDriver]:
    host = ServedHost(connection_id="wire", units=[unit_of(each) for each in devices])
    async with serve_host(host, site, listen="127.0.0.1") as port:
        driver = ModbusDriver(connection(port, *devices, response_timeout_ms=150))
        async with driver.open():
            yield driver


async def values_of(driver: ModbusDriver, device_id: str = "bench") -> Mapping[str, float]:
    readings = (await driver.poll(device_id)).readings
    return {name: reading.value for name, reading in readings.items() if isinstance(reading.value, float)}


async def test_a_poll_gives_what_the_sensors_measure() -> None:
    truth = Sensors(unit_of(bench()), seed=1).measured(Greenhouse.at(NOON_S, seed=1))
    async with polled_site(still_site(), bench()) as driver:
        values = await values_of(driver)
    assert values.keys() == truth.keys()
    # Two polls of a jittering sensor, and a tenth of resolution; the encoding itself is compared in the next test.
    for name, value in values.items():
        assert value == pytest.approx(truth[name], rel=0.05, abs=0.5), name


async def test_known_values_come_back_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"air_temperature": -3.2, "relative_humidity": 61.4, "ec": 70.123, "photons": 812.5, "co2": 944.0}
    site = still_site()
    monkeypatch.setattr(site, "image", lambda unit: encoded(unit, known))
    async with polled_site(site, bench()) as driver:
        assert await values_of(driver) == known


async def test_coils_come_back_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"pump": 3, "valve": 17, "alarm": 18, "lamp": 40}
    points = tuple(point(name, at, table="coil", type="bool") for name, at in places.items())
    site = still_site()
    monkeypatch.setattr(site, "image", lambda unit: encoded(unit, {"pump": 1, "valve": 0, "alarm": 1, "lamp": 1}))
    async with polled_site(site, bench(points=points)) as driver:
        readings = (await driver.poll("bench")).readings
    assert {name: reading.value for name, reading in readings.items()} == {
        "pump": True,
        "valve": False,
        "alarm": True,
        "lamp": True,
    }


async def test_the_site_files_correction_makes_the_value_true() -> None:
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
    site = still_site()
    level = Greenhouse.at(NOON_S, seed=1).indoor()["water_level"]
    async with polled_site(site, bench(points=(probe,))) as driver:
        values = await values_of(driver)
    assert values["water_level"] * 2.0 - 26.0 == pytest.approx(level, abs=5)


async def test_time_passes_for_all_devices_of_a_site() -> None:
    clock = Hands()
    site = still_site(clock)
    async with polled_site(site, bench(), bench(8, device_id="other")) as driver:
        before = await values_of(driver)
        for clock.now_s in (6 * 3600.0, 12 * 3600.0):
            after = await values_of(driver, "other")
    assert before["photons"] > 100
    assert after["photons"] < 20


async def test_devices_that_share_a_unit_share_its_registers() -> None:
    climate, light = bench(7, POINTS[:2]), bench(7, POINTS[3:4], "light")
    async with polled_site(still_site(), climate, light) as driver:
        assert (await values_of(driver)).keys() == {"air_temperature", "relative_humidity"}
        assert (await values_of(driver, "light")).keys() == {"photons"}


async def test_a_unit_that_is_not_there_is_silent_and_a_register_that_is_not_there_is_refused() -> None:
    site = still_site()
    host = ServedHost(connection_id="wire", units=[unit_of(bench())])
    devices = (bench(9, device_id="absent"), bench(7, (point("t", 999),), "wrong"))
    async with serve_host(host, site, listen="127.0.0.1") as port:
        driver = ModbusDriver(connection(port, *devices, response_timeout_ms=50))
        async with driver.open():
            with pytest.raises(DeviceUnreachable):
                await driver.poll("absent")
            with pytest.raises(MalformedResponse, match="exception 2"):
                await driver.poll("wrong")


async def test_a_port_that_is_taken_is_named() -> None:
    site = still_site()
    host = ServedHost(connection_id="wire", units=[unit_of(bench())])
    async with serve_host(host, site, listen="127.0.0.1") as port:
        with pytest.raises(PortTaken, match=str(port)):
            async with serve_host(host, site, listen="127.0.0.1", port=port):
                pass


async def test_faults_show_as_silence_refusal_and_bad_values(monkeypatch: pytest.MonkeyPatch) -> None:
    site = still_site()
    fault: list[Fault | None] = [None]
    monkeypatch.setattr(site, "fault", lambda _unit: fault[0])
    async with polled_site(site, bench()) as driver:
        good = await values_of(driver)
        fault[0] = Fault.SILENT
        with pytest.raises(DeviceUnreachable):
            await driver.poll("bench")
        fault[0] = Fault.BUSY
        with pytest.raises(MalformedResponse, match="exception 6"):
            await driver.poll("bench")
        fault[0] = Fault.NOT_A_NUMBER
        readings = (await driver.poll("bench")).readings
        assert {name for name, reading in readings.items() if reading.reason is Reason.SENSOR_FAULT} == {
            "photons",
            "co2",
        }
        fault[0] = None
        good = await values_of(driver)
        fault[0] = Fault.STUCK
        assert await values_of(driver) == await values_of(driver)
        assert (await values_of(driver)).keys() == good.keys()


async def test_a_late_answer_keeps_its_own_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """pymodbus's own server stamps it with the newest request's, which would make it another unit's value."""
    site = still_site()
    units = (bench(7, POINTS[:1]), bench(8, POINTS[:1], "other"))
    cold, warm = {"air_temperature": 1.0}, {"air_temperature": 30.0}
    monkeypatch.setattr(site, "image", lambda unit: encoded(unit, cold if unit.address == 7 else warm))
    monkeypatch.setattr(site, "fault", lambda unit: Fault.LATE if unit.address == 7 else None)
    # Later than the time-out, and then at once: before the other unit's answer is read.
    monkeypatch.setattr("drivers.simulation.modbus_server.LATE_BY_S", 0.2)
    async with polled_site(site, *units) as driver:
        for _ in range(5):
            with pytest.raises(DeviceUnreachable):
                await driver.poll("bench")
            assert await values_of(driver, "other") == warm


async def test_a_seeded_timetable_switches_faults_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float, int]] = []

    def timetable(device_id: str, elapsed_s: float, seed: int) -> Fault | None:
        calls.append((device_id, elapsed_s, seed))
        return Fault.BUSY

    monkeypatch.setattr("drivers.simulation.site.fault_at", timetable)
    clock = Hands()
    clock.now_s = 100.0
    site = still_site(clock, has_faults=True)
    clock.now_s = 107.0
    assert site.fault(unit_of(bench())) is Fault.BUSY
    assert calls == [("bench", 7.0, 1)]
    assert still_site(clock).fault(unit_of(bench())) is None
