import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli import EXIT_CONFIGURATION, greenhouse_edge

CONFIG = Path(__file__).parents[2] / "config"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(greenhouse_edge, [str(argument) for argument in arguments])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return Path(shutil.copy(CONFIG / "north-1.toml", tmp_path / "site.toml"))


def test_a_site_file_without_mistakes_is_said_to_have_none(site: Path) -> None:
    result = run("check", site)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{site}: no mistakes (2 connections, 4 devices, 15 points)\n"


def test_every_mistake_stands_on_a_line_of_its_own(site: Path) -> None:
    site.write_text(site.read_text().replace("address = 3", "adress = 3").replace('time_zone = "', 'time_zone = "X'))
    result = run("check", site)
    assert (result.exit_code, result.stdout) == (EXIT_CONFIGURATION, "")
    zone, key = result.stderr.splitlines()
    assert zone.startswith(f"{site}:7:1: site.time_zone: ")
    assert key == f"{site}:30:3: connection[0].device[0].adress: unknown key 'adress'; did you mean 'address'?"


def test_a_warning_is_told_and_is_no_mistake(site: Path) -> None:
    site.write_text(site.read_text().replace("address = 4", "address = 254"))
    result = run("check", site)
    assert result.exit_code == 0
    assert f"{site}:42:3: warning: connection[0].device[1].address: bench3-co2 has address 254" in result.stderr


def test_json_holds_the_same_facts(site: Path) -> None:
    site.write_text(site.read_text().replace("address = 4", "address = 254"))
    told = json.loads(run("check", "--json", site).stdout)
    assert (told["valid"], told["devices"], told["mistakes"]) == (True, 4, [])
    assert told["warnings"][0]["path"] == "connection[0].device[1].address"
    site.write_text("[site]\nid = \n")
    result = run("check", "--json", site)
    assert result.exit_code == EXIT_CONFIGURATION
    told = json.loads(result.stdout)
    assert not told["valid"]
    assert told["mistakes"][0] == {
        "file": str(site),
        "line": 2,
        "column": 6,
        "path": "",
        "message": "is not TOML: Invalid value",
    }


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    result = run("check", tmp_path / "none.toml")
    assert result.exit_code == EXIT_CONFIGURATION
    assert "none.toml:1:1: cannot be read: No such file or directory" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "file"), [(["schema"], "site.schema.json"), (["schema", "--profile"], "profile.schema.json")]
)
def test_schema_prints_what_stands_in_config(arguments: list[str], file: str) -> None:
    assert run(*arguments).stdout == (CONFIG / file).read_text(encoding="utf-8")
