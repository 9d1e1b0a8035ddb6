import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from edge.control.places import DaemonNote, make_runtime_directory, runtime_directory, write_note
from edge.control.server import serve_control
from edge.domain.event import Json
from edge.operate.status import json_pieces
from fakes.background import beside
from fakes.command_line import site_file, told, typed
from fakes.modbus_peer import misbehaving_peer
from fakes.modbus_units import image, units
from fakes.mosquitto import Mosquitto, mosquitto, publish
from fakes.serial_peer import Circuit, SerialPeer, plugged

MODBUS = """
[[connection]]
id = "wire"
driver = "modbus"
host = "127.0.0.1"
tcp_port = {port}
response_timeout_ms = 100
quiet_ms = 1
  [[connection.device]]
  id = "bench3"
  profile = "xy-md02"
  address = 3
    [connection.device.point.air_temperature]
    offset = -0.5
  [[connection.device]]
  id = "bench4"
  profile = "xy-md02"
  address = 4
"""
TANK = """
[[connection]]
id = "port"
driver = "serial"
serial_port = "{port}"
quiet_ms = 1
  [[connection.device]]
  id = "tank"
  profile = "ezo-ph"
"""
BROKER = """
[[connection]]
id = "broker"
driver = "mqtt"
url = "{url}"
  [[connection.device]]
  id = "office"
  profile = "json-climate"
  topic = "office/sensor1"
  [[connection.device]]
  id = "attic"
  profile = "json-climate"
  topic = "attic"
"""
GOOD: dict[str, Json] = {"value": 21.5, "unit": "Cel", "quality": "good", "reason": None}


@pytest.fixture(autouse=True)
def private_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not tmp_path: a socket's address must be short.
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield make_runtime_directory()


def test_devices_are_read_over_their_own_wires(tmp_path: Path) -> None:
    with beside(lambda: misbehaving_peer(units({3: image(4, 1, 220, 600)}))) as peer:
        file = site_file(tmp_path, MODBUS.format(port=peer.port))
        found = told("read", file, "bench3")["devices"]
        both = typed("read", file)
    assert found["bench3"]["readings"]["air_temperature"] == GOOD
    assert both.exit_code == 75
    assert both.stdout.splitlines()[:3] == ["bench3:", "  air_temperature    21.5 °C", "  relative_humidity  60 %"]
    assert both.stdout.splitlines()[3].startswith("bench4: unit 4 at 127.0.0.1")


def test_a_wire_that_is_not_there_spoils_no_other(tmp_path: Path) -> None:
    link = tmp_path / "port"

    @asynccontextmanager
    async def circuit() -> AsyncIterator[SerialPeer]:
        with plugged(link, Circuit(b"6.120")) as peer:
            yield peer

    with beside(circuit):
        file = site_file(tmp_path, TANK.format(port=link) + MODBUS.format(port=1))
        found = told("read", file, "tank", "bench3", code=75)["devices"]
    # No compensation is named in the site file.
    assert found["tank"]["readings"]["ph"] == {
        "value": 6.12,
        "unit": "[pH]",
        "quality": "uncertain",
        "reason": "uncompensated",
    }
    assert "127.0.0.1:1" in found["bench3"]["error"]


def test_an_answer_that_makes_no_sense_is_exit_1(tmp_path: Path) -> None:
    with beside(lambda: misbehaving_peer(units({3: {}}))) as peer:
        result = typed("read", site_file(tmp_path, MODBUS.format(port=peer.port)), "bench3")
    assert result.exit_code == 1
    assert "exception 2" in result.stdout


def test_a_device_that_is_not_there_is_usage_and_a_wrong_file_78(tmp_path: Path) -> None:
    file = site_file(tmp_path, MODBUS.format(port=1))
    result = typed("read", file, "bench9")
    assert result.exit_code == 2
    assert "there are: bench3, bench4" in result.stderr
    file.write_text(file.read_text() + "adress = 5\n")
    assert typed("read", file).exit_code == 78


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as running:
        yield running


def test_who_speaks_by_itself_is_waited_for(broker: Mosquitto, tmp_path: Path) -> None:
    publish(broker.port, [("office/sensor1", '{"temperature": 21.5}')], retain=True)
    file = site_file(tmp_path, BROKER.format(url=broker.url))
    found = told("read", file, "--timeout", 1, code=75)["devices"]
    # Nobody says when it was.
    assert found["office"]["readings"]["air_temperature"] == GOOD | {"quality": "uncertain", "reason": "stale"}
    assert found["attic"] == {"error": "said nothing within 1 s"}


def test_reading_by_hand_takes_nothing_from_the_daemons_session(broker: Mosquitto, tmp_path: Path) -> None:
    file = site_file(tmp_path, BROKER.format(url=broker.url).replace("url =", 'client_id = "daemon"\nurl ='))
    publish(broker.port, [("office/sensor1", '{"temperature": 21.5}')], retain=True)
    told("read", file, "office", "--timeout", 5)
    typed("scan", file, "broker", "--seconds", 0.2)
    assert "as daemon" not in broker.log
    visits = [line for line in broker.log.splitlines() if " as edgevisitor" in line or " as ge-listen" in line]
    # Clean sessions, which end with the connection.
    assert len(visits) == 2
    assert all(", c1," in line for line in visits)


Operation = Callable[[Mapping[str, Json]], Json]


def daemon(answer: Operation) -> Callable[[], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        async def read(arguments: Mapping[str, Json]) -> Json:
            return answer(arguments)

        socket = runtime_directory() / "d.sock"
        note = DaemonNote(
            gateway_id="test",
            site_file="site.toml",
            state_directory="/nowhere/test",
            pid=os.getpid(),
            socket=str(socket),
        )
        async with serve_control(socket, {"read": read}, json_pieces=json_pieces):
            await asyncio.to_thread(write_note, note)
            yield

    return run


def test_the_daemon_is_asked_where_it_runs(tmp_path: Path) -> None:
    asked: list[Mapping[str, Json]] = []

    def answer(arguments: Mapping[str, Json]) -> Json:
        asked.append(arguments)
        return {"devices": {"bench3": {"readings": {"air_temperature": GOOD}}, "bench4": {"error": "is silent"}}}

    file = site_file(tmp_path, MODBUS.format(port=1))
    with beside(daemon(answer)):
        found = told("read", file, "--timeout", 3, code=75)["devices"]
    assert asked == [{"devices": ["bench3", "bench4"], "timeoutS": 3.0}]
    assert found == {"bench3": {"readings": {"air_temperature": GOOD}}, "bench4": {"error": "is silent"}}


def test_a_device_that_the_daemon_does_not_know_yet_is_told_so(tmp_path: Path) -> None:
    with beside(daemon(lambda _arguments: {"devices": {}})):
        result = typed("read", site_file(tmp_path, MODBUS.format(port=1)), "bench3")
    assert result.exit_code == 75
    assert "does not know this device; restart it" in result.stdout
