"""The driver against instruments at pseudo-terminals."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

import drivers
from drivers.decoders.sdi12 import checksum
from drivers.serial.driver import SerialDriver
from drivers.serial.options import Compensation
from edge.domain.driver import (
    ConnectionLost,
    DeviceUnreachable,
    DriverContext,
    DriverMisconfigured,
    LatestReading,
    MalformedResponse,
    PolledDriver,
)
from edge.domain.reading import Reading, Reason, bad
from edge.domain.settings import DeviceSettings
from fakes.serial_peer import Behaviour, Circuit, Reply, plugged, silent
from fakes.serial_site import connection, device, ezo, opened, point


async def test_a_circuit_is_asked_for_its_value(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", Circuit()) as peer:
        async with opened(peer.link, ezo()) as driver:
            sample = await driver.poll("ezo")
    assert sample.device_id == "ezo"
    assert sample.readings == {"ph": Reading(value=7.01, unit="[pH]")}
    assert peer.requests == [b"R\r"]


async def test_an_echoing_adapter_is_tolerated(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", Circuit()) as peer:
        peer.is_echoing = True
        async with opened(peer.link, ezo()) as driver:
            assert (await driver.poll("ezo")).readings["ph"].value == 7.01


async def test_an_echo_that_looks_like_a_value_is_none(tmp_path: Path) -> None:
    node = device("node", point("level", 0), decoder="lines", ask="42\n")
    with plugged(tmp_path / "node", lambda _request: [Reply(b"17\r\n")], end=b"\n") as peer:
        peer.is_echoing = True
        async with opened(peer.link, node) as driver:
            assert (await driver.poll("node")).readings["level"].value == 17


async def test_a_pulled_plug_is_lost_at_once_and_found_again_under_its_name(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", silent) as peer:
        driver = SerialDriver(connection(peer.link, ezo(), response_timeout_ms=60_000), DriverContext())
        async with driver.open():
            polling = asyncio.ensure_future(driver.poll("ezo"))
            await peer.hear(2)
            peer.unplug()
            async with asyncio.timeout(5):
                with pytest.raises(ConnectionLost, match="is gone"):
                    await polling
            with pytest.raises(ConnectionLost, match="is gone"):
                await driver.poll("ezo")
        with pytest.raises(ConnectionLost, match="is the adapter plugged in"):
            async with driver.open():
                pass
        with pytest.raises(ConnectionLost, match="is not open"):
            await driver.poll("ezo")
        peer.behave = Circuit()
        peer.plug()
        async with driver.open():
            assert (await driver.poll("ezo")).readings["ph"].value == 7.01


async def test_what_comes_while_the_port_settles_is_dropped(tmp_path: Path) -> None:
    node = device("node", point("level", 0), decoder="lines")
    with plugged(tmp_path / "node") as peer:
        driver = SerialDriver(connection(peer.link, node, settle_ms=100, response_timeout_ms=200), DriverContext())
        asyncio.get_running_loop().call_later(0.01, peer.say, b"1\n2\n3\n")
        async with driver.open():
            with pytest.raises(DeviceUnreachable):
                await driver.poll("node")


async def test_answers_that_are_to_be_passed_over_are_asked_for_all_the_same(tmp_path: Path) -> None:
    numbers = iter(range(10))
    node = device("node", point("level", 0), decoder="lines", ask="?\n", discard_frames=2)
    with plugged(tmp_path / "node", lambda _request: [Reply(b"%d\n" % next(numbers))], end=b"\n") as peer:
        async with opened(peer.link, node) as driver:
            assert [(await driver.poll("node")).readings["level"].value for _ in range(2)] == [2, 3]


async def test_an_answer_in_several_lines_is_one_sample(tmp_path: Path) -> None:
    node = device("node", point("raw"), point("depth"), decoder="lines", layout="key_value", ask="?\n")
    reply = (Reply(b"raw=153\r\n"), Reply(b"depth=127 mm\r\n", 0.01))
    with plugged(tmp_path / "node", lambda _request: reply, end=b"\n") as peer:
        async with opened(peer.link, node) as driver:
            readings = (await driver.poll("node")).readings
    assert {name: reading.value for name, reading in readings.items()} == {"raw": 153, "depth": 127}


async def test_the_answer_of_another_address_is_not_taken(tmp_path: Path) -> None:
    stations = [
        device(
            f"station-{address}",
            point("temperature", "Ta"),
            decoder="wxt",
            ask="{address}R2\r\n",
            address=address,
            response_timeout_ms=200,
        )
        for address in "01"
    ]

    def confused(request: bytes) -> Sequence[Reply]:
        own = b"%cR2,Ta=2%c.0C\r\n" % (request[0], request[0])
        return (Reply(b"0R2,Ta=99.0C\r\n"), Reply(own)) if request.startswith(b"1") else (Reply(own),)

    with plugged(tmp_path / "wxt", confused, end=b"\n") as peer:
        async with opened(peer.link, *stations) as driver:
            samples = [await driver.poll(station.id) for station in stations]
    assert [sample.readings["temperature"].value for sample in samples] == [20.0, 21.0]


async def test_a_point_that_did_not_come_is_bad_and_the_other_is_kept(tmp_path: Path) -> None:
    node = device("node", point("raw", unit="1"), point("depth", unit="mm"), decoder="lines", layout="json", ask="?\n")
    with plugged(tmp_path / "node", lambda _request: [Reply(b'{"raw": 153}\n')], end=b"\n") as peer:
        async with opened(peer.link, node, response_timeout_ms=200) as driver:
            readings = (await driver.poll("node")).readings
    assert readings == {"raw": Reading(value=153, unit="1"), "depth": bad(Reason.COMM_ERROR, "mm")}


async def test_a_port_can_be_cancelled_and_used_again(tmp_path: Path) -> None:
    with plugged(tmp_path / "ezo", silent) as peer:
        async with opened(peer.link, ezo(), response_timeout_ms=200) as driver:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await driver.poll("ezo")
            peer.behave = Circuit()
            assert (await driver.poll("ezo")).readings["ph"].value == 7.01


class Bus:
    """Two SDI-12 sensors behind an adapter: 0 measures for a second and says when it is ready, b answers at once."""

    def __call__(self, request: bytes) -> Sequence[Reply]:
        replies = {
            b"0MC!": (Reply(b"00013\r\n"), Reply(b"0\r\n", 0.02)),
            b"0D0!": (Reply(self._checked("0+1807.82+21.0")),),
            b"0D1!": (Reply(self._checked("0+1")),),
            b"bR0!": (Reply(b"b-7.25\r\n"),),
        }
        return replies.get(request, ())

    @staticmethod
    def _checked(text: str) -> bytes:
        return (text + checksum(text) + "\r\n").encode()


def sensors() -> tuple[DeviceSettings, ...]:
    soil = device(
        "soil", point("counts", 0), point("temperature", 1), point("ec", 2), decoder="sdi12", address="0", command="MC"
    )
    return soil, *(
        device(f"tank-{address}", point("level", 0), decoder="sdi12", address=address, command="R0") for address in "bc"
    )


async def test_sensors_of_a_bus_are_measured_one_after_the_other(tmp_path: Path) -> None:
    with plugged(tmp_path / "sdi12", Bus(), end=b"!") as peer:
        peer.is_echoing = True
        async with opened(peer.link, *sensors(), format="7E1", response_timeout_ms=200) as driver:
            soil = await driver.poll("soil")
            with pytest.raises(DeviceUnreachable, match="tank-c"):
                await driver.poll("tank-c")
            tank = await driver.poll("tank-b")
    assert [reading.value for reading in soil.readings.values()] == [1807.82, 21.0, 1.0]
    assert tank.readings["level"].value == -7.25
    assert peer.requests == [b"0MC!", b"0D0!", b"0D1!", b"cR0!", b"bR0!"]


async def test_a_sensor_with_fewer_values_than_points_gives_none(tmp_path: Path) -> None:
    two = device("two", point("a", 0), point("b", 1), decoder="sdi12", address="b", command="R0")
    with plugged(tmp_path / "sdi12", Bus(), end=b"!") as peer:
        async with opened(peer.link, two, response_timeout_ms=200) as driver:
            with pytest.raises(MalformedResponse, match="there is no number 1"):
                await driver.poll("two")


async def test_a_device_that_speaks_by_itself_is_polled_like_the_others(tmp_path: Path) -> None:
    scale = device("scale", point("weight", unit="kg"), decoder="scale")
    with plugged(tmp_path / "scale") as peer:
        async with opened(peer.link, scale, response_timeout_ms=200) as driver:
            polling = asyncio.ensure_future(driver.poll("scale"))
            await asyncio.sleep(0)
            peer.say(b"00012.0kg\r\nST,GS,+00045.0kg\r\n")
            assert (await polling).readings == {"weight": Reading(value=45.0, unit="kg")}
            with pytest.raises(DeviceUnreachable, match="said nothing"):
                await driver.poll("scale")


async def test_an_unusual_speed_that_the_port_refuses_is_a_mistake_of_the_site_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: object) -> None:
        raise ValueError("Failed to set custom baud rate (12345)")

    monkeypatch.setattr("serial.Serial.open", refused)
    with plugged(tmp_path / "ezo") as peer, pytest.raises(DriverMisconfigured, match="12345"):
        async with opened(peer.link, ezo(), baud_rate=12345):
            pass


def late(chance: random.Random) -> Behaviour:
    """Answers each question by its own number, one in three only after the time-out."""

    def behave(request: bytes) -> Sequence[Reply]:
        after_s = chance.uniform(0.03, 0.04) if chance.random() < 1 / 3 else 0.0
        return (Reply(request.strip()[1:] + b".000\r", after_s),)

    return behave


async def test_no_late_answer_is_taken_for_the_next_ones_on_a_real_terminal(tmp_path: Path) -> None:
    numbers = iter(range(1, 1_000_000))
    asked: list[int] = []

    def next_number(_device_id: str, _point_id: str) -> LatestReading:
        asked.append(next(numbers))
        return LatestReading(reading=Reading(value=float(asked[-1]), unit=None), age_s=0)

    numbered = ezo(ask="R{compensation}\r", compensation=Compensation(device="n", point="n"))
    with plugged(tmp_path / "ezo", lambda request: late_peer(request.replace(b".0\r", b"\r"))) as peer:
        late_peer = late(random.Random(7))
        context = DriverContext(latest=next_number)
        async with opened(peer.link, numbered, context=context, response_timeout_ms=25, quiet_ms=5) as driver:
            answered = 0
            for _ in range(150):
                try:
                    reading = (await driver.poll("ezo")).readings["ph"]
                except DeviceUnreachable:
                    continue
                assert reading.value == asked[-1]
                answered += 1
    assert answered > 60


def test_the_registry_makes_a_polled_driver(tmp_path: Path) -> None:
    driver = drivers.driver_kind("serial").create(connection(tmp_path / "ezo", ezo()), DriverContext())
    assert isinstance(driver, PolledDriver)
