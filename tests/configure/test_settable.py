"""What can be set is one table: a new key is a row, a field, and the code that acts by it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from edge.domain.settable import (
    DeviceConfiguration,
    Limits,
    Part,
    PointConfiguration,
    Settable,
    permitted,
    settables,
)

ROOT = Path(__file__).parents[2]

ROWS = """
    Settable(key="nightMode", part=Part.DEVICE, attribute="night_mode", value_type=bool),
    Settable(key="hysteresis", part=Part.POINT, attribute="hysteresis", floor=0.0, limit_min=0.0),
"""
OF_DEVICE, OF_POINT = "    enabled: bool = True\n", "    deadband: float = 0.0\n"


def with_new_keys(directory: Path) -> Path:
    """Copy the source and add a key of devices and one of points: a row and a field each."""
    for folder in ("edge", "drivers"):
        shutil.copytree(ROOT / folder, directory / folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = directory / "edge" / "domain" / "settable.py"
    text = file.read_text(encoding="utf-8")
    for place, added in (
        ("SETTABLES = (\n", ROWS),
        (OF_DEVICE, "    night_mode: bool = False\n"),
        (OF_POINT, "    hysteresis: float = 0.5\n"),
    ):
        assert text.count(place) == 1, place
        text = text.replace(place, place + added)
    file.write_text(text, encoding="utf-8")
    return directory


def test_a_row_and_a_field_make_a_new_key_in_every_room(tmp_path: Path) -> None:
    source = with_new_keys(tmp_path / "source")
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "fakes" / "new_key_check.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    [of_device, of_points] = found.pop("described")
    assert of_device == {"nightMode": True}
    assert of_points["air_temperature"]["settable"] == {"hysteresis": {"min": 0.1, "max": 2.0}}
    assert found == {
        "changed": [
            {"path": "nightMode", "from": False, "to": True},
            {"path": "points.air_temperature.hysteresis", "from": 0.7, "to": 1.5},
        ],
        "mistakes": [["nightMode", "wrong_type"], ["points.air_temperature.hysteresis", "above_maximum"]],
        "not permitted": ["nightMode"],
        "assigned": [True, 1],
        "help": [True, True],
        "published": [True, True],
        "in the site's schema": True,
        "too low": "remote.hysteresis.min is -1; it must be 0 or more",
    }


@pytest.mark.parametrize(
    ("part", "configuration"), [(Part.DEVICE, DeviceConfiguration), (Part.POINT, PointConfiguration)]
)
def test_the_table_names_each_field_of_a_configuration_once(part: Part, configuration: type) -> None:
    assert [row.attribute for row in settables(part)] == [item.name for item in fields(configuration)]
    assert len({row.key for row in settables(part)}) == len(settables(part))


def test_what_the_site_file_allows_is_an_attribute_of_the_table() -> None:
    limits = Limits(minimum=0, maximum=1)
    assert [row.key for row, _ in permitted(Part.POINT, {"gain": limits, "offset": limits})] == ["offset", "gain"]
    with pytest.raises(AssertionError, match="poll_interval_s"):
        list(permitted(Part.POINT, {"poll_interval_s": limits}))


def test_limits_hold_a_value() -> None:
    with pytest.raises(ValueError, match="min must not be above max"):
        Limits(minimum=2, maximum=1)


def test_the_floor_of_a_device_is_above_that_of_the_site_file() -> None:
    row = Settable(key="k", part=Part.DEVICE, attribute="a", floor=1.0, floor_attribute="lowest")

    class Device:
        lowest = 3.0

    limits = Limits(minimum=0, maximum=9)
    assert row.lowest(limits, Device()) == 3.0
    Device.lowest = 0.0
    assert row.lowest(limits, Device()) == 1.0
