"""Lines of text as loggers and self-made nodes send them: CSV, key=value, JSON, or whatever a pattern fits. No I/O.

A line has no checksum. What was lost from its beginning or middle cannot be seen in a CSV line (`1.5,33.1` torn to
`.5,33.1`): let the device's `discard_frames` pass over the first line, and choose `regex` or `json` where there is a
choice, which take a line only as a whole.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from drivers.decoders.frame import Field, FrameMalformed
from drivers.decoders.line_frames import LineFrames, excerpt, text_of_line
from drivers.decoders.units import WRITTEN_UNITS, unknown
from drivers.decoders.values import number_of, truth_of

Layout: TypeAlias = Literal["csv", "key_value", "json", "regex"]

# A pattern may try many ways to fit a line; what is this short keeps all but malicious ones fast.
PATTERN_LINE_LENGTH_MAX = 512
# Deeper than any node nests its values.
JSON_DEPTH_MAX = 16

# How lines say that there is no number.
_NO_NUMBERS = frozenset({"nan", "null", "none", "na", "n/a", "inf", "-inf", "---", "over"})
_KEY = re.compile(r"(?<![^\s,;|])(?P<key>[A-Za-z][\w.-]*) ?[=:] ?")
_BETWEEN = " \t,;|"
# A number and what stands after it. A word there must be one: `0x1F` is not 0, `21,8` not 21.
_MEASURE = re.compile(r"(?P<number>[+-]? *(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)) *(?P<unit>[^\s\d.,+-]\S*)")
_WORD = re.compile(r" [^\W\d_]+$")


class LineDecoder(LineFrames):
    """Fields of a line: by number ("0", "1") of CSV, by key, by dotted JSON name ("air.temperature"), by group name.

    `separator` is CSV's; a blank stands for any number of blanks. `pattern` is a regular expression that fits a whole
    line, with a named group for each field; one that repeats repetitions (`(a+)+`) may take very long over a line.
    """

    def __init__(
        self, *, layout: Layout = "csv", separator: str = ",", pattern: str = "", terminator: str = "\n"
    ) -> None:
        """Raises ValueError with a sentence if the pattern is none, or the separator is empty."""
        super().__init__(terminator=terminator)
        if layout == "csv" and not separator:
            raise ValueError("separator is empty; say what stands between two values")
        self._layout = layout
        self._separator = separator
        self._pattern = _compiled(pattern) if layout == "regex" else None

    def fields(self, frame: bytes) -> Mapping[str, Field]:
        """Return the fields of one line. Raises FrameMalformed if it does not fit the layout, like a boot message."""
        line = text_of_line(frame).strip()
        if self._layout == "json":
            return _json_fields(line)
        if self._layout == "key_value":
            return _keyed_fields(line)
        if self._pattern is not None:
            return _matched_fields(line, self._pattern)
        return _separated_fields(line, self._separator)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern is no regular expression: {error}") from error
    if not compiled.groupindex:
        raise ValueError("pattern names no field; write each as a group, like (?P<depth>[0-9]+)")
    return compiled


def _separated_fields(line: str, separator: str) -> dict[str, Field]:
    parts = line.split() if separator.isspace() and separator != "\t" else line.split(separator)
    texts = [part.strip().strip('"').strip() for part in parts]
    if not any(map(_is_value, texts)):
        raise FrameMalformed(f"{excerpt(line)} holds no value between its separators")
    return {str(number): Field(text or None) for number, text in enumerate(texts)}


def _is_value(text: str) -> bool:
    return number_of(text) is not None or truth_of(text) is not None or text.lower() in _NO_NUMBERS


def _keyed_fields(line: str) -> dict[str, Field]:
    keys = list(_KEY.finditer(line))
    if not keys:
        raise FrameMalformed(f"{excerpt(line)} holds no key and value, like depth=127 mm")
    ends = [key.start() for key in keys[1:]] + [len(line)]
    return {key["key"]: _measure(line[key.end() : end].strip(_BETWEEN)) for key, end in zip(keys, ends, strict=True)}


def _measure(text: str) -> Field:
    """Take the unit from behind the number. A word that is none we know stays one: no value in the point's unit."""
    match = _MEASURE.fullmatch(text)
    if match is not None and match["unit"] in WRITTEN_UNITS:
        return Field(match["number"], unit=WRITTEN_UNITS[match["unit"]])
    if match is not None and _WORD.search(text):
        return Field(match["number"], unit=unknown(match["unit"]))
    return Field(text or None)


def _matched_fields(line: str, pattern: re.Pattern[str]) -> dict[str, Field]:
    if len(line) > PATTERN_LINE_LENGTH_MAX:
        raise FrameMalformed(f"a line of {len(line)} characters; a pattern is tried on {PATTERN_LINE_LENGTH_MAX}")
    match = pattern.fullmatch(line)
    if match is None:
        raise FrameMalformed(f"{excerpt(line)} does not fit the pattern {pattern.pattern!r}")
    return {name: Field(text.strip() or None) for name, text in match.groupdict().items() if text is not None}


def _json_fields(line: str) -> dict[str, Field]:
    try:
        document: object = json.loads(line, parse_constant=lambda _name: None)
    except (ValueError, RecursionError) as error:
        raise FrameMalformed(f"{excerpt(line)} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise FrameMalformed(f'{excerpt(line)} is no JSON object, like {{"temperature": 21.4}}')
    return dict(_flat(document, "", 0))


def _flat(item: object, name: str, depth: int) -> Iterator[tuple[str, Field]]:
    if depth > JSON_DEPTH_MAX:
        raise FrameMalformed(f"{name}: nested more than {JSON_DEPTH_MAX} deep")
    if isinstance(item, dict):
        for key, inner in item.items():
            yield from _flat(inner, f"{name}.{key}" if name else key, depth + 1)
    elif isinstance(item, list):
        for number, inner in enumerate(item):
            yield from _flat(inner, f"{name}.{number}", depth + 1)
    elif item is None or isinstance(item, (bool, int, float, str)):
        yield name, Field(item)
