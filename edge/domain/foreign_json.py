"""JSON that others wrote. `read_json` raises nothing but JsonRefused, whatever the bytes are, and says why. Pure."""

import json
from collections.abc import Mapping, Sequence
from enum import Enum, auto

# An integer with more digits is beyond every float. Python refuses to read one of more than 4,300 digits at all.
DIGITS_MAX = 310
# A key that stands twice is repeated in messages.
KEY_LENGTH_MAX = 64


class JsonFlaw(Enum):
    """Why bytes are not taken as JSON."""

    NOT_JSON = auto()
    TOO_DEEP = auto()
    # RFC 8259 lets each reader choose which of the two values counts: two readers would not read the same.
    DUPLICATE_KEY = auto()


class JsonRefused(ValueError):  # noqa: N818 - says what happened
    """Bytes that are not read. The message has no subject: `is not JSON in UTF-8`."""

    def __init__(self, flaw: JsonFlaw, message: str) -> None:
        super().__init__(message)
        self.flaw = flaw


def read_json(raw: bytes, *, depth_max: int) -> object:
    """Read one JSON value. Raises JsonRefused.

    NaN and Infinity are read, so that a message can name the key that holds them; an integer of more than DIGITS_MAX
    digits is read as Infinity. The texts in the value can be written as UTF-8.
    """
    try:
        value: object = json.loads(raw.decode(), object_pairs_hook=_object, parse_int=_integer)
    except JsonRefused:
        raise
    except RecursionError as error:
        raise _too_deep(depth_max) from error
    except ValueError as error:
        raise JsonRefused(JsonFlaw.NOT_JSON, "is not JSON in UTF-8") from error
    _check_nesting_and_texts(value, depth_max)
    return value


def read_object(raw: bytes, *, bytes_max: int, depth_max: int) -> Mapping[str, object]:
    """Read a JSON object; everything else is an empty one."""
    if len(raw) > bytes_max:
        return {}
    try:
        value = read_json(raw, depth_max=depth_max)
    except JsonRefused:
        return {}
    return value if isinstance(value, dict) else {}


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            # `ascii` also shows half of a surrogate pair in a way that can be written.
            raise JsonRefused(JsonFlaw.DUPLICATE_KEY, f"has the key {key[:KEY_LENGTH_MAX]!a} twice in one object")
        found[key] = value
    return found


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= DIGITS_MAX else float(digits)


def _check_nesting_and_texts(value: object, depth_max: int) -> None:
    """Refuse what could not be written again. Iterative: nesting must not cost stack."""
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > depth_max:
            raise _too_deep(depth_max)
        if isinstance(item, dict):
            waiting.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            waiting.extend((part, depth + 1) for part in item)
        elif isinstance(item, str) and not _is_text(item):
            raise JsonRefused(JsonFlaw.NOT_JSON, "holds half of a surrogate pair")


def _too_deep(depth_max: int) -> JsonRefused:
    return JsonRefused(JsonFlaw.TOO_DEEP, f"is nested deeper than {depth_max}")


def _is_text(value: str) -> bool:
    # JSON can escape half a character (\ud800), which UTF-8 cannot hold.
    return not any("\ud800" <= character <= "\udfff" for character in value)
