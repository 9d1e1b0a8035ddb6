"""What simulated devices publish, decoded by the real driver's decoder, and over a real broker."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from drivers.decoders.json_path import parse_path
from drivers.mqtt.device import DeviceMessages, Message
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.simulate import simulated_publishers
from drivers.simulation import broker as broker_module
from drivers.simulation.broker import open_broker
from drivers.simulation.faults import MQTT_FAULTS, Fault
from drivers.simulation.mqtt_messages import Outgoing, _placed
from drivers.simulation.mqtt_publisher import KEPT_MAX, SimulatedPublisher, publishing
from edge.domain.driver import DeviceUnreachable, DriverContext
from edge.domain.reading import Origin, Reason, Sample
from edge.domain.settings import ConnectionSettings
from edge.settings.site import load_settings
from fakes.peers import peer
from fakes.simulated_house import ChosenSite

HEAD = '[site]\nid = "s"\ntime_zone = "Europe/Amsterdam"\n[event_store]\nuri = "esdb://h:1?tls=false"\n'
NOW_MS = 1_800_000_000_000
ZIGBEE = 'id = "table"\nprofile = "zigbee2mqtt-climate"\ntopic = "zigbee2mqtt/table"'
TASMOTA = 'id = "packing"\nprofile = "tasmota-sht3x"\ntopic = "packing"'
LORA = 'id = "slab"\nprofile = "milesight-em500-smtc"\ntopic = "v3/a@t/devices/d/up"'


@pytest.fixture
def mosquitto() -> str:
    """The program: without it the test is skipped, visibly, and in CI it fails."""
    return peer("mosquitto")


@cache
def site() -> ChosenSite:
    return ChosenSite()


def connection(folder: Path, *devices: str, url: str = "mqtt://h", groups: str = "") -> ConnectionSettings:
    text = f'{HEAD}[[connection]]\nid = "radio"\ndriver = "mqtt"\nurl = "{url}"\n'
    text += "".join(f"[[connection.device]]\n{device}\n" for device in devices)
    (folder / "site.toml").write_text(text + groups, encoding="utf-8")
    return load_settings(folder / "site.toml").connections[0]


class Listener:
    """A publisher, and what our own decoder understands of it."""

    def __init__(self, folder: Path, device: str) -> None:
        settings = connection(folder, device)
        (publisher,) = simulated_publishers(settings)
        self.site = site()
        self.site.chosen.clear()
        self.publisher = SimulatedPublisher(publisher, self.site, time_zone="Europe/Amsterdam")
        self.decoder = DeviceMessages(settings.devices[0], time_zone="Europe/Amsterdam")
        self.presence: list[bool] = []

    def turn(self, now_ms: int = NOW_MS, fault: Fault | None = None) -> tuple[Sequence[Outgoing], Sequence[Sample]]:
        self.site.chosen[""] = fault
        outgoing = list(self.publisher.turn(now_ms))
        samples: list[Sample] = []
        for item in outgoing:
            message = Message(
                topic=item.topic, payload=item.payload, is_retained=item.is_retained, received_at_ms=now_ms
            )
            is_there = self.decoder.availability(message)
            if is_there is not None:
                self.presence.append(is_there)
            samples += self.decoder.decode(message)
        return outgoing, samples


def test_a_device_says_that_it_is_there_once_and_measures_each_turn(tmp_path: Path) -> None:
    table = Listener(tmp_path, ZIGBEE)
    first, samples = table.turn()
    assert {item.topic for item in first} == {
        "zigbee2mqtt/table",
        "zigbee2mqtt/table/availability",
        "zigbee2mqtt/bridge/state",
    }
    assert all(item.is_retained == (item.topic != "zigbee2mqtt/table") for item in first)
    assert table.presence[-1]
    assert samples[0].readings.keys() >= {"air_temperature", "relative_humidity"}
    assert len(table.turn()[0]) == 1


def test_a_device_that_goes_says_so_and_its_bridge_stays(tmp_path: Path) -> None:
    table = Listener(tmp_path, ZIGBEE)
    table.turn()
    outgoing, samples = table.turn(fault=Fault.OFFLINE)
    words = {item.topic: json.loads(item.payload) for item in outgoing}
    assert words["zigbee2mqtt/table/availability"] == {"state": "offline"}
    assert words["zigbee2mqtt/bridge/state"] == {"state": "online"}
    assert not table.presence[-1]
    assert samples == []
    assert table.turn(fault=Fault.OFFLINE) == ([], [])
    table.turn()
    assert table.presence == [True, True, False, False, True, True]
    assert [json.loads(item.payload)["state"] for item in table.publisher.farewell()] == ["offline", "online"]


def test_a_wrong_clock_is_not_believed(tmp_path: Path) -> None:
    packing = Listener(tmp_path, TASMOTA)
    (right,) = packing.turn()[1]
    # Tasmota tells whole seconds.
    assert right.measured_at_ms == NOW_MS
    outgoing, (wrong,) = packing.turn(fault=Fault.WRONG_CLOCK)
    assert json.loads(outgoing[0].payload)["Time"][:4] in {"1970", "2018"}
    assert wrong.measured_at_ms is None


def test_a_duplicate_has_the_same_identity(tmp_path: Path) -> None:
    slab = Listener(tmp_path, LORA)
    first, again = slab.turn(fault=Fault.DUPLICATE)[1]
    (later,) = slab.turn(NOW_MS + 60_000)[1]
    assert first.source_key == again.source_key
    assert first.source_key != later.source_key
    assert first.may_repeat


def test_history_is_kept_back_and_sent_later_with_its_own_time(tmp_path: Path) -> None:
    packing = Listener(tmp_path, TASMOTA)
    packing.turn()
    for number in range(KEPT_MAX + 10):
        assert packing.turn(NOW_MS + 1000 * number, Fault.HISTORY) == ([], [])
    samples = packing.turn(NOW_MS + 3_600_000)[1]
    times = [sample.measured_at_ms for sample in samples]
    assert len(times) == KEPT_MAX + 1
    assert times == sorted(times)  # type: ignore[type-var] # none is None
    assert times[0] == NOW_MS + 10_000


def test_what_is_retained_is_stale(tmp_path: Path) -> None:
    (sample,) = Listener(tmp_path, ZIGBEE).turn(fault=Fault.RETAINED)[1]
    assert sample.origin is Origin.RETAINED
    assert {reading.reason for reading in sample.readings.values()} == {Reason.STALE}


def test_another_unit_is_named_and_understood(tmp_path: Path) -> None:
    packing = Listener(tmp_path, TASMOTA)
    (usual,) = packing.turn()[1]
    outgoing, (changed,) = packing.turn(fault=Fault.OTHER_UNIT)
    document = json.loads(outgoing[0].payload)
    assert document["TempUnit"] == "F"
    assert document["SHT3X"]["Temperature"] > 60
    before, after = usual.readings["air_temperature"].value, changed.readings["air_temperature"].value
    assert after == pytest.approx(before, abs=0.5)


def test_a_broken_sensor_is_a_fault_and_no_number(tmp_path: Path) -> None:
    for device in (ZIGBEE, TASMOTA, LORA):
        for sample in Listener(tmp_path, device).turn(fault=Fault.NOT_A_NUMBER)[1]:
            assert {reading.reason for reading in sample.readings.values()} == {Reason.SENSOR_FAULT}


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a.b.c",
        '"temperature:0".tC',
        "Distance[0]",
        "a[2][1].b",
        'metrics[name="Supply"].value',
        '*[Id="00000566CC39"].Temperature',
        'a[x=3].b[y="z"].c',
    ],
)
def test_a_value_is_put_where_a_path_finds_it(path: str) -> None:
    document = _placed(parse_path(path), 21.5, {"other": 1})
    assert parse_path(path).find(document) == 21.5
    assert parse_path("other").find(document) == 1


def test_every_fault_of_messages_is_spoken(tmp_path: Path) -> None:
    for fault in MQTT_FAULTS:
        Listener(tmp_path, LORA).turn(fault=fault)


def samples_by_device(samples: Sequence[Sample]) -> Mapping[str, Sample]:
    return {sample.device_id: sample for sample in samples}


async def hears_a_farewell(driver: MqttDriver) -> bool:
    while True:
        try:
            driver.accepted(await driver.receive())
        except DeviceUnreachable:
            return True


@pytest.mark.usefixtures("mosquitto")
async def test_the_driver_hears_the_devices_and_the_newcomer_of_a_group(tmp_path: Path) -> None:
    groups = (
        '[[connection.device_group]]\nid = "zigbee-{name}"\nprofile = "zigbee2mqtt-climate"\n'
        'topic = "zigbee2mqtt/{name}"\nnames = ["hall"]\nexcept = ["zigbee2mqtt/bridge/#"]\n'
    )
    async with open_broker(listen="127.0.0.1") as broker:
        assert broker is not None
        settings = connection(tmp_path, TASMOTA, LORA, url=broker.url, groups=groups)
        publishers = [SimulatedPublisher(device, site()) for device in simulated_publishers(settings)]
        site().chosen.clear()
        driver = MqttDriver(settings, DriverContext())
        heard: dict[str, Sample] = {}
        async with driver.open(), publishing(publishers, broker, now_ms=lambda: NOW_MS, interval_s=0.2):
            async with asyncio.timeout(20):
                while heard.keys() != {"packing", "slab", "zigbee-hall"} or not driver.seen():
                    samples = await driver.receive()
                    driver.accepted(samples)
                    heard |= samples_by_device(samples)
            assert [name.name for name in driver.seen()] == ["newcomer-1"]
        async with driver.open(), asyncio.timeout(20):
            assert await hears_a_farewell(driver)


@pytest.mark.usefixtures("mosquitto")
async def test_a_broker_keeps_its_port() -> None:
    async with open_broker(listen="127.0.0.1") as first:
        assert first is not None
    async with open_broker(listen="127.0.0.1", port=first.port) as second:
        assert second is not None
        assert second.url == first.url
        # A port that somebody has is replaced.
        async with open_broker(listen="127.0.0.1", port=first.port) as third:
            assert third is not None
            assert third.port != first.port


async def test_without_any_broker_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "mosquitto", lambda: None)
    monkeypatch.setattr(broker_module, "find_spec", lambda _name: None)
    assert not broker_module.is_available()
    async with open_broker(listen="127.0.0.1") as broker:
        assert broker is None


PARENT = """
import asyncio, sys
from drivers.simulation.broker import open_broker
async def main():
    async with open_broker(listen="127.0.0.1") as broker:
        print(broker.port, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.usefixtures("mosquitto")
async def test_a_broker_does_not_outlive_us_however_we_end() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    port = int(await parent.stdout.readline())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    parent.kill()
    await parent.communicate()
    # The connection ends with the broker.
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()
