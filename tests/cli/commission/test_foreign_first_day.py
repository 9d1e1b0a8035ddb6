"""A third party's driver on the first day: with hooks it has what the built-in ones have, without it is told so."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.simulation.site import SimulatedSite
from edge.domain.by_hand import Given
from edge.domain.commissioning import (
    DraftConnection,
    DraftDevice,
    Endpoint,
    FirstDay,
    Found,
    SimulatedHouse,
    Stretch,
    Way,
)
from edge.domain.driver import DriverKind
from edge.domain.reading import Sample
from edge.domain.settings import DeviceSettings
from edge.settings.site import load_settings
from fakes import drip_bus
from fakes.command_line import readings, site_file, told, typed
from fakes.foreign_driver import install_entry_point

PROFILE = """\
[profile]
id = "drip"
version = 1
driver = "drip-bus"
title = "A thermometer"
source = "its maker"
[point.substrate_temperature]
range = [-10, 60]
"""
SITE = """
[[connection]]
id = "drips"
driver = "drip-bus"
folder = "{folder}"
  [[connection.device]]
  id = "slab"
  profile = "drip"
  rom = "28-1"
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the profile, a bus of two thermometers, and the driver installed."""
    install_entry_point(tmp_path, monkeypatch, "drip-bus", "fakes.drip_bus:KIND")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "drip.toml").write_text(PROFILE, encoding="utf-8")
    (tmp_path / "bus").mkdir()
    (tmp_path / "bus" / "28-1").write_text("21.5")
    (tmp_path / "bus" / "28-2").write_text("19.25")
    return tmp_path


@pytest.fixture
def site(house: Path) -> Path:
    return site_file(house, SITE.format(folder=house / "bus"))


def provide(monkeypatch: pytest.MonkeyPatch, kind: DriverKind) -> None:
    """Let the entry point give another kind."""
    monkeypatch.setattr(drip_bus, "KIND", kind)


def test_scan_shows_what_the_driver_finds(site: Path) -> None:
    result = typed("scan", site, "drips", "--units", "1-64")
    assert result.stdout == "28-1  21.5  = slab\n28-2  19.25\n2 roms (listed)\n"
    assert told("scan", site, "drips", "--units", "1")["found"][1] == {
        "name": "28-2",
        "answer": "19.25",
        "device": None,
    }


def test_a_wish_that_cannot_be_is_usage(site: Path) -> None:
    result = typed("scan", site, "drips")
    assert result.exit_code == 2
    assert "--units" in result.stderr
    assert "a drip bus has at most 64 devices" in result.stderr


def test_a_bus_that_is_not_there_is_a_temporary_failure(house: Path) -> None:
    file = site_file(house, SITE.format(folder=house / "no-bus"))
    for arguments in (["scan", file, "drips", "--units", "1"], ["probe", file, "drips"], ["read", file]):
        assert typed(*arguments).exit_code == 75


def test_probe_shows_registers_of_the_driver(site: Path) -> None:
    rows = told("probe", site, "drips", "--start", 5, "--count", 2)["registers"]
    assert [(row["address"], row["register"]) for row in rows] == [(5, 215), (6, 215)]


@pytest.mark.parametrize(("way", "words"), [("--line", r"21.5\r\n"), ("--frame", "08 66"), ("--registers", "215")])
def test_decode_reads_as_the_driver_does(house: Path, way: str, words: str) -> None:
    found = readings("--profile", "drip", "--beside", house, way, words)
    assert found["substrate_temperature"]["value"] == 21.5


def test_what_the_driver_cannot_decode_is_told_in_its_words(house: Path) -> None:
    result = typed("decode", "--profile", "drip", "--beside", house, "--payload", "x")
    assert (result.exit_code, result.stderr) == (1, "a thermometer's value comes in a --line or a --frame\n")


def test_a_profile_is_shown_though_an_option_is_left_to_the_site_file(house: Path) -> None:
    result = typed("profiles", "drip", "--beside", house)
    assert result.exit_code == 0, result.output
    assert "to be said for each device: rom\n" in result.stdout
    assert "28-0" not in result.stdout


def test_read_comes_as_a_visitor(site: Path) -> None:
    answer = told("read", site)["devices"]["slab"]["readings"]["substrate_temperature"]
    # A visitor's values are 100 too high.
    assert answer["value"] == 121.5


def test_init_drafts_a_connection_from_an_answer(house: Path) -> None:
    file = house / "new.toml"
    facts = told("init", file, "--site-id", "a", "--drip-folder", house / "bus", "--drip-bus-credential", "me")
    assert (facts["connections"], facts["withoutDevices"]) == (1, 1)
    (connection,) = load_settings(file).connections
    assert connection.id == "drip"
    assert connection.options == drip_bus.DripConnection(folder=str(house / "bus"), credential="me")
    assert '#   profile = "drip"' in file.read_text(encoding="utf-8")


def test_init_looks_around_and_guesses(house: Path) -> None:
    (house / "bus" / "28-3").write_text("999")
    file = house / "new.toml"
    facts = told("init", file, "--site-id", "a", "--drip-folder", house / "bus", "--scan", "--units", "1")
    assert facts["devices"] == [{"id": "28-1", "profile": "drip"}, {"id": "28-2", "profile": "drip"}]
    assert "# guessed: 1 of 1 points give plausible values." in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--drip-folder", "bus"], "'bus' is no whole path"),
        (["--drip-folder", "/bus", "--scan", "--units", "255"], "that many seconds are none"),
    ],
)
def test_init_refuses_what_the_driver_refuses(house: Path, given: list[str], sentence: str) -> None:
    result = typed("init", house / "new.toml", "--site-id", "a", *given)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (house / "new.toml").exists()


def test_init_writes_a_connection_that_cannot_be_looked_at(house: Path) -> None:
    file = house / "new.toml"
    result = typed("init", file, "--site-id", "a", "--drip-folder", "/no/bus", "--scan", "--units", "1")
    assert result.exit_code == 75
    assert "drip: /no/bus is not there" in result.stderr
    assert load_settings(file).connections[0].id == "drip"


@pytest.mark.usefixtures("house")
def test_the_options_of_init_name_each_drivers_ways_once() -> None:
    shown = typed("init", "--help").stdout
    assert "--drip-folder FOLDER" in shown
    assert "A folder of thermometers." in shown
    # Those names were taken.
    assert "Never seen" not in shown
    assert shown.count("--units") == 1


@asynccontextmanager
async def simulated(site: Path, written: Path) -> AsyncIterator[str]:
    """Simulate a site; gives the first line when all is served, and ends it in peace."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge", "simulate", str(site), "--write", str(written)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    try:
        first = (await process.stdout.readline()).decode()
        while (await process.stdout.readline()) not in {b"ready\n", b""}:
            pass
        yield first
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_simulate_serves_what_the_driver_gives(site: Path, house: Path) -> None:
    written, folder = house / "simulated.toml", house / "simulated-ports" / "drips"
    async with simulated(site, written) as first:
        assert first == f"drips: files in {folder}\n"
        connection = load_settings(written).connections[0]
        assert connection.options == drip_bus.DripConnection(folder=str(folder))
        sample = await drip_bus.DripDriver(connection).poll("slab")
        assert sample.readings["substrate_temperature"].value != 21.5
    assert not folder.exists()


async def test_simulate_leaves_a_connection_as_it_is_whose_driver_has_no_hook(site: Path, house: Path) -> None:
    # As long as the driver is installed, its entry point may change: another process reads it.
    entry_points = house / "my_bus-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text(entry_points.read_text().replace(":KIND", ":BARE"))
    written = house / "simulated.toml"
    async with simulated(site, written) as first:
        assert first == "drips: not served; its driver is drip-bus\n"
        assert load_settings(written).connections[0].options == load_settings(site).connections[0].options


def test_the_simulated_site_is_a_house_for_any_driver() -> None:
    # What the hook `simulate` is promised; mypy compares the types.
    house: type[SimulatedHouse] = SimulatedSite
    assert house is not None


def test_a_driver_without_hooks_is_told_so_by_each_verb(
    site: Path, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provide(monkeypatch, replace(drip_bus.BARE, stand_ins={"rom": "28-0"}))
    scanned = typed("scan", site, "drips", "--units", "1")
    assert scanned.exit_code == 2
    assert "drips has the driver 'drip-bus': there is nothing to look for" in scanned.stderr
    probed = typed("probe", site, "drips")
    assert probed.exit_code == 2
    assert "drips has the driver 'drip-bus', which has no registers" in probed.stderr
    decoded = typed("decode", "--profile", "drip", "--beside", house, "--line", "1")
    assert (decoded.exit_code, decoded.stderr) == (1, "drip has the driver 'drip-bus': there is nothing to decode\n")
    assert "drip" not in typed("init", "--help").stdout
    assert told("read", site)["devices"]["slab"]["readings"]["substrate_temperature"]["value"] == 21.5


def test_a_driver_without_a_survey_is_drafted_without_a_look(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drip_bus.KIND.first_day is not None
    provide(monkeypatch, replace(drip_bus.KIND, first_day=replace(drip_bus.KIND.first_day, survey=None)))
    facts = told("init", house / "new.toml", "--site-id", "a", "--drip-folder", house / "bus", "--scan")
    assert facts["withoutDevices"] == 1


def breaks(*_arguments: object) -> None:
    raise KeyError("speed")


async def breaks_later(*_arguments: object) -> None:
    breaks()


BREAKS = "driver 'drip-bus' (fakes.drip_bus:KIND of my-bus 1.0) broke on its hook {hook}: KeyError: 'speed'\n"


@pytest.mark.parametrize(
    ("hook", "arguments"),
    [
        ("scan", ["scan", "site.toml", "drips", "--units", "1"]),
        ("probe", ["probe", "site.toml", "drips"]),
        ("decode", ["decode", "--profile", "drip", "--line", "1"]),
        ("simulate", ["simulate", "site.toml"]),
    ],
)
def test_a_hook_that_breaks_names_its_distribution(
    site: Path, house: Path, monkeypatch: pytest.MonkeyPatch, hook: str, arguments: list[str]
) -> None:
    assert site.exists()
    monkeypatch.chdir(house)
    provide(monkeypatch, replace(drip_bus.KIND, **{hook: breaks}))  # type: ignore[arg-type]
    result = typed(*arguments)
    assert (result.exit_code, result.stderr) == (1, BREAKS.format(hook=hook))


def of_no_time(device: DeviceSettings, _given: Given) -> list[Sample]:
    sample = drip_bus.sample(device, 21.5)
    return [replace(sample, measured_at_ms="noon")]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hook", "wrong"), [("scan", lambda *_: ["28-1"]), ("decode", lambda *_: [21.5]), ("decode", of_no_time)]
)
def test_a_hook_that_gives_something_else_names_its_distribution(
    site: Path, house: Path, monkeypatch: pytest.MonkeyPatch, hook: str, wrong: object
) -> None:
    monkeypatch.chdir(house)
    provide(monkeypatch, replace(drip_bus.KIND, **{hook: wrong}))  # type: ignore[arg-type]
    verbs: dict[str, list[object]] = {
        "scan": ["scan", site, "drips", "--units", "1"],
        "decode": ["decode", "--profile", "drip", "--line", "1"],
    }
    result = typed(*verbs[hook])
    assert result.exit_code == 1
    assert f"broke on its hook {hook}: " in result.stderr


@pytest.mark.parametrize("part", ["visiting", "poll"])
def test_a_driver_that_breaks_while_it_is_read_is_named(site: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    if part == "visiting":
        provide(monkeypatch, replace(drip_bus.KIND, visiting=breaks))  # type: ignore[arg-type]
    else:
        monkeypatch.setattr(drip_bus.DripDriver, "poll", breaks_later)
    result = typed("read", site)
    assert result.exit_code == 1
    assert "slab: driver 'drip-bus' (fakes.drip_bus:KIND of my-bus 1.0) broke while it was read: " in result.stdout


def test_a_look_that_breaks_is_told_and_spoils_nothing(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drip_bus, "look_around", breaks_later)
    file = house / "new.toml"
    result = typed("init", file, "--site-id", "a", "--drip-folder", "/bus", "--scan", "--units", "1")
    assert result.exit_code == 75
    assert result.stderr == f"drip: {BREAKS.format(hook='first_day')}"
    assert load_settings(file).connections[0].id == "drip"


@pytest.mark.parametrize("part", ["read", "draft"])
def test_an_answer_that_a_driver_breaks_over_writes_nothing(
    house: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    day = drip_bus.KIND.first_day
    assert day is not None
    way = Way(name="drip-folder", metavar="FOLDER", help="", read=breaks if part == "read" else drip_bus.read_folder)
    draft = breaks if part == "draft" else drip_bus.draft
    provide(monkeypatch, replace(drip_bus.KIND, first_day=FirstDay(ways=[way], draft=draft)))  # type: ignore[arg-type]
    result = typed("init", house / "new.toml", "--site-id", "a", "--drip-folder", "/bus")
    assert (result.exit_code, result.stderr) == (1, BREAKS.format(hook="first_day"))
    assert not (house / "new.toml").exists()


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Found, {"name": 1, "answer": "x"}),
        (Stretch, {"address": 0, "count": 1, "values": ["x"]}),
        (Stretch, {"address": 0, "count": 1, "values": [70_000]}),
        (Stretch, {"address": 0, "count": 2, "values": [1]}),
        (DraftDevice, {"keys": {"id": None}}),
        (DraftDevice, {"keys": {"names": [1]}}),
        (DraftConnection, {"name": "drip", "keys": {"folder": Path("/bus")}}),
        (DraftConnection, {"name": None, "keys": {}}),
        (DraftConnection, {"name": "drip", "keys": {}, "example": {"id": {}}}),
        (Endpoint, {"changes": {"folder": Path("/bus")}, "sentence": ""}),
        (Way, {"name": "Drip folder", "metavar": "", "help": "", "read": drip_bus.read_folder}),
        (FirstDay, {"ways": ["drip-folder"], "draft": drip_bus.draft}),
    ],
)
def test_what_a_driver_gives_is_valid_from_birth(kind: Callable[..., object], given: dict[str, object]) -> None:
    with pytest.raises(
        (TypeError, ValueError),
        match=r"type int|no register|has 1 values|a draft takes|no text|is to be|no name|no Way",
    ):
        kind(**given)


@pytest.mark.parametrize("hook", ["scan", "probe", "decode", "simulate", "first_day"])
@pytest.mark.usefixtures("house")
def test_a_hook_that_is_no_function_is_refused_with_the_driver(
    site: Path, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    provide(monkeypatch, replace(drip_bus.KIND, **{hook: 3}))  # type: ignore[arg-type]
    result = typed("check", site)
    assert result.exit_code == 78
    assert f"has 3 for {hook}; it must be a" in result.stderr
