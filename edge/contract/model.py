"""A model of everything that is published: made of the frozen classes of `edge.domain`, as their annotations say.

Outside, names are in camelCase; unknown fields are ignored; no value is one that JSON cannot hold.
"""

import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictStr,
    create_model,
    model_validator,
)
from pydantic.alias_generators import to_camel

from edge.contract.schema import rules_of
from edge.domain.clock import OFFSET_TIME_PATTERN, unix_ms_of
from edge.domain.envelope import Fact, Opening
from edge.domain.identifier import IDENTIFIER_PATTERN
from edge.domain.json_form import (
    NOT_EMPTY,
    AtLeast,
    Form,
    JsonField,
    OpenList,
    annotation_marks,
    bare_type,
    json_fields,
)

Written = TypeVar("Written")

# JSON numbers above this lose their last digits in most consumers (2^53 - 1).
INTEGER_MAX = 9_007_199_254_740_991

_TIMESTAMP_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
_TIMESTAMP = re.compile(_TIMESTAMP_PATTERN, re.ASCII)


def _utc_milliseconds(text: str) -> str:
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError("a time is written in UTC with milliseconds: 2026-11-23T10:15:00.120Z")
    datetime.fromisoformat(text)
    return text


def _with_offset(text: str) -> str:
    unix_ms_of(text)
    return text


def _integral(value: object) -> object:
    """In JSON, 7.0 is an integer too; some producers write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Identifier = Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
# As the gateway writes it.
Timestamp = Annotated[
    str,
    AfterValidator(_utc_milliseconds),
    Field(json_schema_extra={"format": "date-time", "pattern": _TIMESTAMP_PATTERN}),
]
# As others may write it: any RFC 3339 time that names its offset.
ForeignTimestamp = Annotated[
    str, AfterValidator(_with_offset), Field(json_schema_extra={"format": "date-time", "pattern": OFFSET_TIME_PATTERN})
]
Integer = Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX), BeforeValidator(_integral)]
Count = Annotated[int, Field(strict=True, ge=1, le=INTEGER_MAX), BeforeValidator(_integral)]
AnyInteger = Annotated[int, Field(strict=True, ge=-INTEGER_MAX, le=INTEGER_MAX), BeforeValidator(_integral)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
# A number never stands for a boolean, nor the other way round.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Boolean = Annotated[bool, Field(strict=True)]

_FORMS: Mapping[Form, Any] = {
    Form.IDENTIFIER: Identifier,
    Form.TIME: Timestamp,
    Form.DIGEST: Digest,
    Form.WHOLE: Integer,
    Form.COUNT: Count,
}
_SCALARS: Mapping[Any, Any] = {str: StrictStr, int: AnyInteger, float: Number, bool: Boolean}
_CONTAINERS: Mapping[Any, Any] = {tuple: tuple, Mapping: dict}


class Model(BaseModel):
    """A part of an event. Frozen; reads camelCase, ignores what it does not know (additive changes keep the version)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def as_json(self) -> dict[str, JsonValue]:
        """Return what is written; a field that was left out stays out."""
        dumped: dict[str, JsonValue] = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return dumped


class WrittenModel(Model):
    """The model of a frozen class. What holds for an instance of the class holds for that of the model."""

    # The classes whose fields it has; the last one is what it is the model of.
    parts: ClassVar[tuple[type, ...]] = ()

    def written(self) -> tuple[Any, ...]:
        """Return an instance of each part."""
        return tuple(
            part(**{field.name: _written(getattr(self, field.name)) for field in json_fields(part)})
            for part in self.parts
        )

    @model_validator(mode="after")
    def _keep_the_rules_of_the_parts(self) -> "WrittenModel":
        self.written()
        return self


def _written(value: Any) -> Any:
    if isinstance(value, WrittenModel):
        return value.written()[-1]
    if isinstance(value, tuple):
        return tuple(_written(item) for item in value)
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    return value


@cache
def model_of(data_class: type) -> type[WrittenModel]:
    """Return the model of a frozen class; that of a control event's fact has the fields that each begins with, too."""
    parts: tuple[type, ...] = (Opening, data_class) if issubclass(data_class, Fact) else (data_class,)
    named: dict[str, Any] = {
        field.name: (_typed(_present(field)), _field(field)) for part in parts for field in json_fields(part)
    }
    made = create_model(data_class.__name__, __base__=WrittenModel, __doc__=data_class.__doc__, **named)
    made.parts = parts
    made.model_config["json_schema_extra"] = rules_of(*parts)
    return made


def read_written(data_class: type[Written], data: object) -> Written:
    """Read what a gateway wrote. Raises ValidationError; unknown fields and unknown words of open lists are taken."""
    return cast("Written", model_of(cast("type", data_class)).model_validate(data).written()[-1])


def _field(field: JsonField) -> Any:
    marks = annotation_marks(field.annotation)
    words = [word for mark in marks if isinstance(mark, OpenList) for word in mark.words]
    lowest = [mark.number for mark in marks if isinstance(mark, AtLeast)]
    said = [field.description, f"An open list: {', '.join(words)}." if words else None]
    return Field(
        None if field.is_optional else ...,
        alias=field.json_name,
        description=" ".join(text for text in said if text) or None,
        examples=words or None,
        ge=lowest[0] if lowest else None,
        min_length=1 if NOT_EMPTY in marks else None,
    )


def _present(field: JsonField) -> Any:
    """Return the annotation of a field where it is there: what may be left out is never written as null."""
    bare = bare_type(field.annotation)
    if not field.is_optional:
        return field.annotation
    (present,) = (one for one in get_args(bare) if one is not NoneType)
    return present


def _typed(annotation: Any) -> Any:
    """Return the type of a model's field for that of a frozen class's."""
    marks, bare = annotation_marks(annotation), bare_type(annotation)
    forms = [_FORMS[mark] for mark in marks if isinstance(mark, Form)]
    if forms:
        return forms[0]
    if any(isinstance(mark, OpenList) for mark in marks):
        return StrictStr
    if is_dataclass(bare):
        made: Any = model_of(bare)  # type: ignore[arg-type]  # mypy takes it for an instance
        return made
    inner = get_args(bare)
    if not inner or get_origin(bare) is Literal:
        return _SCALARS.get(bare, bare)
    # A number is one in JSON, with or without a fraction.
    typed = tuple(_typed(one) for one in inner if not (one is int and float in inner))
    return _CONTAINERS.get(get_origin(bare), Union)[typed]
