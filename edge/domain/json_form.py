"""How a frozen class is written as JSON: its annotations say it, and the published contract is made of them. Pure.

A field is named in camelCase. Where its default is None, it is left out while it is None; every other field is always
written, also as null. Within `Annotated`, a text describes a field or a type, and the marks below say what a type
cannot.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum, auto
from functools import cache
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints
from uuid import UUID

from edge.domain.event import Json


class Form(Enum):
    """What a text or a number is, beyond its type."""

    IDENTIFIER = auto()
    # RFC 3339, UTC, milliseconds.
    TIME = auto()
    # "sha256:" and 64 hexadecimal digits.
    DIGEST = auto()
    # A whole number from 0 on.
    WHOLE = auto()
    # A whole number from 1 on.
    COUNT = auto()


@dataclass(frozen=True, slots=True)
class JsonName:
    """A field's name in JSON, where that is no name in Python (`from`, `$causationId`) or has another meaning here."""

    name: str


class OpenList:
    """The words that a text can be today. A reader takes any other as well: a later release may write more."""

    def __init__(self, *words: str) -> None:
        self.words = words


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The lowest number that it may be."""

    number: float


# There is at least one item.
NOT_EMPTY = object()
# No float of an event has more: what follows is the noise of binary fractions.
SIGNIFICANT_DIGITS = 12

Identifier = Annotated[str, Form.IDENTIFIER]
Time = Annotated[str, Form.TIME]
Digest = Annotated[str, Form.DIGEST]
Whole = Annotated[int, Form.WHOLE]
Count = Annotated[int, Form.COUNT]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonField:
    """One field of a frozen class."""

    name: str
    json_name: str
    annotation: Any
    description: str | None
    is_optional: bool


@cache
def json_fields(data_class: type) -> tuple[JsonField, ...]:
    """Return what the annotations of a frozen class say of its fields."""
    hints = get_type_hints(data_class, include_extras=True)
    assert is_dataclass(data_class), f"{data_class.__name__} has no fields"
    return tuple(_json_field(field.name, hints[field.name], field.default) for field in fields(data_class))


def _json_field(name: str, annotation: Any, default: object) -> JsonField:
    marks = annotation_marks(annotation)
    names = [mark.name for mark in marks if isinstance(mark, JsonName)]
    words = [mark for mark in marks if isinstance(mark, str)]
    return JsonField(
        name=name,
        json_name=names[0] if names else _camel(name),
        annotation=annotation,
        description=" ".join(words) or None,
        is_optional=default is None and default is not MISSING,
    )


def annotation_marks(annotation: Any) -> tuple[Any, ...]:
    """Return what stands beside the type within `Annotated`."""
    return tuple(annotation.__metadata__) if get_origin(annotation) is Annotated else ()


def bare_type(annotation: Any) -> Any:
    """Return the type without what stands beside it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def significant(number: float) -> float:
    """Return a number as an event holds it."""
    return float(f"{number:.{SIGNIFICANT_DIGITS}g}")


def json_of(instance: object) -> dict[str, Json]:
    """Return the JSON object of an instance."""
    written = ((field, getattr(instance, field.name)) for field in json_fields(cast("type", type(instance))))
    return {field.json_name: _value(value) for field, value in written if value is not None or not field.is_optional}


def _value(value: Any) -> Json:
    if isinstance(value, Enum):
        written: Json = value.value
        return written
    if value is None or isinstance(value, str | int | float):
        return significant(value) if isinstance(value, float) else value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_value(item) for item in value]
    return json_of(value)
