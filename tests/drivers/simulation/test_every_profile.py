"""Whatever profile the library has: what the simulation says of such a device, our decoders understand, and rightly."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from drivers.decoders.dialogue import Ask, Dialogue, Fields, More, Pause
from drivers.decoders.frame import FrameMalformed
from drivers.decoders.modbus_device import DeviceCodec, ReadBlock
from drivers.decoders.sdi12 import measurement
from drivers.modbus.options import ModbusDeviceOptions
from drivers.mqtt.device import DeviceMessages, Message
from drivers.mqtt.options import MqttDeviceOptions
from drivers.mqtt.simulate import simulated_publishers
from drivers.serial.decoders import create_decoder
from drivers.serial.options import SerialDeviceOptions
from drivers.serial.points import DevicePoints
from drivers.serial.simulate import simulated_instruments
from drivers.simulation import mqtt_messages
from drivers.simulation.faults import Fault
from drivers.simulation.greenhouse import Greenhouse
from drivers.simulation.instruments import instruments, is_served
from drivers.simulation.line import Speaker
from drivers.simulation.mqtt_messages import Moment, MqttDevice
from drivers.simulation.register_map import RegisterMap
from drivers.simulation.sensors import COMPASS, Sensors, SimulatedDevice
from drivers.simulation.site import Shown, SimulatedSite
from edge.domain.reading import Quality, Reading, Value
from edge.domain.settings import DeviceSettings, Settings
from edge.settings.profile_places import packaged_profiles
from edge.settings.site import load_settings

NOW_MS = 1_800_000_000_000
PROFILES = sorted(packaged_profiles().glob("*.toml"))
HEAD = '[site]\nid = "s"\n[event_store]\nuri = "esdb://h:1?tls=false"\n[[connection]]\nid = "wire"\n'
CONNECTIONS = {
    "modbus": 'driver = "modbus"\nhost = "h"\n',
    "serial": 'driver = "serial"\nserial_port = "/dev/ttyUSB0"\n',
    "mqtt": 'driver = "mqtt"\nurl = "mqtt://h"\n',
}
# What a profile leaves to the site file.
OWN_KEYS = {"modbus": "address = 7\n", "serial": "", "mqtt": 'topic = "house/device"\n'}


class StillSite(SimulatedSite):
    """A site whose devices always show the same: what the test wants."""

    def __init__(self, now: Shown) -> None:
        self.now = now

    def fault(self, device: SimulatedDevice) -> Fault | None:  # noqa: ARG002
        return self.now.fault

    def shown(self, device: SimulatedDevice) -> Shown:  # noqa: ARG002
        return self.now


@cache
def noon() -> Greenhouse:
    return Greenhouse.at(13 * 3600.0, seed=1)


@pytest.fixture(scope="module", params=PROFILES, ids=lambda file: file.stem)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A site whose one device has this profile."""
    file = request.param
    assert isinstance(file, Path)
    return settings_of(file, tmp_path_factory.mktemp("site"))


def settings_of(profile: Path, folder: Path) -> Settings:
    driver = tomllib.loads(profile.read_text(encoding="utf-8"))["profile"]["driver"]
    text = f'{HEAD}{CONNECTIONS[driver]}[[connection.device]]\nid = "probe"\nprofile = "{profile.stem}"\n'
    address = 'address = "3"\n' if "sdi12" in profile.read_text(encoding="utf-8") else OWN_KEYS[driver]
    (folder / "site.toml").write_text(text + address, encoding="utf-8")
    return load_settings(folder / "site.toml")


def readings_of(settings: Settings, shown: Shown) -> Mapping[str, Reading]:
    (connection,) = settings.connections
    (device,) = connection.devices
    if isinstance(device.options, ModbusDeviceOptions):
        return modbus_readings(device, shown)
    if isinstance(device.options, SerialDeviceOptions):
        party = instruments(simulated_instruments(connection), StillSite(shown))
        return serial_readings(device, party)
    assert isinstance(device.options, MqttDeviceOptions)
    (publisher,) = simulated_publishers(connection)
    return mqtt_readings(device, publisher, shown)


def modbus_readings(device: DeviceSettings, shown: Shown) -> Mapping[str, Reading]:
    image = RegisterMap(SimulatedDevice(device_id=device.id, points=device.points)).image(shown)
    blocks = [
        ReadBlock(table=table, address=address, values=[held[place] for place in range(address, address + count)])
        for table, held in image.items()
        for address in held
        for count in range(1, 65)
        if all(place in held for place in range(address, address + count))
    ]
    return DeviceCodec(device).polled(blocks)


def serial_readings(device: DeviceSettings, speaker: Speaker) -> Mapping[str, Reading]:
    options = device.options
    assert isinstance(options, SerialDeviceOptions)
    points = DevicePoints(device)
    if options.decoder == "sdi12":
        return points.readings(answered(measurement(options.address, options.command), speaker))
    decoder = create_decoder(options)
    question = options.ask.replace("{address}", options.address).replace("{compensation}", "21.5").encode("latin-1")
    if options.decoder == "mhz19":
        question = bytes.fromhex("FF 01 86 00 00 00 00 00 79")
    said = speaker.heard(question, 0.0) if question else speaker.beat(0.0)
    fields: dict[str, object] = {}
    for frame in decoder.feed(b"".join(utterance.data for utterance in said)):
        fields.update(decoder.fields(frame))
    return points.readings(fields)  # type: ignore[arg-type]


def answered(dialogue: Dialogue[Fields], speaker: Speaker) -> Fields:
    """Hold a dialogue with a speaker whose words arrive at once."""
    frames: list[bytes] = []
    frame: bytes | None = None
    try:
        turn = next(dialogue)
        while True:
            if isinstance(turn, Ask):
                data = b"".join(utterance.data for utterance in speaker.heard(turn.data, 0.0))
                frames = data.split()
            assert isinstance(turn, Ask | Pause | More)
            frame = frames.pop(0) if frames else None
            turn = dialogue.send(frame)
    except StopIteration as end:
        fields: Fields = end.value
        return fields


def mqtt_readings(device: DeviceSettings, publisher: MqttDevice, shown: Shown) -> Mapping[str, Reading]:
    decoder = DeviceMessages(device, time_zone="Europe/Amsterdam")
    moment = Moment(now_ms=NOW_MS, time_zone="Europe/Amsterdam", number=7)
    readings: dict[str, Reading] = {}
    for outgoing in mqtt_messages.messages(publisher, shown, moment):
        message = Message(topic=outgoing.topic, payload=outgoing.payload, received_at_ms=NOW_MS + 50)
        for sample in decoder.decode(message):
            assert sample.measured_at_ms is None or abs(sample.measured_at_ms - NOW_MS) < 1001
            readings |= sample.readings
    return readings


def is_left_out(settings: Settings) -> bool:
    (connection,) = settings.connections
    if connection.driver == "serial":
        return not all(map(is_served, simulated_instruments(connection)))
    return connection.driver == "mqtt" and not all(map(mqtt_messages.is_served, simulated_publishers(connection)))


def shown_of(device: DeviceSettings, fault: Fault | None = None) -> Shown:
    simulated = SimulatedDevice(device_id=device.id, points=device.points)
    return Shown(values=Sensors(simulated, seed=3).measured(noon(), fault), fault=fault)


def test_no_profile_is_left_out(tmp_path: Path) -> None:
    assert not [file.stem for file in PROFILES if is_left_out(settings_of(file, tmp_path))]


def test_what_the_simulation_says_is_understood(site: Settings) -> None:
    (device,) = site.devices()
    shown = shown_of(device)
    readings = readings_of(site, shown)
    assert readings.keys() == shown.values.keys()
    for point in device.points:
        reading = readings[point.id]
        assert reading.quality is Quality.GOOD, point.id
        assert_near(reading.value, shown.values[point.id], point.id)
        if point.range is not None:
            assert isinstance(reading.value, float)
            assert point.range.low <= reading.value <= point.range.high


@pytest.mark.parametrize("fault", [Fault.NOT_A_NUMBER, Fault.OTHER_UNIT])
def test_a_device_that_ails_gives_no_wrong_number(site: Settings, fault: Fault) -> None:
    (device,) = site.devices()
    shown = shown_of(device, fault)
    try:
        readings = readings_of(site, shown)
    except FrameMalformed:  # a circuit without an output, a scale that is overloaded
        return
    for point in device.points:
        reading = readings.get(point.id)
        # A status word says what is wrong; the model knows nothing of it.
        if reading is not None and reading.quality is Quality.GOOD and point.publish:
            assert_near(reading.value, shown.values[point.id], point.id)


@pytest.mark.parametrize("fault", [Fault.SPIKE, Fault.ZERO, Fault.SATURATED])
def test_a_device_that_errs_is_still_understood(site: Settings, fault: Fault) -> None:
    (device,) = site.devices()
    readings = readings_of(site, shown_of(device, fault))
    assert readings.keys() == {point.id for point in device.points}


def assert_near(value: Value | None, shown: Value, name: str) -> None:
    if isinstance(shown, float) and isinstance(value, float):
        # Devices tell in steps: half a per cent of humidity, a whole volt.
        assert value == pytest.approx(shown, rel=0.02, abs=0.51), name


@pytest.mark.parametrize("hour", [3, 9, 15, 21])
def test_what_a_simulated_device_tells_twice_it_tells_alike(hour: int, tmp_path: Path) -> None:
    shown = {
        name: shown_at(hour, name, tmp_path)
        for name in ("dfrobot-sen0482", "vaisala-wxt530", "eastron-sdm630", "eastron-sdm120", "cas-scale")
    }
    vane, station = shown["dfrobot-sen0482"], shown["vaisala-wxt530"]
    assert vane["wind_sector"] == COMPASS[round(float(vane["wind_direction"]) / 22.5) % 16]
    assert float(station["wind_speed_min"]) <= float(station["wind_speed"]) <= float(station["wind_speed_max"])
    meter = {point_id: float(value) for point_id, value in shown["eastron-sdm630"].items()}
    assert meter["power_l1"] + meter["power_l2"] + meter["power_l3"] == pytest.approx(meter["power"], abs=20)
    assert shown["eastron-sdm120"]["energy_export"] == 0.0
    assert shown["cas-scale"]["stable"] is True


def shown_at(hour: int, profile: str, folder: Path) -> Mapping[str, Value]:
    (device,) = settings_of(packaged_profiles() / f"{profile}.toml", folder).connections[0].devices
    sensors = Sensors(SimulatedDevice(device_id=profile, points=device.points), seed=1)
    return sensors.measured(Greenhouse.at(hour * 3600.0, seed=1))
