from pathlib import Path

import pytest

from edge.settings.problems import ConfigurationInvalid
from edge.settings.profile_places import ProfilePlaces
from edge.settings.specimen import ProfileUnknown, load_specimen, load_specimens

MINE = """\
[profile]
id = "{name}"
version = 1
driver = "{driver}"
title = "Mine"
source = "a note"
[point.air_temperature]
unit = "Cel"
"""


def profile(folder: Path, name: str, driver: str = "mqtt") -> None:
    (folder / f"{name}.toml").write_text(MINE.format(name=name, driver=driver), encoding="utf-8")


def test_every_packaged_profile_makes_a_device(tmp_path: Path) -> None:
    for name in ProfilePlaces(tmp_path).all():
        specimen = load_specimen(name, tmp_path)
        assert specimen.device.id == name
        assert specimen.device.points


def test_a_profile_is_found_beside_in_its_folder_and_by_its_file_name(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    profile(tmp_path / "profiles", "deep")
    profile(tmp_path, "near")
    assert load_specimen("deep", tmp_path).profile.title == "Mine"
    assert load_specimen("near", tmp_path).profile.title == "Mine"
    assert load_specimen("near.toml", tmp_path).profile.title == "Mine"
    assert "deep" in ProfilePlaces(tmp_path).all()


def test_what_the_profile_leaves_open_is_named(tmp_path: Path) -> None:
    profile(tmp_path, "mine")
    assert load_specimen("mine", tmp_path).open_options == {"topic"}
    assert not load_specimen("xy-md02", tmp_path).open_options


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("xy-md0", "there is no profile 'xy-md0'; did you mean 'xy-md02'?"),
        ("nobody", "there is no profile 'nobody'; `greenhouse-edge profiles` lists what there is"),
    ],
)
def test_a_profile_that_is_not_there_is_told_with_what_was_meant(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ProfileUnknown) as error:
        load_specimen(name, tmp_path)
    assert str(error.value) == said


@pytest.mark.parametrize("driver", ["modbos", ""])
def test_a_profile_of_no_driver_is_told_with_its_place(driver: str, tmp_path: Path) -> None:
    profile(tmp_path, "mine", driver)
    with pytest.raises(ConfigurationInvalid) as caught:
        load_specimen("mine", tmp_path)
    assert caught.value.problems[0].line == 4


def test_the_profiles_of_a_driver_come_without_those_that_have_mistakes(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    profile(tmp_path / "profiles", "mine")
    profile(tmp_path / "profiles", "broken", "modbos")
    names = [specimen.device.id for specimen in load_specimens("mqtt", tmp_path)]
    assert "mine" in names
    assert "broken" not in names
    assert "xy-md02" not in names
