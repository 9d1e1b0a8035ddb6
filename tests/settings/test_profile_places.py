"""Where a profile is taken from when several places have one of its name, and what is said of them."""

import sys
from pathlib import Path

import pytest

from edge import __version__
from edge.settings.problems import ConfigurationInvalid
from edge.settings.profile_places import ProfilePlaces, packaged_profiles
from edge.settings.site import SiteReader, load_settings
from edge.settings.specimen import load_specimens
from fakes.command_line import site_file, told, typed
from fakes.foreign_profiles import PROFILE, install_profiles

SITE = """
[[connection]]
id = "pretended"
driver = "{driver}"
[[connection.device]]
id = "probe"
profile = "{profile}"
"""


class OddFinder:
    """What a vendor may put into the search for modules."""

    @staticmethod
    def find_spec(name: str, _path: object, _target: object = None) -> None:
        if name == "odd_sensors":
            raise RuntimeError("no licence")


def own(folder: Path, name: str) -> Path:
    """Write a profile of the site's own."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(PROFILE.format(name=name, driver="simulated", maker="ours"), encoding="utf-8")
    return file


def using(folder: Path, profile: str, driver: str = "simulated") -> Path:
    return site_file(folder, SITE.format(profile=profile, driver=driver))


def test_the_nearest_place_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = install_profiles(tmp_path, monkeypatch, "xy-md02", "probe-1")
    packaged = packaged_profiles() / "xy-md02.toml"

    def found(name: str) -> Path:
        profile = ProfilePlaces(tmp_path).find(name)
        assert profile is not None
        return profile.file

    assert found("probe-1") == brought / "probe-1.toml"
    assert found("xy-md02") == packaged
    for name in ("xy-md02", "probe-1"):
        inner = own(tmp_path / "profiles", name)
        assert found(name) == inner
        beside = own(tmp_path, name)
        assert found(name) == beside


def test_a_sites_own_profile_hides_the_packages_of_the_same_name_wherever_the_site_lies(tmp_path: Path) -> None:
    for place in ("a-site", "zz-site"):
        (tmp_path / place).mkdir()
        file = own(tmp_path / place / "profiles", "xy-md02")
        found = ProfilePlaces(tmp_path / place).all()
        assert found["xy-md02"].file == file
        assert found["xy-md02"].is_sites_own
        assert list(found) == sorted(found)


def test_a_site_uses_a_profile_of_a_vendor_none_of_whose_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_profiles(tmp_path, monkeypatch, "probe-1")
    (device,) = load_settings(using(tmp_path, "probe-1")).devices()
    assert device.profile is not None
    assert device.profile.id == "probe-1"
    assert [specimen.device.id for specimen in load_specimens("simulated", tmp_path)] == ["probe-1"]


def test_profiles_lists_each_with_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_profiles(tmp_path, monkeypatch, "probe-1")
    own(tmp_path / "profiles", "probe-2")
    rows = {row["id"]: row["origin"] for row in told("profiles", "--beside", tmp_path)["profiles"]}
    assert (rows["probe-1"], rows["probe-2"]) == ("acme-sensors 1.2", "site")
    assert rows["xy-md02"] == f"greenhouse-edge {__version__}"
    lines = typed("profiles", "--beside", tmp_path).stdout.splitlines()
    assert [line for line in lines if "(of " in line] == [
        next(line for line in lines if line.startswith("probe-1 ") and line.endswith("(of acme-sensors 1.2)")),
        next(line for line in lines if line.startswith("probe-2 ") and line.endswith("(of the site)")),
    ]
    assert told("profiles", "probe-1")["origin"] == "acme-sensors 1.2"
    assert "(of acme-sensors 1.2)" in typed("profiles", "probe-1").stdout


@pytest.mark.parametrize(
    ("name", "used"), [("xy-md02", f"greenhouse-edge {__version__}"), ("probe-1", "acme-sensors 1.2")]
)
def test_equal_ids_of_two_distributions_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, used: str
) -> None:
    if name == "probe-1":
        install_profiles(tmp_path, monkeypatch, name)
    passed_over = install_profiles(tmp_path, monkeypatch, name, maker="zeta")
    driver, options = ("simulated", "") if name == "probe-1" else ("modbus", 'host = "127.0.0.1"\n')
    file = using(tmp_path, name, driver)
    file.write_text(file.read_text().replace("[[connection.device]]", f"{options}[[connection.device]]"))
    reader = SiteReader(file)
    assert reader.cautions == []
    reader.read()
    (caution,) = reader.cautions
    assert caution.message == f"the profile {name!r} is that of {used}; zeta-sensors 1.2 has another one of this id"
    assert caution.path == "connection[0].device[0].profile"
    listed = typed("profiles")
    assert listed.exit_code == 0
    assert listed.stderr == f"warning: {passed_over / name}.toml: not used; {name!r} is that of {used}\n"


def test_a_sites_own_profile_is_meant_to_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_profiles(tmp_path, monkeypatch, "probe-1")
    own(tmp_path / "profiles", "probe-1")
    reader = SiteReader(using(tmp_path, "probe-1"))
    reader.read()
    assert reader.cautions == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_sensors.profiles", "there is no package 'no_such_sensors'"),
        ("json.decoder", "there is no folder "),
        ("acme_sensors.charts", "there is no folder "),
        ("acme_sensors", "holds no TOML file"),
        ("sys.profiles", "there is no package 'sys'"),
        ("odd_sensors.profiles", "RuntimeError: no licence"),
    ],
)
def test_a_distribution_that_brings_none_is_named_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setattr(sys, "meta_path", [OddFinder, *sys.meta_path])
    install_profiles(tmp_path, monkeypatch, "probe-1", value=value)
    install_profiles(tmp_path, monkeypatch, "probe-2", maker="zeta")
    listed = typed("profiles")
    assert listed.exit_code == 0
    assert "\nprobe-2 " in listed.stdout
    assert "\nxy-md02 " in listed.stdout
    (line,) = listed.stderr.splitlines()
    assert line.startswith(f"warning: the profiles of acme-sensors 1.2 (mine = {value}) cannot be found: ")
    assert said in line
    load_settings(using(tmp_path, "probe-2"))
    with pytest.raises(ConfigurationInvalid) as caught:
        load_settings(using(tmp_path, "probe-1"))
    (problem,) = caught.value.problems
    assert (
        problem.message == f"there is no profile 'probe-1'; did you mean 'probe-2'?; {line.removeprefix('warning: ')}"
    )


def test_distributions_are_looked_up_only_where_one_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_up(**_: str) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr("edge.settings.profile_places.entry_points", looked_up)
    own(tmp_path / "profiles", "probe-1")
    load_settings(using(tmp_path, "probe-1"))
    with pytest.raises(AssertionError, match="looked up"):
        load_settings(using(tmp_path, "probe-2"))
