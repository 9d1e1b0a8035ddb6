import os
import pty
import select
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from drivers.modbus.options import ModbusDeviceOptions
from edge.settings.site import load_settings
from fakes.background import beside
from fakes.command_line import told, typed
from fakes.modbus_peer import misbehaving_peer
from fakes.modbus_units import image, units
from fakes.mosquitto import mosquitto, publish
from fakes.serial_peer import Reply, SerialPeer, plugged

WAIT_S = 30.0


def test_a_site_file_is_written_from_answers_alone(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    result = typed(
        "init", file, "--name", 'North "1" house', "--time-zone", "Europe/Amsterdam", "--uri", "esdb://es:2113"
    )
    assert result.exit_code == 0, result.output
    settings = load_settings(file)
    assert (settings.site.id, settings.site.name) == ("north-1-house", 'North "1" house')
    assert settings.site.time_zone == "Europe/Amsterdam"
    assert (settings.event_store.uri, settings.event_store.credential) == ("esdb://es:2113", "event-store")
    assert file.read_text(encoding="utf-8").startswith("#:schema ./site.schema.json\n")
    assert list(tmp_path.iterdir()) == [file]


def test_connections_that_nobody_looked_at_wait_for_their_devices(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    given = ["--modbus-tcp", "10.0.0.1:5020", "--modbus-serial", "/dev/none@19200/8e1", "--serial", "/dev/none2"]
    facts = told("init", file, "--site-id", "a", *given, "--mqtt", "broker.local", "--rtu-over-tcp", "[fe80::1]:4001")
    assert facts == {"file": str(file), "connections": 5, "devices": [], "withoutDevices": 5}
    text = file.read_text(encoding="utf-8")
    assert text.count("There is no device yet") == 5
    kinds = [(table["id"], table["driver"]) for table in tomllib.loads(text)["connection"]]
    assert kinds == [
        ("modbus", "modbus"),
        ("modbus-2", "modbus"),
        ("rs485", "modbus"),
        ("serial", "serial"),
        ("broker", "mqtt"),
    ]


def test_a_broker_may_have_a_credential(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    given = ["--mqtt", "mqtts://b:8883", "--mqtt", "b2", "--mqtt-credential", "me"]
    assert typed("init", file, "--site-id", "a", *given).exit_code == 0
    tables = tomllib.loads(file.read_text(encoding="utf-8"))["connection"]
    assert [(table["url"], table["credential"]) for table in tables] == [("mqtts://b:8883", "me"), ("mqtt://b2", "me")]


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("mine")
    result = typed("init", file, "--site-id", "a")
    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert file.read_text() == "mine"
    assert typed("init", file, "--site-id", "a", "--force").exit_code == 0
    assert load_settings(file).site.id == "a"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "name the site"),
        (["--name", "°"], "name the site"),
        (["--site-id", "North 1"], "is no id"),
        (["--site-id", "a", "--time-zone", "Amsterdam"], "Europe/Amsterdam"),
        (["--site-id", "a", "--uri", "http://es"], "uri must start with"),
        (["--site-id", "a", "--uri", "esdb://me:secret@es"], "name a credential"),
        (["--site-id", "a", "--modbus-tcp", "a b"], "is no host"),
        (["--site-id", "a", "--modbus-tcp", "a:99999"], "tcp_port is 99999"),
        (["--site-id", "a", "--modbus-serial", "ttyUSB0"], "whole path"),
        (["--site-id", "a", "--serial", "/dev/x@9600/9Z9"], "9Z9"),
        (["--site-id", "a", "--mqtt", "mqtt://me:secret@b"], "credential"),
        (["--site-id", "a", "--units", "0-300"], "unit ids are from 0 to 255"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_before_anything_is_written(
    given: list[str], sentence: str, tmp_path: Path
) -> None:
    result = typed("init", tmp_path / "site.toml", *given)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_scan_finds_units_and_the_profiles_that_fit_them(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    held = {3: image(4, 1, 215, 604), 5: image(3, 0, 40), 9: image(3, 0, 610, 359, 600, 55)}
    with beside(lambda: misbehaving_peer(units(held))) as peer:
        scan = ["--scan", "--units", "3-5,9", "--timeout-ms", 50]
        facts = told("init", file, "--site-id", "a", "--modbus-tcp", f"127.0.0.1:{peer.port}", *scan)
        read = told("read", file)["devices"]
    # Reading is all that was done.
    assert {request.function for request in peer.requests} <= {1, 2, 3, 4}
    assert {"id": "xy-md02-3", "profile": "xy-md02"} in facts["devices"]
    devices = {device.options.address: device for device in load_settings(file).devices()
               if isinstance(device.options, ModbusDeviceOptions)}  # fmt: skip
    assert devices.keys() >= {3, 9}
    assert devices[9].profile is not None
    assert devices[9].profile.id == "soil-4-in-1"
    text = file.read_text(encoding="utf-8")
    assert "  # guessed: 2 of 2 points give plausible values." in text
    assert "Also possible: " in text
    assert read["xy-md02-3"]["readings"]["air_temperature"]["value"] == 21.5


def test_a_unit_whose_values_cannot_be_fits_no_profile(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    # As an XY-MD02 it would say 21.5 degrees and 6000 %.
    with beside(lambda: misbehaving_peer(units({3: image(4, 1, 215, 60_000)}))) as peer:
        scan = ["--scan", "--units", "3", "--timeout-ms", 50]
        facts = told("init", file, "--site-id", "a", "--modbus-tcp", f"127.0.0.1:{peer.port}", *scan)
    assert not [device for device in facts["devices"] if device["profile"] == "xy-md02"]
    assert "# Unit 3 answered (refused: exception 2 (no such address)); no profile" in file.read_text(encoding="utf-8")


def test_a_scan_finds_what_speaks_at_a_broker_and_at_a_port(tmp_path: Path) -> None:
    file, link = tmp_path / "site.toml", tmp_path / "port"

    @asynccontextmanager
    async def circuit() -> AsyncIterator[SerialPeer]:
        with plugged(link, lambda request: [Reply(b"?I,pH,1.96\r")] if request == b"I\r" else []) as peer:
            yield peer

    with mosquitto(tmp_path) as broker, beside(circuit):
        messages = [(f"zigbee2mqtt/bench{number}", '{"temperature": 21.5, "humidity": 60}') for number in (1, 2)]
        publish(broker.port, messages, retain=True)
        given = ["--mqtt", broker.url, "--serial", link, "--scan", "--seconds", 0.5]
        facts = told("init", file, "--site-id", "a", *given)
    assert [device["id"] for device in facts["devices"]] == [
        "ezo-ph",
        "zigbee2mqtt-climate-bench1",
        "zigbee2mqtt-climate-bench2",
    ]


def test_a_connection_that_cannot_be_opened_is_told_and_spoils_nothing(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    result = typed("init", file, "--site-id", "a", "--modbus-tcp", "127.0.0.1:1", "--scan", "--units", "1")
    assert result.exit_code == 75
    assert "modbus: 127.0.0.1:1" in result.stderr
    assert load_settings(file).site.id == "a"


@contextmanager
def at_a_terminal(folder: Path, *arguments: str) -> Iterator[int]:
    """Run `init` at a terminal, whose other end is given; it must end well."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edge", "init", "site.toml", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "120"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment) as process:
        os.close(theirs)
        yield ours
        assert process.wait(WAIT_S) == 0
    os.close(ours)


def test_at_a_terminal_it_asks(tmp_path: Path) -> None:
    with at_a_terminal(tmp_path) as terminal:
        for question, answer in [
            ("The site's name", "North house"),
            ("Its id", "North"),
            # An answer that cannot be is asked for again.
            ("is no id", ""),
            ("Time zone", "Europe/Amsterdam"),
            ("Event store", ""),
            ("Add a connection", "modbus-tcp"),
            ("HOST", "10.0.0.1"),
            ("Add a connection", ""),
            ("Look now", "n"),
        ]:
            wait_for(terminal, question)
            os.write(terminal, f"{answer}\n".encode())
        wait_for(terminal, "wrote site.toml")
    settings = load_settings(tmp_path / "site.toml")
    assert (settings.site.id, settings.site.time_zone) == ("north-house", "Europe/Amsterdam")
    assert 'host = "10.0.0.1"' in settings.file.read_text(encoding="utf-8")


def test_at_a_terminal_it_asks_for_no_connection_where_one_is_given(tmp_path: Path) -> None:
    given = ["--name", "North", "--site-id", "a", "--time-zone", "UTC", "--uri", "esdb://es:2113"]
    with at_a_terminal(tmp_path, *given, "--modbus-tcp", "10.0.0.1") as terminal:
        assert "Add a connection" not in wait_for(terminal, "Look now")
        os.write(terminal, b"n\n")
        wait_for(terminal, "wrote site.toml")


def wait_for(terminal: int, words: str) -> str:
    """Read on until these words were shown; return all that was."""
    shown, deadline_s = b"", time.monotonic() + WAIT_S
    while words.encode() not in shown:
        ready, _, _ = select.select([terminal], [], [], deadline_s - time.monotonic())
        assert ready, f"waited for {words!r} after {shown!r}"
        shown += os.read(terminal, 1024)
    return shown.decode()
