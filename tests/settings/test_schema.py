import json
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema  # it brings no types
import pytest

from drivers import driver_kinds
from edge.domain.event import Json
from edge.settings.profile_places import packaged_profiles
from edge.settings.schema import Schema, profile_schema, site_schema

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize(
    ("file", "schema", "verb"),
    [
        ("site.schema.json", site_schema(driver_kinds()), "schema"),
        ("profile.schema.json", profile_schema(driver_kinds()), "schema --profile"),
    ],
)
def test_the_schema_files_are_what_the_code_says(file: str, schema: Schema, verb: str) -> None:
    written = json.loads((CONFIG / file).read_text(encoding="utf-8"))
    assert written == schema, f"run: greenhouse-edge {verb} > config/{file}"


@pytest.fixture(scope="module")
def site() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(site_schema(driver_kinds()))
    return jsonschema.Draft202012Validator(site_schema(driver_kinds()))


@pytest.mark.parametrize("name", [file.name for file in sorted(CONFIG.glob("*.toml"))])
def test_every_site_file_of_ours_obeys_the_schema(site: jsonschema.Draft202012Validator, name: str) -> None:
    site.validate(tomllib.loads((CONFIG / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", sorted(packaged_profiles().glob("*.toml")), ids=lambda file: file.stem)
def test_every_profile_of_ours_obeys_the_schema(file: Path) -> None:
    schema = profile_schema(driver_kinds())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(tomllib.loads(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["site", "id"], "North 1"),
        (["outbox", "commit_interval"], 5),
        (["connection", 0, "seed"], 1),
        (["connection", 0, "tcp_port"], "502"),
        (["connection", 0, "device", 0, "remote"], {"poll_interval_s": {"min": 2}}),
        (["connection", 0, "device", 0, "point", "air_temperature", "quantity"], "warmth"),
        (["connection", 0, "device", 0, "point", "air_temperature", "scael"], 2),
    ],
)
def test_the_schema_sees_what_an_editor_should_underline(
    site: jsonschema.Draft202012Validator, path: list[str | int], value: Json
) -> None:
    tree = deepcopy(tomllib.loads((CONFIG / "north-1.toml").read_text(encoding="utf-8")))
    inner: Any = tree
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    assert not site.is_valid(tree)


def test_the_schema_line_of_each_site_file_names_the_schema_beside_it() -> None:
    for file in (CONFIG / "reference.toml", CONFIG / "north-1.toml"):
        first = file.read_text(encoding="utf-8").splitlines()[0]
        assert first == "#:schema ./site.schema.json"
    assert (CONFIG / "site.schema.json").is_file()
