"""DRIVERS.md, taken at its word: its code is built, installed, tested and run exactly as it is printed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.site_processes import Site, open_empty_site

PAGE = Path(__file__).parents[2] / "DRIVERS.md"
# A file's name in bold, and what is in it.
FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PACKAGES = {"greenhouse-w1": "greenhouse_w1", "acme-profiles": "acme_profiles"}
ROM = "28-000005e2fdc3"
ANSWER = "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n"

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("drivers-page")]


def files() -> dict[str, str]:
    return dict(FILE.findall(PAGE.read_text(encoding="utf-8")))


def environment(house: Path) -> dict[str, str]:
    """Whatever is installed in the house is found."""
    return {**os.environ, "PYTHONPATH": str(house / "installed"), "MYPY_CACHE_DIR": str(house / "types")}


def done(house: Path, *arguments: str | Path) -> str:
    finished = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=house,
        env=environment(house),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, f"{arguments}: {finished.stdout[-3000:]}{finished.stderr[-3000:]}"
    return finished.stdout


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages of the page, built and installed without an index."""
    folder = tmp_path_factory.mktemp("vendors")
    for name, text in files().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    pip = ("-m", "pip", "--disable-pip-version-check", "--quiet")
    for distribution, package in PACKAGES.items():
        (folder / distribution / package / "__init__.py").touch()
        done(folder, *pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", f"./{distribution}")
    wheels = sorted((folder / "wheels").glob("*.whl"))
    done(folder, *pip, "install", "--no-deps", "--no-index", "--target", "installed", *wheels)
    return folder


def test_the_page_has_all_files_that_it_speaks_of() -> None:
    printed = files()
    listed = re.findall(r"^      (\S+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {f"greenhouse-w1/{name}" for name in listed} == {
        *(name for name in printed if name.startswith("greenhouse-w1/")),
        "greenhouse-w1/greenhouse_w1/__init__.py",
    }
    assert len(printed) == 9


def test_the_driver_has_sixty_lines() -> None:
    lines = files()["greenhouse-w1/greenhouse_w1/driver.py"].splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 60


def test_what_is_printed_is_formatted_and_typed(house: Path) -> None:
    done(house, "-m", "ruff", "format", "--check", "--line-length", "120", "--isolated", *PACKAGES)
    checked = [house / "greenhouse-w1" / "greenhouse_w1" / name for name in ("driver.py", "first_day.py")]
    assert "no issues found" in done(house, "-m", "mypy", "--strict", *checked)


@pytest.mark.parametrize(("distribution", "passed"), [("greenhouse-w1", 20), ("acme-profiles", 2)])
def test_the_printed_tests_pass_and_none_is_skipped(house: Path, distribution: str, passed: int) -> None:
    told = done(
        house, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", house, house / distribution / "tests"
    )
    assert f"{passed} passed in" in told


def test_the_profiles_of_both_are_listed_with_their_origin(house: Path) -> None:
    rows = json.loads(done(house, "-m", "edge", "profiles", "--json"))["profiles"]
    origins = {row["id"]: row["origin"] for row in rows}
    assert (origins["ds18b20"], origins["acme-th2"]) == ("greenhouse-w1 1.0", "acme-profiles 2.1")
    assert "to be said for each device: rom" in done(house, "-m", "edge", "profiles", "ds18b20")


@pytest.fixture
def cellar(house: Path) -> Iterator[Site]:
    """The page's site, its bus in a folder of its own."""
    with open_empty_site() as site:
        site.environment |= {**environment(house), "XDG_RUNTIME_DIR": str(site.directory)}
        bus = site.directory / "w1"
        (bus / ROM).mkdir(parents=True)
        (bus / ROM / "w1_slave").write_text(ANSWER)
        text = files()["greenhouse-w1/site.toml"]
        changes = {"esdb://127.0.0.1:2113?tls=false": site.event_store_uri, '"w1"\n': f'"w1"\nfolder = "{bus}"\n'}
        for old, new in changes.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        site.site_file.write_text(text, encoding="utf-8")
        yield site


def said(site: Site, *arguments: str) -> str:
    return site.verb(*arguments).stdout


def test_the_verbs_of_a_first_day_know_the_driver(cellar: Site) -> None:
    file = str(cellar.site_file)
    assert "no mistakes (1 connection, 1 device, 1 point)" in said(cellar, "check", file)
    assert said(cellar, "scan", file, "bus") == f"{ROM}  DS18B20  = slab-1\n1 thermometers (listed)\n"
    assert "substrate_temperature  23.125 °C" in said(cellar, "read", file)
    assert "23.125 °C" in said(cellar, "decode", "--profile", "ds18b20", "--line", ANSWER)
    refused = cellar.verb("decode", "--profile", "ds18b20", "--line", "85 C", check=False)
    assert (refused.returncode, refused.stderr) == (1, "ds18b20 said '85 C'\n")


def has(site: Site, event_type: str) -> bool:
    """Whether an event of a type is in the store, which may not answer yet."""
    told = site.verb("events", "tail", "--uri", site.event_store_uri, check=False)
    return f'"{event_type}"' in told.stdout


@pytest.mark.system
def test_the_daemon_measures_loses_and_finds_the_thermometer(cellar: Site) -> None:
    text = cellar.site_file.read_text(encoding="utf-8")
    cellar.site_file.write_text(text.replace('driver = "w1"\n', 'driver = "w1"\npoll_interval_s = 1\n'))
    cellar.start("event-store")
    cellar.start("run")
    file = cellar.directory / "w1" / ROM / "w1_slave"
    cellar.wait_until(lambda: has(cellar, "SensorReadingReceived"), "a first reading")
    file.unlink()
    cellar.wait_until(lambda: has(cellar, "DeviceConnectionLost"), "the lost thermometer")
    file.write_text(ANSWER)
    cellar.wait_until(lambda: has(cellar, "DeviceConnectionRestored"), "the thermometer that is back")
    status = cellar.status()
    assert status is not None
    (device,) = status["fleet"]["devices"]
    assert (device["deviceId"], device["condition"]) == ("slab-1", "answering")
    readings = [event["data"]["readings"] for event in cellar.events() if event["type"] == "SensorReadingReceived"]
    assert all(
        each == {"substrate_temperature": {"value": 23.125, "unit": "Cel", "quality": "good"}} for each in readings
    )
    assert cellar.end("run") == 0
