"""From a table to a frozen dataclass: unknown keys, wrong types and impossible values become sentences."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any, Protocol, TypeVar, get_args, get_type_hints, runtime_checkable

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from edge.settings.document import Table
from edge.settings.problems import Problem

Data = TypeVar("Data")

# pydantic's error types in the words of somebody with a screwdriver in the other hand.
_SENTENCES = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text, in quotes",
    "tuple_type": "must be a list, in square brackets",
    "list_type": "must be a list, in square brackets",
    "dataclass_type": "must be a table, in curly brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table, in curly brackets",
    "path_type": "must be a path, in quotes",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} or fewer items",
    "string_too_short": "must not be empty",
}


@runtime_checkable
class Checked(Protocol):
    """Options that know what types cannot say."""

    def mistakes(self) -> Sequence[str]:
        """Sentences about values that do not go together; empty if all is well."""


# Building one takes milliseconds; there are about a dozen.
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(data_class: type) -> TypeAdapter[Any]:
    if data_class not in _ADAPTERS:
        _refuse_unknown_keys(data_class)
        _ADAPTERS[data_class] = TypeAdapter(data_class)
    return _ADAPTERS[data_class]


def _refuse_unknown_keys(annotation: object) -> None:
    """Tell pydantic so for a dataclass and all within; a plain dataclass is otherwise read with its unknown keys lost."""
    for inner in get_args(annotation):
        _refuse_unknown_keys(inner)
    if isinstance(annotation, type) and is_dataclass(annotation):
        annotation.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
        for hint in get_type_hints(annotation).values():
            _refuse_unknown_keys(hint)


def adapt(data_class: type[Data], table: Table, report: list[Problem]) -> Data | None:
    """Make an instance of a frozen dataclass from a table; None after adding every mistake to `report`."""
    before = len(report)
    names = {item.name for item in fields(data_class)}  # type: ignore[arg-type]  # every caller brings a dataclass
    report.extend(unknown_keys(table, names))
    report.extend(
        table.place.problem(f"{item.name} is required")
        for item in fields(data_class)  # type: ignore[arg-type]
        if item.name not in table.values and item.default is MISSING and item.default_factory is MISSING
    )
    known = {key: value for key, value in table.values.items() if key in names}
    report.extend(table.place_of(key).problem("must be a finite number") for key in known if not _is_finite(known[key]))
    try:
        # Through JSON, where strict means what TOML means: text is not a number, but may name a path or a choice.
        adapted: Data = _adapter(data_class).validate_json(json.dumps(known, default=str), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        report.extend(_problem(table, item) for item in details if item["type"] != "missing" or len(item["loc"]) > 1)
        return None
    if len(report) > before:
        return None
    if isinstance(adapted, Checked):
        report.extend(_mistake(table, mistake) for mistake in adapted.mistakes())
    return adapted if len(report) == before else None


def _is_finite(value: object) -> bool:
    """TOML knows nan and inf; no setting can be either (only an item of a driver's list, which it checks itself)."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, float) or isfinite(value)


def _mistake(table: Table, sentence: str) -> Problem:
    """A sentence that starts with a key ("tcp_port is 0; …") stands at that key."""
    subject = sentence.split(" ", maxsplit=1)[0]
    place = table.place_of(subject) if subject in table.values else table.place
    return place.problem(sentence)


def unknown_keys(table: Table, known: Iterable[str]) -> list[Problem]:
    """One mistake for each key that nobody knows, with the one that was probably meant."""
    names = sorted(known)
    problems = []
    for key in table.values:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known here are {', '.join(names)}"
            problems.append(table.place_of(key).problem(f"unknown key {key!r}{hint}"))
    return problems


def _problem(table: Table, details: ErrorDetails) -> Problem:
    location = details["loc"]
    if not location:  # the dataclass itself refused
        return table.place.problem(_sentence(details))
    place = table.place_of(str(location[0]))
    # Unions add the name of the branch that was tried; it is no part of the document.
    inner = [part for part in location[1:] if isinstance(part, int) or part.isidentifier()]
    if details["type"] == "missing":
        return place.inner(*inner[:-1]).problem(f"{inner[-1]} is required")
    return place.inner(*inner).problem(_sentence(details))


def _sentence(details: ErrorDetails) -> str:
    context: Mapping[str, Any] = details.get("ctx", {})
    template = _SENTENCES.get(details["type"])
    if template is not None:
        return template.format(**context)
    if details["type"] == "value_error":
        return str(context["error"])
    if details["type"] == "unexpected_keyword_argument":
        return "unknown key"
    return details["msg"]
