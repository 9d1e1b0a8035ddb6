"""Puts other addresses into a site file, as text: comments and order stay."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edge.domain.commissioning import Change
from edge.settings.positions import KeyPath, positions_of

Changes: TypeAlias = Mapping[KeyPath, Change]

_STRING = r'"""(?:\\[\s\S]|[^\\])*?"""|' r"'''[\s\S]*?'''|" r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'"
_ASSIGNMENT = re.compile(rf"""(?P<key>(?:{_STRING}|[^="'])+=[ \t]*)(?P<value>{_STRING}|[^\s,#}}]+)""")
_AFTER = re.compile(r"[ \t]*(?P<comma>,)?[ \t]*")
# A key that every connection has: new keys go beside it.
_ANCHOR = "driver"


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    new: str


def with_values(text: str, changes: Changes) -> str:
    """Return a site file, which must be valid, with these values; a key that is not there comes beside `driver`."""
    file = _File(text)
    edits = [edit for path, change in changes.items() for edit in file.edits(path, change)]
    # From the end on, so that what comes before keeps its place.
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


class _File:
    def __init__(self, text: str) -> None:
        self._text = text
        self._places = positions_of(text)
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def edits(self, path: KeyPath, change: Change) -> Iterator[_Edit]:
        at = self._offset(path)
        if at is None:
            if change is not None:
                yield self._added(path, change)
        elif change is None:
            yield self._removed(at)
        else:
            match = self._assignment(at)
            yield _Edit(match.start("value"), match.end("value"), _toml(change))

    def _offset(self, path: KeyPath) -> int | None:
        place = self._places.get(path)
        return None if place is None else self._starts[place[0] - 1] + place[1] - 1

    def _assignment(self, at: int) -> re.Match[str]:
        match = _ASSIGNMENT.match(self._text, at)
        assert match is not None, "positions_of gives the place of a key"
        return match

    def _added(self, path: KeyPath, change: str | int) -> _Edit:
        at = self._offset((*path[:-1], _ANCHOR))
        assert at is not None, "a connection has a driver"
        end = self._assignment(at).end("value")
        indent = self._indent(at)
        # Inside an inline table there is no new line.
        separator = ", " if indent is None else f"\n{indent}"
        return _Edit(end, end, f"{separator}{path[-1]} = {_toml(change)}")

    def _removed(self, at: int) -> _Edit:
        end = self._assignment(at).end("value")
        if self._indent(at) is not None:
            line_end = self._text.find("\n", end)
            return _Edit(self._text.rfind("\n", 0, at) + 1, len(self._text) if line_end < 0 else line_end + 1, "")
        after = _AFTER.match(self._text, end)
        assert after is not None, "the pattern matches nothing, too"
        if after["comma"]:
            return _Edit(at, after.end(), "")
        # The last one: the comma before it goes.
        return _Edit(len(self._text[:at].rstrip().removesuffix(",")), end, "")

    def _indent(self, at: int) -> str | None:
        """Return what stands before a key that begins its line; None for one that does not."""
        before = self._text[self._text.rfind("\n", 0, at) + 1 : at]
        return None if before.strip() else before


def _toml(value: str | int) -> str:
    # JSON's strings are TOML's, but for a character that no address has.
    return json.dumps(value, ensure_ascii=False)
