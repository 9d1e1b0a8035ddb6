"""How models are said in JSON Schema, in the words that strict validators and code generators know.

A model's fields say nothing of how they go together. That is said here for JSON Schema, and by `__post_init__` of each
class for Python.
"""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from pydantic import BaseModel, JsonValue
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from edge.domain.clock import ClockState
from edge.domain.envelope import Source
from edge.domain.event import SCHEMA_VERSION
from edge.domain.facts import SensorReadingReceived
from edge.domain.reading import BAD_REASONS, Origin, Quality, Reading, Reason

DIALECT = "https://json-schema.org/draft/2020-12/schema"

JsonObject = dict[str, JsonValue]

# A field that a rule requires is named among its properties as well: strict validators ask for it.
_CLOCK: JsonObject = {
    "if": {"properties": {"clock": {"const": ClockState.UNSYNCHRONIZED.value}}},
    "then": {"required": ["uptimeMs"], "properties": {"uptimeMs": {"type": "integer"}}},
}

_REDELIVERY: JsonObject = {
    "if": {"properties": {"origin": {"const": Origin.REDELIVERED.value}}},
    "then": {"required": ["repeatOf"], "properties": {"repeatOf": {"type": "string"}}},
    "else": {"properties": {"repeatOf": False}},
}


def _reasoned(quality: Quality, reasons: Iterable[Reason], value: JsonObject) -> JsonObject:
    words: list[JsonValue] = [reason.value for reason in reasons]
    return {
        "if": {"properties": {"quality": {"const": quality.value}}},
        "then": {"required": ["reason"], "properties": {"value": value, "reason": {"enum": words}}},
    }


# An object with rules, not a union of three models: consumers' code generators cope better with one type.
_READING: list[JsonObject] = [
    {
        "if": {"properties": {"quality": {"const": Quality.GOOD.value}}},
        "then": {"properties": {"value": {"not": {"type": "null"}}, "reason": False}},
    },
    _reasoned(Quality.UNCERTAIN, (reason for reason in Reason if reason not in BAD_REASONS), {"not": {"type": "null"}}),
    _reasoned(Quality.BAD, (reason for reason in Reason if reason in BAD_REASONS), {"type": "null"}),
]


def rules_of(*parts: type) -> JsonObject:
    """Return what a schema says beside the fields of classes."""
    rules = [rule for part in parts for rule in _rules(part)]
    # Not all of them in a list: code generators make two types of a schema that begins with one.
    return {**rules[0], **({"allOf": list(rules[1:])} if rules[1:] else {})} if rules else {}


def _rules(part: type) -> Iterator[JsonObject]:
    if issubclass(part, Source):
        yield _CLOCK
    if issubclass(part, SensorReadingReceived):
        yield _REDELIVERY
    if issubclass(part, Reading):
        yield from _READING


def schema_of(model: type[BaseModel]) -> dict[str, JsonValue]:
    """Return a model's JSON Schema (2020-12)."""
    generated = cast("dict[str, JsonValue]", model.model_json_schema(schema_generator=_Plain))
    return {"$schema": DIALECT, "$id": f"urn:greenhouse-edge:{model.__name__}:{SCHEMA_VERSION}", **generated}


class _Plain(GenerateJsonSchema):
    """Leaves out what says nothing or what strict validators do not know."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        """A title that only repeats the field's name says nothing."""
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """What is left out by default is not null by default."""
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        """`discriminator` is a word of OpenAPI's; the constants in the union say the same."""
        return {key: value for key, value in super().tagged_union_schema(schema).items() if key != "discriminator"}
