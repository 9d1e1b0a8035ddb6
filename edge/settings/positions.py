"""The place of each key and value in a TOML text. tomllib gives values without places; no library gives both.

The scanner takes a text that tomllib has found valid, so it only walks: it never has to say what is wrong.
"""

import re
import tomllib
from bisect import bisect_right
from typing import TypeAlias

# Keys, and indices into arrays: ("connection", 0, "device", 2, "poll_interval_s").
KeyPath: TypeAlias = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK_IN_LINE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Longest first: three quotes open a multi-line string, which may end in up to five (two belong to the text).
_STRING = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"""(?:"{0,2})' r"|'''[\s\S]*?'''(?:'{0,2})" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'"
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


def positions_of(text: str) -> dict[KeyPath, tuple[int, int]]:
    """Map each path of a valid TOML text to line and column (from 1) of its key, table header or array element."""
    scanner = _Scanner(text)
    scanner.scan()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return {path: _line_and_column(starts, offset) for path, offset in scanner.offsets.items()}


def _line_and_column(starts: list[int], offset: int) -> tuple[int, int]:
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1


def path_text(path: KeyPath) -> str:
    """Write a path as people read it: `connection[0].device[2].poll_interval_s`."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            name = part if _BARE_KEY.fullmatch(part) else f'"{part}"'
            parts.append(f".{name}" if parts else name)
    return "".join(parts)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.offsets: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        # How many [[tables]] each path has so far.
        self._counts: dict[KeyPath, int] = {}

    def scan(self) -> None:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._key_value(table)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        assert match is not None, f"offset {self._at} of a text that tomllib took"
        self._at = match.end()
        return self._at

    def _header(self) -> KeyPath:
        start = self._at
        is_array = self._text.startswith("[[", start)
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        keys = self._key()
        for key in keys[:-1]:
            path = self._newest((*path, key))
            self.offsets.setdefault(path, start)
        path = (*path, keys[-1])
        self.offsets.setdefault(path, start)
        if is_array:
            self._counts[path] = self._counts.get(path, 0) + 1
            path = self._newest(path)
        self.offsets.setdefault(path, start)
        self._at += 2 if is_array else 1
        return path

    def _newest(self, path: KeyPath) -> KeyPath:
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _key(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_BLANK_IN_LINE)
            start = self._at
            quoted = self._text[start] in "\"'"
            self._skip(_STRING if quoted else _BARE_KEY)
            word = self._text[start : self._at]
            keys.append(str(tomllib.loads(f"key = {word}")["key"]) if quoted else word)
            self._skip(_BLANK_IN_LINE)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _key_value(self, table: KeyPath) -> None:
        start = self._at
        path = table
        for key in self._key():
            path = (*path, key)
            self.offsets.setdefault(path, start)
        self._at += 1  # the equals sign
        self._skip(_BLANK_IN_LINE)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        opening = self._text[self._at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._skip(_STRING if opening in "\"'" else _SCALAR)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip(_BLANK)] != "]":
            self.offsets[*path, index] = self._at
            self._value((*path, index))
            index += 1
            self._separator()
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._text[self._skip(_BLANK)] != "}":
            self._key_value(path)
            self._separator()
        self._at += 1

    def _separator(self) -> None:
        self._skip(_BLANK)
        if self._text.startswith(",", self._at):
            self._at += 1
