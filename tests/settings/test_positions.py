import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.settings.positions import KeyPath, path_text, positions_of

TEXT = '''\
# a comment [not.a.table]
title = "north = \\" # no comment"
[site]   # here
id = 'north-1'
"odd key".inner = { min = 1, "m a x" = [1, [2, 3]] } # after
[[connection]]
id = "a"
long = """
[not] = "a table"
""""
  [[connection.device]]
  id = "d0"
  [[connection.device]]
  id = "d1"
    [connection.device.point.air_temperature]
    offset = -0.2
    text = \'\'\'it's
    = here\'\'\'
[[connection]]
list = [
  1, # one
  { a = 2 },
]
when = 2026-11-23T10:15:00Z
'''


def paths_in(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_in(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths_in(item, (*path, index))


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("title",), 2, 1),
        (("site",), 3, 1),
        (("site", "odd key", "inner", "min"), 5, 21),
        (("site", "odd key", "inner", "m a x", 1, 1), 5, 48),
        (("connection", 0, "long"), 8, 1),
        (("connection", 0, "device", 1, "id"), 14, 3),
        (("connection", 0, "device", 1, "point", "air_temperature", "offset"), 16, 5),
        (("connection", 1), 19, 1),
        (("connection", 1, "list", 1, "a"), 22, 5),
        (("connection", 1, "when"), 24, 1),
    ],
)
def test_every_key_has_its_line_and_column(path: KeyPath, line: int, column: int) -> None:
    assert positions_of(TEXT)[path] == (line, column)


def test_the_scanner_finds_what_tomllib_finds() -> None:
    assert set(positions_of(TEXT)) == set(paths_in(tomllib.loads(TEXT)))


def test_carriage_returns_do_not_move_lines() -> None:
    assert positions_of(TEXT.replace("\n", "\r\n"))["connection", 1, "when"] == (24, 1)


KEYS = st.one_of(st.from_regex(r"[a-z0-9_-]{1,5}", fullmatch=True), st.text(st.characters(codec="utf-8"), max_size=4))
SCALARS = st.one_of(
    st.integers(-(2**40), 2**40), st.booleans(), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8"))
)


def toml_string(text: str) -> str:
    return (
        '"'
        + "".join(f"\\U{ord(letter):08x}" if ord(letter) < 32 or letter in '"\\\x7f' else letter for letter in text)
        + '"'
    )


def toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, list):
        return "[ " + " , # more\n".join(map(toml_value, value)) + " ]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_string(key)} = {toml_value(item)}" for key, item in value.items()) + "}"
    return str(value)


VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


TREES = st.dictionaries(KEYS, VALUES, max_size=4)


class Writer:
    """Writes a tree as TOML, drawing one of the many ways at every step."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.lines: list[str] = []

    def table(self, tree: dict[str, object], header: tuple[str, ...]) -> None:
        sections = {key for key, value in tree.items() if self.may_be_section(value) and self.draw(st.booleans())}
        for key, value in tree.items():
            if key not in sections:
                self.key_value(toml_string(key), value)
        for key, value in tree.items():
            if key in sections:
                self.section(value, (*header, toml_string(key)))

    def may_be_section(self, value: object) -> bool:
        return isinstance(value, dict) or (
            isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
        )

    def key_value(self, key: str, value: object) -> None:
        if isinstance(value, dict) and value and self.draw(st.booleans()):
            for inner, item in value.items():
                self.key_value(f"{key} . {toml_string(inner)}", item)
        else:
            self.line(f"{key} = {toml_value(value)}")

    def section(self, value: object, header: tuple[str, ...]) -> None:
        tables, (opening, closing) = ([value], "[]") if isinstance(value, dict) else (value, ("[[", "]]"))
        assert isinstance(tables, list)
        for table in tables:
            self.line(f"{opening} {'.'.join(header)} {closing}")
            self.table(table, header)

    def line(self, text: str) -> None:
        self.lines += [self.draw(st.sampled_from(["", "  ", "# [no] = 'table'\n\t"])) + text]


@st.composite
def texts(draw: st.DrawFn) -> tuple[dict[str, object], str]:
    tree: dict[str, object] = dict(draw(TREES))
    writer = Writer(draw)
    writer.table(tree, ())
    return tree, draw(st.sampled_from(["\n", "\r\n"])).join(writer.lines)


@given(texts())
def test_any_valid_text_gives_the_same_paths_as_tomllib(written: tuple[dict[str, object], str]) -> None:
    tree, text = written
    assert tomllib.loads(text) == tree
    assert set(positions_of(text)) == set(paths_in(tree))


@given(texts())
def test_at_every_position_stands_what_the_path_names(written: tuple[dict[str, object], str]) -> None:
    tree, text = written
    lines = text.split("\n")
    for path, (line, column) in positions_of(text).items():
        there = lines[line - 1][column - 1 :]
        if isinstance(path[-1], str):
            assert toml_string(path[-1]) in there
        elif not there.startswith("[["):
            assert there.startswith(toml_value(value_at(tree, path)).split("\n")[0])


def value_at(value: object, path: KeyPath) -> object:
    for part in path:
        value = value[part]  # type: ignore[index]  # the path is the tree's own
    return value


def test_paths_are_written_as_people_read_them() -> None:
    assert path_text(("connection", 0, "device", 2, "poll_interval_s")) == "connection[0].device[2].poll_interval_s"
    assert path_text(("a", "odd key")) == 'a."odd key"'
    assert path_text(()) == ""
