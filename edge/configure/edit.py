"""Changes to a configuration as a person writes them: `points.air_temperature.offset=-0.3`. Pure."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from edge.configure.reading import Document
from edge.domain.event import Json
from edge.domain.settable import Part, Settable, settables
from edge.domain.settings import DeviceSettings

Path: TypeAlias = tuple[str, ...]


class EditMistaken(ValueError):  # noqa: N818 - says what happened
    """A path or value that no configuration of this device can have."""


def parse_assignment(text: str, device: DeviceSettings) -> tuple[Path, Json]:
    """Read `path=value`. Raises EditMistaken."""
    path_text, separator, value_text = text.partition("=")
    if not separator:
        raise EditMistaken(f"{text}: write path=value")
    path, row = _found(path_text.strip(), device)
    try:
        value: object = json.loads(value_text)
    except (ValueError, RecursionError):
        value = None
    if row.value_type is bool:
        if not isinstance(value, bool):
            raise EditMistaken(f"{path_text}: write true or false")
        return path, value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise EditMistaken(f"{path_text}: {value_text!r} is no number")
    return path, value


def parse_path(text: str, device: DeviceSettings) -> Path:
    """Read a path. Raises EditMistaken, with what could have been meant."""
    return _found(text, device)[0]


def _found(text: str, device: DeviceSettings) -> tuple[Path, Settable]:
    path = tuple(text.split("."))
    part = Part.POINT if len(path) == 3 and path[0] == "points" else Part.DEVICE
    row = next((row for row in settables(part) if row.key == path[-1]), None)
    if row is None or len(path) == 2:
        keys = {part: ", ".join(row.key for row in settables(part)) for part in Part}
        raise EditMistaken(
            f"{text}: what can be set is {keys[Part.DEVICE]} and points.POINT.KEY with {keys[Part.POINT]}"
        )
    if part is Part.POINT and device.point(path[1]) is None:
        points = ", ".join(point.id for point in device.points)
        raise EditMistaken(f"{text}: {device.id} has no point {path[1]}; it has {points}")
    return path, row


def edited(document: Document, *, assign: Mapping[Path, Json], remove: Sequence[Path]) -> dict[str, Json]:
    """Return a copy of a document with values put in and taken out; an empty point is left out."""
    copied: dict[str, Json] = json.loads(json.dumps(document))
    for path in remove:
        _put(copied, path, None)
    for path, value in assign.items():
        _put(copied, path, value)
    return copied


def _put(document: dict[str, Json], path: Path, value: Json) -> None:
    """Set a value, or take it out where it is None."""
    if len(path) > 1:
        inner = document.get(path[0])
        inner = inner if isinstance(inner, dict) else {}
        _put(inner, path[1:], value)
        document[path[0]] = inner
        if not inner:
            del document[path[0]]
    elif value is None:
        document.pop(path[0], None)
    else:
        document[path[0]] = value
