"""From a table to a frozen dataclass: unknown keys, wrong types and impossible values become sentences."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any, Protocol, TypeVar, get_args, get_type_hints, runtime_checkable

from pydantic import ConfigDict, TypeAdapter, ValidationError

from edge.domain.userinfo import holds_userinfo
from edge.settings.credentials import is_credential_name
from edge.settings.document import Place, Table
from edge.settings.positions import KeyPath
from edge.settings.problems import Problem

Data = TypeVar("Data")

# pydantic's error types in the words of a technician.
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

# A mistake of the value as a whole.
_SHAPES = frozenset({"tuple_type", "list_type", "dict_type", "dataclass_type", "model_type"})


@runtime_checkable
class Checked(Protocol):
    """Options with rules that types cannot express."""

    def mistakes(self) -> Sequence[str]:
        """Sentences about values that do not go together; empty if all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One thing that pydantic found."""

    type: str
    location: tuple[str | int, ...]
    message: str
    context: Mapping[str, object]


# Building one takes milliseconds; there are about a dozen.
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def adapter_of(data_class: type) -> TypeAdapter[Any]:
    """Return pydantic's view of a frozen dataclass."""
    if data_class not in _ADAPTERS:
        _refuse_unknown_keys(data_class)
        _ADAPTERS[data_class] = TypeAdapter(data_class)
    return _ADAPTERS[data_class]


def _refuse_unknown_keys(annotation: object) -> None:
    """Let pydantic refuse unknown keys in a dataclass and all within; otherwise it loses them silently."""
    for inner in get_args(annotation):
        _refuse_unknown_keys(inner)
    if isinstance(annotation, type) and is_dataclass(annotation):
        annotation.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
        for hint in get_type_hints(annotation).values():
            _refuse_unknown_keys(hint)


def adapt(data_class: type[Data], table: Table, report: list[Problem]) -> Data | None:
    """Make an instance of a frozen dataclass from a table; None after adding every mistake to `report`."""
    names = {item.name for item in fields(data_class)}  # type: ignore[arg-type]  # every caller brings a dataclass
    problems = [*unknown_keys(table, names), *_missing(data_class, table)]
    known = {key: value for key, value in table.values.items() if key in names}
    wrong = {key for key in known if not _is_finite(known[key])}
    problems.extend(table.place_of(key).problem("must be a finite number") for key in sorted(wrong))
    problems.extend(
        table.place_of(key).problem(f"{key} must not hold user and password; name a credential instead")
        for key, value in known.items()
        if isinstance(value, str) and holds_userinfo(value)
    )
    problems.extend(
        table.place_of(key).problem(f"{key} is {value!r}; name a credential: letters, digits, dots, _ and -, no path")
        for key, value in known.items()
        if key == "credential" and isinstance(value, str) and not is_credential_name(value)
    )
    adapted, faults = _validated(data_class, known)
    problems.extend(_problems(table, faults))
    wrong.update(str(fault.location[0]) for fault in faults if fault.location)
    if adapted is None and wrong:
        # Mistakes of the other keys are reported in the same run, as far as they do not depend on the wrong ones.
        adapted, _ = _validated(data_class, {key: value for key, value in known.items() if key not in wrong})
    if isinstance(adapted, Checked):
        rest = known.keys() - wrong
        told = [said for said in adapted.mistakes() if not problems or _speaks_of(said, rest, wrong)]
        problems.extend(mistake_at(table, said) for said in told)
    report.extend(problems)
    return None if problems else adapted


def _missing(data_class: type, table: Table) -> list[Problem]:
    return [
        table.place.problem(f"{item.name} is required")
        for item in fields(data_class)
        if item.name not in table.values and item.default is MISSING and item.default_factory is MISSING
    ]


def _validated(data_class: type[Data], values: Mapping[str, object]) -> tuple[Data | None, list[_Fault]]:
    try:
        # Through JSON, where strict means what TOML means: text is not a number, but may name a path or a choice.
        adapted: Data = adapter_of(data_class).validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        faults = [
            _Fault(type=item["type"], location=item["loc"], message=item["msg"], context=item.get("ctx", {}))
            for item in error.errors(include_url=False)
        ]
        # Keys that are missing in the table itself have been reported already.
        return None, [fault for fault in faults if fault.type != "missing" or len(fault.location) > 1]
    return adapted, []


def _is_finite(value: object) -> bool:
    """TOML knows nan and inf; no setting can be either (only an item of a driver's list, which it checks itself)."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, float) or isfinite(value)


def _speaks_of(sentence: str, keys: AbstractSet[str], wrong: AbstractSet[str]) -> bool:
    """Whether a sentence is about one of these keys, and of no value that was left out for being wrong."""
    words = re.findall(r"\w+", sentence)
    return bool(words) and words[0] in keys and wrong.isdisjoint(words)


def mistake_at(table: Table, sentence: str) -> Problem:
    """Make a mistake of a sentence. Its place is the key that the sentence starts with ("remote.gain.min is …")."""
    path = _known_path(table.values, sentence.split(" ", maxsplit=1)[0].split("."))
    return _place(table, path).problem(sentence)


def _place(table: Table, path: KeyPath) -> Place:
    return table.place_of(str(path[0])).inner(*path[1:]) if path else table.place


def unknown_keys(table: Table, known: Iterable[str]) -> list[Problem]:
    """Return a mistake for each unknown key, with the key that was probably meant."""
    names = sorted(known)
    problems = []
    for key in table.values:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known here are {', '.join(names)}"
            problems.append(table.place_of(key).problem(f"unknown key {key!r}{hint}"))
    return problems


def _problems(table: Table, faults: Sequence[_Fault]) -> list[Problem]:
    """Turn faults into mistakes; the faults of all branches of a union at one value make one mistake."""
    sentences: dict[Place, list[str]] = {}
    paths = [_known_path(table.values, fault.location) for fault in faults]
    for fault, path in zip(faults, paths, strict=True):
        # A branch that found a mistake within the value says more than one that wanted another shape.
        if fault.type in _SHAPES and any(len(other) > len(path) and other[: len(path)] == path for other in paths):
            continue
        place = _place(table, path)
        required = fault.type == "missing"
        sentences.setdefault(place, []).append(f"{fault.location[-1]} is required" if required else _sentence(fault))
    return [place.problem(_joined(said)) for place, said in sentences.items()]


def _joined(sentences: Sequence[str]) -> str:
    first, *rest = dict.fromkeys(sentences)
    return " or ".join([first, *(sentence.removeprefix("must be ") for sentence in rest)])


def _known_path(value: object, location: Sequence[str | int]) -> KeyPath:
    """The part of pydantic's location that is in the document: a union adds the name of the branch that was tried."""
    path: KeyPath = ()
    for part in location:
        in_table = isinstance(value, Mapping) and part in value
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if in_table or in_list:
            value = value[part]  # type: ignore[index]
            path = (*path, part)
    return path


def _sentence(fault: _Fault) -> str:
    template = _SENTENCES.get(fault.type)
    if template is not None:
        return template.format(**fault.context)
    if fault.type == "value_error":
        return str(fault.context["error"])
    if fault.type == "unexpected_keyword_argument":
        return f"unknown key {fault.location[-1]!r}"
    return fault.message
