import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from edge.cli.commission.looking import units_of
from fakes.background import beside
from fakes.command_line import site_file, told, typed
from fakes.modbus_peer import Close, Hang, Hold, Request, Send, misbehaving_peer
from fakes.modbus_units import image, units
from fakes.mosquitto import Mosquitto, mosquitto, publish
from fakes.serial_peer import Reply, SerialPeer, plugged

MODBUS = """
[[connection]]
id = "wire"
driver = "modbus"
host = "127.0.0.1"
tcp_port = {port}
quiet_ms = 1
  [[connection.device]]
  id = "bench3"
  profile = "xy-md02"
  address = 3
"""
SERIAL = """
[[connection]]
id = "port"
driver = "serial"
serial_port = "{port}"
  [[connection.device]]
  id = "{device}"
  profile = "{device}"
  {more}
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
  [[connection.device_group]]
  id = "z-{{name}}"
  topic = "zigbee2mqtt/{{name:any_depth}}"
  except = ["zigbee2mqtt/bridge/#"]
  names = ["left"]
  profile = "zigbee2mqtt-climate"
"""


@pytest.mark.parametrize(
    ("text", "found"), [("1-3", [1, 2, 3]), ("1,3,5-6", [1, 3, 5, 6]), (" 7 , 7", [7]), ("254", [254])]
)
def test_units_are_written_as_ranges(text: str, found: list[int]) -> None:
    assert units_of(text) == found


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-256", "1-", "-1", "²"])
def test_what_is_no_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit id"):
        units_of(text)


def test_units_that_answer_or_refuse_are_there(tmp_path: Path) -> None:
    behave = units({3: image(4, 1, 215, 600), 5: image(3, 0, 1)})
    with beside(lambda: misbehaving_peer(behave)) as peer:
        file = site_file(tmp_path, MODBUS.format(port=peer.port))
        found = told("scan", file, "wire", "--units", "1-6", "--timeout-ms", 50)
        shown = typed("scan", file, "wire", "--units", "3,4", "--timeout-ms", 50)
    assert found == {
        "connection": "wire",
        "found": [
            {"name": "3", "answer": "refused: exception 2 (no such address)", "device": "bench3"},
            {"name": "5", "answer": "answered", "device": None},
        ],
    }
    assert shown.stdout == "3  refused: exception 2 (no such address)  = bench3\n1 units (2 asked)\n"
    assert not shown.stderr


def test_a_gateway_that_hangs_up_on_units_it_does_not_know_is_called_again(tmp_path: Path) -> None:
    answering = units({3: image(3, 0, 1), 5: image(3, 0, 1)})

    def behave(request: Request) -> Send | Hang | Hold | Close:
        return answering(request) if request.unit in {3, 5} else Close()

    with beside(lambda: misbehaving_peer(behave)) as peer:
        found = told("scan", site_file(tmp_path, MODBUS.format(port=peer.port)), "wire", "--units", "1-6")["found"]
    assert [row["name"] for row in found] == ["3", "5"]


def test_nobody_is_exit_1_and_no_host_exit_75(tmp_path: Path) -> None:
    with beside(lambda: misbehaving_peer(units({}))) as peer:
        file = site_file(tmp_path, MODBUS.format(port=peer.port))
        assert typed("scan", file, "wire", "--units", "1-2", "--timeout-ms", 20).exit_code == 1
    result = typed("scan", file, "wire", "--units", "1")
    assert result.exit_code == 75
    assert result.stderr.startswith("wire: 127.0.0.1")


def test_a_connection_that_is_not_there_is_usage(tmp_path: Path) -> None:
    result = typed("scan", site_file(tmp_path, MODBUS.format(port=1)), "wier")
    assert result.exit_code == 2
    assert "there are: wire" in result.stderr


def instrument(
    link: Path, behave: Callable[[bytes], Sequence[Reply]], end: bytes
) -> Callable[[], AbstractAsyncContextManager[SerialPeer]]:
    @asynccontextmanager
    async def run() -> AsyncIterator[SerialPeer]:
        with plugged(link, behave, end=end) as peer:
            yield peer

    return run


def test_sdi12_addresses_are_asked_who_they_are(tmp_path: Path) -> None:
    answers = {
        b"1!": b"1\r\n",
        b"1I!": b"114METER   TER12 112T12-00001\r\n",
        b"b!": b"b\r\n",
        b"bI!": b"",
        b"c!": b"b\r\n",
    }

    def behave(request: bytes) -> Sequence[Reply]:
        return [Reply(answers[request])] if request in answers else []

    link = tmp_path / "port"
    with beside(instrument(link, behave, b"!")):
        file = site_file(tmp_path, SERIAL.format(port=link, device="meter-teros-12", more='address = "1"'))
        found = told("scan", file, "port", "--timeout-ms", 40)["found"]
    assert found == [
        {"name": "1", "answer": "METER TER12 112 T12-00001 (SDI-12 1.4)", "device": "meter-teros-12"},
        {"name": "b", "answer": "answered", "device": None},
    ]


def test_a_circuit_says_its_name(tmp_path: Path) -> None:
    def behave(request: bytes) -> Sequence[Reply]:
        return [Reply(b"?I,pH,1.96\r*OK\r")] if request == b"I\r" else []

    link = tmp_path / "port"
    with beside(instrument(link, behave, b"\r")):
        file = site_file(tmp_path, SERIAL.format(port=link, device="ezo-ph", more=""))
        result = typed("scan", file, "port")
    assert result.stdout == "ezo  ?I,pH,1.96 | *OK  = ezo-ph\n1 devices (1 asked)\n"


def speaking(link: Path, words: bytes) -> Callable[[], AbstractAsyncContextManager[None]]:
    """An instrument that says the same again and again."""

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        with plugged(link) as peer:
            talk = asyncio.create_task(_talk(peer, words))
            try:
                yield
            finally:
                talk.cancel()

    return run


async def _talk(peer: SerialPeer, words: bytes) -> None:
    while True:
        peer.say(words)
        await asyncio.sleep(0.05)


def test_who_speaks_by_itself_is_listened_to(tmp_path: Path) -> None:
    link = tmp_path / "port"
    with beside(speaking(link, b"ST,GS,+00045.0kg\r\nnoise\r\n")):
        file = site_file(tmp_path, SERIAL.format(port=link, device="cas-scale", more=""))
        found = told("scan", file, "port", "--seconds", 1)["found"]
    rows = {row["answer"]: row["device"] for row in found}
    assert rows["ST,GS,+00045.0kg"] == "cas-scale"
    assert rows["noise"] is None
    assert 2 <= len(found) <= 20


def test_words_at_another_speed_are_shown_as_bytes(tmp_path: Path) -> None:
    link = tmp_path / "port"
    with beside(speaking(link, b"\xfe\x01\x80")):
        file = site_file(tmp_path, SERIAL.format(port=link, device="cas-scale", more=""))
        (row,) = told("scan", file, "port", "--seconds", 0.3)["found"]
    assert row["answer"].startswith("no line ended (another speed or format?): fe 01 80")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as running:
        yield running


def test_topics_are_shown_with_who_they_belong_to(broker: Mosquitto, tmp_path: Path) -> None:
    messages: list[tuple[str, bytes | str]] = [
        ("office/sensor1", '{"temperature": 21}'),
        ("zigbee2mqtt/left", '{"temperature": 22}'),
        ("zigbee2mqtt/Bench 3/right", "x" * 100),
        ("zigbee2mqtt/bridge/info", b"\xff\x00"),
    ]
    publish(broker.port, messages, retain=True)
    found = told("scan", site_file(tmp_path, BROKER.format(url=broker.url)), "broker", "--seconds", 1)["found"]
    assert [(row["name"], row["device"]) for row in found] == [
        ("office/sensor1", "office"),
        ("zigbee2mqtt/Bench 3/right", "z-bench-3-right (not in the names of z-{name})"),
        ("zigbee2mqtt/bridge/info", None),
        ("zigbee2mqtt/left", "z-left"),
    ]
    assert found[0]["answer"] == '{"temperature": 21} (retained)'
    assert len(found[1]["answer"]) < 80
    assert found[2]["answer"] == "ff 00 (retained)"
