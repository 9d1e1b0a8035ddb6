"""Whatever stands in a site file or a profile, it is read, or each mistake has its place; nothing else is ever raised."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.settings.problems import ConfigurationInvalid
from edge.settings.site import load_settings
from edge.settings.specimen import load_specimen

ROOT = Path(__file__).parents[2]
SITES = [(ROOT / "config" / name).read_bytes() for name in ("north-1.toml", "reference.toml", "demo.toml")]
PROFILES = sorted((ROOT / "drivers" / "profiles").glob("*.toml"))
# What a slip of the hand or an editor leaves behind.
SLIPS = [
    b'"',
    b"'",
    b"[",
    b"]",
    b"{",
    b"}",
    b"=",
    b"#",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"-",
    b".",
    b"nan",
    b"inf",
    b"1e999",
]
OTHERS = [
    "true",
    "-1",
    "0",
    "99999999999999999999",
    "nan",
    "inf",
    '""',
    '"x"',
    "[]",
    "[[]]",
    "{}",
    "1979-05-27",
    '"\\u0000"',
    "0.1",
]

fuzzed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_site(content: bytes, folder: Path) -> None:
    file = folder / "site.toml"
    file.write_bytes(content)
    assert_told(lambda: load_settings(file))


def read_profile(name: str, content: bytes, folder: Path) -> None:
    (folder / f"{name}.toml").write_bytes(content)
    assert_told(lambda: load_specimen(name, folder))


def assert_told(read: Callable[[], object]) -> None:
    """Read; mistakes have a line and a sentence."""
    try:
        read()
    except ConfigurationInvalid as error:
        problems = error.problems
    else:
        return
    assert problems
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems)


@fuzzed
@given(st.binary(max_size=400))
def test_any_bytes_are_a_site_file_or_have_mistakes(tmp_path: Path, content: bytes) -> None:
    read_site(content, tmp_path)


@fuzzed
@given(st.sampled_from(SITES), st.integers(min_value=0), st.integers(0, 30), st.sampled_from([b"", *SLIPS]))
def test_a_site_file_with_a_slip_is_read_or_has_mistakes(
    tmp_path: Path, content: bytes, where: int, cut: int, slip: bytes
) -> None:
    position = where % len(content)
    read_site(content[:position] + slip + content[position + cut :], tmp_path)


@fuzzed
@given(st.sampled_from(PROFILES), st.integers(min_value=0), st.integers(0, 30), st.sampled_from([b"", *SLIPS]))
def test_a_profile_with_a_slip_is_read_or_has_mistakes(
    tmp_path: Path, file: Path, where: int, cut: int, slip: bytes
) -> None:
    content = file.read_bytes()
    position = where % len(content)
    read_profile(file.stem, content[:position] + slip + content[position + cut :], tmp_path)


@fuzzed
@given(st.data())
def test_any_value_at_any_key_is_taken_or_is_a_mistake(tmp_path: Path, data: st.DataObject) -> None:
    """Every key of a site file and of a profile meets values of every type."""
    if data.draw(st.booleans()):
        text = data.draw(st.sampled_from(SITES)).decode()
        read_site(replaced(text, data).encode(), tmp_path)
    else:
        file = data.draw(st.sampled_from(PROFILES))
        read_profile(file.stem, replaced(file.read_text(encoding="utf-8"), data).encode(), tmp_path)


def replaced(text: str, data: st.DataObject) -> str:
    """The text with one key's value replaced; commented keys come in."""
    lines = text.split("\n")
    keys = [number for number, line in enumerate(lines) if " = " in line and not line.strip().startswith("##")]
    number = data.draw(st.sampled_from(keys))
    key = lines[number].replace("# ", "", 1).split(" = ")[0]
    lines[number] = f"{key} = {data.draw(st.sampled_from(OTHERS))}"
    return "\n".join(lines)


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_a_packaged_profile_makes_a_device_without_a_site_file(file: Path) -> None:
    specimen = load_specimen(file.stem, file.parent.parent)
    head: Mapping[str, object] = tomllib.loads(file.read_text(encoding="utf-8"))["profile"]
    assert specimen.profile.source == head["source"]
    assert specimen.device.points
