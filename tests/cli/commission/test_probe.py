from pathlib import Path

import pytest

from edge.cli.commission.probe import joined
from edge.domain.commissioning import Stretch
from fakes.background import beside
from fakes.command_line import site_file, told, typed
from fakes.modbus_peer import Hang, Request, Send, misbehaving_peer
from fakes.modbus_units import image, units

SITE = """
[[connection]]
id = "wire"
driver = "modbus"
host = "127.0.0.1"
tcp_port = {port}
response_timeout_ms = 100
quiet_ms = 1
  [[connection.device]]
  id = "known"
  profile = "xy-md02"
"""


def test_the_plausible_readings_of_registers_are_shown() -> None:
    result = typed("probe", "--registers", "305,17096,0")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "0x0131" in lines[0]
    assert "x0.1 = 30.5 air temperature" in result.stdout
    assert any(line.split() == ["float32", "ABCD", "100"] for line in lines)
    assert max(map(len, lines)) <= 100
    assert "bcd16" not in result.stdout
    assert "bcd16" in typed("probe", "--registers", "305,17096,0", "--all").stdout


def test_every_type_and_order_is_in_the_json() -> None:
    found = told("probe", "--registers", "54394,17384", "--start", 100)
    assert [row["address"] for row in found["registers"]] == [100, 101]
    guesses = {(way["type"], way["order"]): way for way in found["registers"][0]["guesses"]}
    assert guesses["float32", "CDAB"]["value"] == pytest.approx(465.66, abs=1e-3)
    assert guesses["float32", "CDAB"]["plausible"]
    assert not guesses["float32", "ABCD"]["plausible"]


def test_a_unit_is_read_around_what_it_refuses(tmp_path: Path) -> None:
    held = {**image(3, 0, 215, 600), **image(3, 5, 17096, 0), **image(3, 38, 412)}
    with beside(lambda: misbehaving_peer(units({7: held}))) as peer:
        file = site_file(tmp_path, SITE.format(port=peer.port))
        found = told("probe", file, "wire", "--unit", 7, "--count", 40)
        shown = typed("probe", file, "wire", "--unit", 7, "--count", 8)
        nothing = typed("probe", file, "wire", "--unit", 7, "--start", 10, "--count", 2)
    assert {row["address"]: row["register"] for row in found["registers"]} == {0: 215, 1: 600, 5: 17096, 6: 0, 38: 412}
    assert [(row["first"], row["last"]) for row in found["refused"]] == [(2, 4), (7, 37), (39, 39)]
    assert "  2-4  not given: exception 2 (no such address)" in shown.stdout
    assert nothing.exit_code == 1


def test_bits_are_shown_as_they_are(tmp_path: Path) -> None:
    def behave(request: Request) -> Send:
        return Send(request.reply(pdu=bytes([request.function, 1, 0b101])))

    with beside(lambda: misbehaving_peer(behave)) as peer:
        file = site_file(tmp_path, SITE.format(port=peer.port))
        shown = typed("probe", file, "wire", "--table", "coil", "--start", 16, "--count", 3)
        found = told("probe", file, "wire", "--table", "coil", "--start", 16, "--count", 3)
    assert shown.stdout == "   16  1\n   17  0\n   18  1\n"
    assert found["registers"][1] == {"address": 17, "bit": False}


def test_a_silent_unit_is_exit_75(tmp_path: Path) -> None:
    with beside(lambda: misbehaving_peer(lambda _request: Hang())) as peer:
        result = typed("probe", site_file(tmp_path, SITE.format(port=peer.port)), "wire", "--timeout-ms", 30)
    assert result.exit_code == 75
    assert "did not answer" in result.stderr


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "name a SITE.toml"),
        (["--registers", "x"], "no list of registers"),
        (["SITE", "wire", "--start", "65535", "--count", "2"], "only 1 addresses"),
    ],
)
def test_a_verb_that_is_used_wrongly_says_how(given: list[str], sentence: str, tmp_path: Path) -> None:
    file = site_file(tmp_path, SITE.format(port=1))
    result = typed("probe", *(str(file) if word == "SITE" else word for word in given))
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_neighbours_are_joined_and_refusals_with_the_same_words_too() -> None:
    stretches = [
        Stretch(address=2, count=1, refusal="no"),
        Stretch(address=0, count=2, values=(1, 2)),
        Stretch(address=3, count=1, refusal="no"),
        Stretch(address=4, count=1, refusal="busy"),
        Stretch(address=6, count=1, values=(3,)),
        Stretch(address=7, count=1, values=(4,)),
    ]
    assert joined(stretches) == [
        Stretch(address=0, count=2, values=(1, 2)),
        Stretch(address=2, count=2, refusal="no"),
        Stretch(address=4, count=1, refusal="busy"),
        Stretch(address=6, count=2, values=(3, 4)),
    ]
