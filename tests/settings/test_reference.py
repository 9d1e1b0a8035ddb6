"""config/reference.toml shows every option, and each default it shows is the one that the code has."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from drivers import driver_kinds
from edge.domain.settings import EventStoreSettings, OutboxSettings, Settings, SiteSettings, StreamTemplates
from edge.settings.positions import KeyPath, path_text, positions_of
from edge.settings.site import load_settings
from edge.settings.tables import (
    ConnectionTable,
    DeviceRemoteTable,
    DeviceTable,
    GatewayTable,
    GroupTable,
    LimitsTable,
    PointRemoteTable,
    PointTable,
)

REFERENCE = Path(__file__).parents[2] / "config" / "reference.toml"
LINES = REFERENCE.read_text(encoding="utf-8").splitlines()
OPTION = re.compile(r"(?P<indent> *)# (?P<option>(?P<key>[a-z_]+) = .+)")
KEYS = {number: match["key"] for number, line in enumerate(LINES) if (match := OPTION.fullmatch(line))}
OPTIONS = list(KEYS)
# Options whose line is an example: what is true without them is no value that could be written.
EXEMPT = re.compile(r"No default|Default: ")


def with_options(*numbers: int) -> str:
    return "\n".join(
        OPTION.sub(r"\g<indent>\g<option>", line) if number in numbers else line for number, line in enumerate(LINES)
    )


# The page with everything in it.
TREE = tomllib.loads(with_options(*OPTIONS))
POSITIONS = positions_of(with_options(*OPTIONS))


def sentence_above(number: int) -> str:
    """The comment over an option; options that follow one another share one."""
    above: list[str] = []
    for line in reversed(LINES[:number]):
        if line.strip().startswith("## "):
            above.append(line.strip())
        elif above or not OPTION.fullmatch(line):
            break
    return " ".join(reversed(above))


def loaded(text: str, folder: Path) -> Settings:
    file = folder / "site.toml"
    file.write_text(text, encoding="utf-8")
    return replace(load_settings(file), digest="", file=REFERENCE)


def label(number: int) -> str:
    return f"line {number + 1}: {LINES[number].strip()[2:40]}"


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What the page says with every option left out."""
    return loaded(with_options(), tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("number", OPTIONS, ids=label)
def test_a_shown_default_is_the_real_one(number: int, without: Settings, tmp_path: Path) -> None:
    (tmp_path / "my-pretended-model.toml").write_text(
        '[profile]\nid = "my-pretended-model"\nversion = 1\ndriver = "simulated"\ntitle = "t"\nsource = "s"\n'
    )
    shown = loaded(with_options(number), tmp_path)
    if not EXEMPT.search(sentence_above(number)):
        assert shown == without


@pytest.mark.parametrize("number", OPTIONS, ids=label)
def test_an_option_is_an_example_only_where_the_code_has_no_fixed_default(number: int) -> None:
    (path,) = [path for path, (line, _) in POSITIONS.items() if line == number + 1 and path[-1] == KEYS[number]]
    (default,) = [item.default for item in fields_of(path[:-1]) if written(item) == path[-1]]
    assert (default is None) == bool(EXEMPT.search(sentence_above(number)))


def test_every_option_of_every_class_is_shown() -> None:
    tables_within = {"device", "device_group", "point"}
    differences = {
        path_text(path): differing
        for path, keys in tables(TREE)
        if path and (differing := {written(item) for item in fields_of(path)} ^ (keys - tables_within - repeated(path)))
    }
    assert not differences
    assert set(TREE) == {*PLAIN, "connection"}
    assert {connection["driver"] for connection in TREE["connection"]} == set(driver_kinds())


def tables(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, set[str]]]:
    """Each table of the page with its keys, but those of a driver's own lists and tables."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from tables(item, (*path, index))
    elif isinstance(value, dict):
        if path[-1:] != ("point",):
            yield path, set(value)
        for key, item in value.items():
            if not (isinstance(item, dict) and key in OPTION_TABLES):
                yield from tables(item, (*path, key))


# Options that are tables: their classes check them.
OPTION_TABLES = {"map", "compensation", "time", "labels"}

PLAIN = {
    "site": SiteSettings,
    "gateway": GatewayTable,
    "event_store": EventStoreSettings,
    "outbox": OutboxSettings,
    "streams": StreamTemplates,
}


def owners_of(path: KeyPath) -> tuple[type, ...]:
    """The classes that hold the keys of a table."""
    if len(path) == 1:
        return (PLAIN[str(path[0])],)
    _, index, *rest = path
    kind = driver_kinds()[TREE["connection"][index]["driver"]]
    if "remote" in rest:
        remote = PointRemoteTable if "point" in rest else DeviceRemoteTable
        return (remote if rest[-1] == "remote" else LimitsTable,)
    if "point" in rest:
        return (PointTable, kind.point_options)
    if rest[:1] == ["device_group"]:
        return (GroupTable,)
    return (DeviceTable, kind.device_options) if rest else (ConnectionTable, kind.connection_options)


def repeated(path: KeyPath) -> set[str]:
    """Keys of a device that a group has as well: the page explains them once."""
    if path[-2:-1] != ("device_group",):
        return set()
    kind = driver_kinds()[TREE["connection"][path[1]]["driver"]]
    return {item.name for owner in (DeviceTable, kind.device_options) for item in fields(owner)}


def written(item: Field[Any]) -> str:
    """The key that a field has in a site file: one of them is a word of Python's."""
    return "except" if item.name == "exclude" else item.name


def fields_of(path: KeyPath) -> list[Field[Any]]:
    return [item for owner in owners_of(path) for item in fields(owner)]
