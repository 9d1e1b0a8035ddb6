"""Where a value stands in a JSON document. Parsed once from the site file or profile, then only walked. No I/O.

`SI7021.Temperature`: keys, separated by dots.
`"temperature:0".tC`: a key in quotes, as JSON writes text, may hold anything.
`Distance[0]`: an item of a list, counted from 0.
`metrics[name="Supply"].value`: of a list's items or an object's members the first whose `name` is Supply.
`*[Id="00000566CC39"].Temperature`: the same among the members of the whole document. The star may be left out.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from drivers.decoders.payload import JsonValue

# A path is written by hand.
PATH_LENGTH_MAX = 256

# Bare keys may hold dashes, colons, slashes and letters of any script, but nothing that a path means something with.
_BARE = r'[^\s."\[\]=*]+'
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_KEY = re.compile(rf"{_QUOTED}|{_BARE}")
_INDEX = re.compile(r"\[([0-9]{1,5})\]")
_SELECTION = re.compile(rf"\[({_QUOTED}|{_BARE})=({_QUOTED}|[^\s\"\[\]=]+)\]")
_STAR = re.compile(r"\*(?=\[)")


class Missing(Enum):
    """What is found where nothing is: not null, which a device may write."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
Found: TypeAlias = "JsonValue | Missing"


class PathMalformed(ValueError):  # noqa: N818 - named like the other malformed things
    """The text is no path; the message says where and why."""


@dataclass(frozen=True, slots=True)
class _Selection:
    """The first member that has this value at this key."""

    key: str
    value: JsonValue

    def find(self, container: JsonValue) -> Found:
        members: Iterator[JsonValue] = iter(())
        if isinstance(container, dict):
            members = iter(container.values())
        elif isinstance(container, list):
            members = iter(container)
        return next((member for member in members if isinstance(member, dict) and self._fits(member)), MISSING)

    def _fits(self, member: dict[str, JsonValue]) -> bool:
        value = member.get(self.key)
        # To Python 1 is True, to a device it is not.
        return value == self.value and isinstance(value, bool) == isinstance(self.value, bool)


_Step: TypeAlias = str | int | _Selection


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A parsed path. Two are equal if they lead to the same place."""

    text: str = field(compare=False)
    steps: tuple[_Step, ...] = ()

    def find(self, document: JsonValue) -> Found:
        """Return what stands there, null included; MISSING if nothing does, or something without members."""
        value: Found = document
        for step in self.steps:
            if value is MISSING:
                return MISSING
            value = _stepped(value, step)
        return value


# Leads to the whole document.
ROOT = JsonPath("")


def _stepped(value: JsonValue, step: _Step) -> Found:
    if isinstance(step, str):
        return value.get(step, MISSING) if isinstance(value, dict) else MISSING
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and step < len(value) else MISSING
    return step.find(value)


def key_path(key: str) -> JsonPath:
    """Make the path of one key, whatever characters it has."""
    return JsonPath(key, (key,))


def parse_path(text: str) -> JsonPath:
    """Parse a path. Raises PathMalformed."""
    if not text:
        raise PathMalformed("it is empty")
    if len(text) > PATH_LENGTH_MAX:
        raise PathMalformed(f"it is longer than {PATH_LENGTH_MAX} characters")
    return JsonPath(text, tuple(_steps(text)))


def _steps(text: str) -> Iterator[_Step]:
    position = 0
    while position < len(text):
        if text[position] == "[":
            step, position = _bracket(text, position)
            yield step
            continue
        if position > 0:
            if text[position] != ".":
                raise PathMalformed(f"at character {position + 1} a dot or [ is expected")
            position += 1
        if star := _STAR.match(text, position):
            position = star.end()
            continue
        key, position = _key(text, position)
        yield key


def _key(text: str, position: int) -> tuple[str, int]:
    match = _KEY.match(text, position)
    if match is None:
        raise PathMalformed(f"at character {position + 1} a key is expected; one with unusual characters in quotes")
    return _unquoted(match[0], position), match.end()


def _bracket(text: str, position: int) -> tuple[_Step, int]:
    if index := _INDEX.match(text, position):
        return int(index[1]), index.end()
    selection = _SELECTION.match(text, position)
    if selection is None:
        raise PathMalformed(f'at character {position + 1} an item is expected, [0], or a selection, [key="value"]')
    key = _unquoted(selection[1], selection.start(1))
    return _Selection(key, _wanted(selection[2], selection.start(2))), selection.end()


def _wanted(word: str, position: int) -> JsonValue:
    """Return the value that a selection compares with: a number, true or false where it is written so, else a text."""
    if word.startswith('"'):
        return _unquoted(word, position)
    try:
        value: JsonValue = json.loads(word)
    except ValueError:
        return word
    return value if isinstance(value, bool | int | float) else word


def _unquoted(word: str, position: int) -> str:
    if not word.startswith('"'):
        return word
    try:
        text: str = json.loads(word)
    except ValueError as error:
        raise PathMalformed(f"at character {position + 1} the quotes hold what no JSON text may hold") from error
    return text
