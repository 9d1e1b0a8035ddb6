from pathlib import Path

import pytest

from edge import __version__
from edge.settings.profile_places import packaged_profiles
from fakes.command_line import told, typed


def test_all_models_are_listed_with_their_drivers() -> None:
    rows = told("profiles")["profiles"]
    assert len(rows) >= 40
    assert {
        "id": "xy-md02",
        "driver": "modbus",
        "title": next(row["title"] for row in rows if row["id"] == "xy-md02"),
        "origin": f"greenhouse-edge {__version__}",
    } in rows
    assert {row["driver"] for row in rows} == {"modbus", "serial", "mqtt"}
    lines = typed("profiles").stdout.splitlines()
    assert len(lines) == len(rows)
    assert all(row["id"] in line for row, line in zip(rows, lines, strict=True))


def test_the_models_of_one_driver_are_listed() -> None:
    rows = told("profiles", "--driver", "mqtt")["profiles"]
    assert rows
    assert {row["driver"] for row in rows} == {"mqtt"}


def test_a_profile_is_shown_with_all_that_it_says() -> None:
    shown = told("profiles", "senseair-s8")
    assert (shown["id"], shown["driver"], shown["open"]) == ("senseair-s8", "modbus", [])
    assert shown["defaults"]["baud_rate"] == 9600
    assert shown["defaults"]["address"] == 254
    assert shown["digest"].startswith("sha256:")
    points = {point["id"]: point for point in shown["points"]}
    assert points["co2"] | {"options": None} == {
        "id": "co2",
        "quantity": "co2_concentration",
        "type": "number",
        "unit": "[ppm]",
        "range": [0, 2000],
        "publish": True,
        "options": None,
    }
    assert points["co2"]["options"]["table"] == "input"
    assert not points["meter_status"]["publish"]


def test_what_only_the_site_can_say_is_no_default() -> None:
    shown = told("profiles", "tasmota-sht3x")
    assert shown["open"] == ["topic"]
    assert "topic" not in shown["defaults"]
    assert "to be said for each device: topic" in typed("profiles", "tasmota-sht3x").stdout


@pytest.mark.parametrize("name", sorted(file.stem for file in packaged_profiles().glob("*.toml")))
def test_a_page_of_a_profile_fits_a_terminal(name: str) -> None:
    result = typed("profiles", name)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{name}: ")
    # 120 columns: the longest ids and paths cannot be cut.
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_the_file_of_a_profile_is_a_start_for_ones_own(tmp_path: Path) -> None:
    text = typed("profiles", "xy-md02", "--toml").stdout
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "clone.toml").write_text(text.replace('id = "xy-md02"', 'id = "clone"'), encoding="utf-8")
    assert told("profiles", "clone", "--beside", tmp_path)["title"] == told("profiles", "xy-md02")["title"]
    assert "clone" in typed("profiles", "--beside", tmp_path).stdout
    assert "clone" not in typed("profiles").stdout


def test_a_profile_with_mistakes_is_exit_78_and_left_out_of_no_list(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    broken = tmp_path / "profiles" / "broken.toml"
    broken.write_text('[profile]\nid = "broken"\ndriver = "modbus"\ntitle = "B"\n')
    assert typed("profiles", "broken", "--beside", tmp_path).exit_code == 78
    assert "broken" in typed("profiles", "--beside", tmp_path).stdout
    broken.write_text("[profile")
    result = typed("profiles", "--beside", tmp_path)
    assert result.exit_code == 0
    assert "broken.toml" in result.stderr


def test_a_profile_that_is_not_there_is_usage() -> None:
    result = typed("profiles", "nobody")
    assert result.exit_code == 2
    assert "there is no profile 'nobody'" in result.stderr
    assert typed("profiles", "--toml").exit_code == 2
