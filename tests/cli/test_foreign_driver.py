"""A third party's driver that breaks: those who do not use it never notice, those who do are told where."""

from functools import partial
from pathlib import Path

import pytest

from edge.cli import EXIT_CONFIGURATION
from fakes.command_line import site_file, typed
from fakes.foreign_driver import install_driver

CONNECTION = """
[[connection]]
id = "bus"
driver = "my-bus"
[[connection.device]]
id = "d"
[connection.device.point.air_temperature]
"""
PROFILE = """
[profile]
id = "thing"
version = 1
driver = "my-bus"
title = "Thing"
source = "here"
[point.air_temperature]
"""
KIND = "(my_bus_driver:KIND of my-bus 1.0)"
BREAKS = "raise KeyError('speed')"
AT_IMPORT = "raise RuntimeError('no licence')"


@pytest.mark.parametrize("arguments", [["schema"], ["schema", "--profile"]])
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ({"before": AT_IMPORT}, "cannot be imported: RuntimeError: no licence"),
        ({"before": "raise SystemExit(3)"}, "cannot be imported: SystemExit: 3"),
        ({"title": "{1, 2}"}, "has options without a schema: TypeError: "),
        ({"type": "Odd"}, "has options without a schema: PydanticSchemaGenerationError: "),
    ],
)
def test_schema_leaves_out_a_driver_that_cannot_be_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: dict[str, str], told: str
) -> None:
    without = typed(*arguments).stdout
    install_driver(tmp_path, monkeypatch, **code)
    result = typed(*arguments)
    assert (result.exit_code, result.stdout) == (0, without)
    assert result.stderr.startswith(f"warning: driver 'my-bus' {KIND} {told}")


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ({"before": AT_IMPORT}, "cannot be imported: RuntimeError: no licence"),
        ({"before": "raise SystemExit(3)"}, "cannot be imported: SystemExit: 3"),
        ({"birth": BREAKS}, "broke on its options: KeyError: 'speed'"),
        ({"birth": "raise SystemExit(3)"}, "broke on its options: SystemExit: 3"),
        ({"mistakes": BREAKS}, "broke on its options: KeyError: 'speed'"),
        ({"whole": BREAKS}, "broke on its options: KeyError: 'speed'"),
        ({"whole": "return [1]"}, "broke on its options: TypeError: cannot unpack non-iterable int object"),
    ],
)
def test_a_site_that_uses_a_broken_driver_is_told_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, code: dict[str, str], told: str
) -> None:
    install_driver(tmp_path, monkeypatch, **code)
    file = site_file(tmp_path, CONNECTION)
    result = typed(verb, file)
    assert result.exit_code == EXIT_CONFIGURATION
    assert result.stderr == f"{file}:9:1: connection[0].driver: driver 'my-bus' {KIND} {told}\n"


def test_a_driver_that_breaks_over_its_warnings_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_driver(tmp_path, monkeypatch, cautions=BREAKS)
    file = site_file(tmp_path, CONNECTION)
    result = typed("check", file)
    assert result.exit_code == 0
    place = f"{file}:9:1: warning: connection[0].driver"
    assert f"{place}: driver 'my-bus' {KIND} broke on its options: KeyError: 'speed'" in result.stderr


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ({"before": AT_IMPORT}, "cannot be imported: RuntimeError: no licence"),
        ({"birth": BREAKS}, "broke on its options: KeyError: 'speed'"),
    ],
)
def test_profiles_of_others_are_shown_and_one_of_a_broken_driver_is_told_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: dict[str, str], told: str
) -> None:
    install_driver(tmp_path, monkeypatch, **code)
    (tmp_path / "profiles").mkdir()
    file = tmp_path / "profiles" / "thing.toml"
    file.write_text(PROFILE, encoding="utf-8")
    shown = partial(typed, "profiles", "--beside", tmp_path)
    assert "thing " in shown().stdout
    assert shown("xy-md02").exit_code == 0
    result = shown("thing")
    assert result.exit_code == EXIT_CONFIGURATION
    assert f"{file}:5:1: profile.driver: driver 'my-bus' {KIND} {told}" in result.stderr


@pytest.mark.parametrize("code", [{"before": AT_IMPORT}, {"before": "raise SystemExit(3)"}, {"whole": BREAKS}])
def test_a_site_without_the_broken_driver_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: dict[str, str]
) -> None:
    install_driver(tmp_path, monkeypatch, **code)
    file = site_file(tmp_path, CONNECTION.replace("my-bus", "simulated"))
    assert typed("check", file).exit_code == 0
