"""What strict validators and code generators ask of the published schemas beyond being schemas.

These are the rules of Ajv with `strict: true`, written down: no test needs another language.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from edge.contract.registry import schemas

SCHEMAS = schemas()

# Draft 2020-12, as far as it is used here. A word that is not known is ignored without strictness, and means nothing.
KEYWORDS = {
    *("$schema", "$id", "$defs", "$ref", "title", "description", "examples", "default"),
    *("type", "enum", "const", "anyOf", "oneOf", "allOf", "not", "if", "then", "else"),
    *("properties", "required", "additionalProperties", "minProperties"),
    *("prefixItems", "items", "minItems", "maxItems"),
    *("pattern", "format", "minLength", "maxLength", "minimum", "maximum"),
}
FORMATS = {"date-time", "uuid"}
WORDS_OF = {
    frozenset({"object"}): ("properties", "required", "additionalProperties", "minProperties"),
    frozenset({"array"}): ("prefixItems", "items", "minItems", "maxItems"),
    frozenset({"string"}): ("pattern", "format", "minLength", "maxLength"),
    frozenset({"number", "integer"}): ("minimum", "maximum"),
}
TYPES_OF = {word: types for types, words in WORDS_OF.items() for word in words}
ONE, MANY, NAMED = ("not", "if", "then", "else"), ("anyOf", "oneOf", "allOf"), ("properties", "$defs")


def faults(schema: Any, type_above: str | None = None, place: str = "#") -> Iterator[str]:
    """Find everything that a strict validator refuses, at any depth."""
    if isinstance(schema, bool):
        return
    kind = schema.get("type", type_above)
    if not isinstance(kind, str | None):
        yield f"{place}: a list of types"
    yield from (f"{place}: {word} is no keyword" for word in schema.keys() - KEYWORDS)
    for word in schema.keys() & TYPES_OF:
        if kind not in TYPES_OF[word]:
            yield f"{place}: {word} without its type"
    if schema.get("format", "uuid") not in FORMATS:
        yield f"{place}: an unknown format"
    if set(schema.get("required", ())) - set(schema.get("properties", ())):
        yield f"{place}: a required property that is not among the properties"
    if "prefixItems" in schema and {schema.get("minItems"), schema.get("maxItems")} != {len(schema["prefixItems"])}:
        yield f"{place}: a tuple of no certain length"
    yield from _within(schema, kind, place)


def _within(schema: Mapping[str, Any], kind: str | None, place: str) -> Iterator[str]:
    for word in schema.keys() & {*ONE, *MANY, *NAMED, "items", "additionalProperties", "prefixItems"}:
        inner = schema[word]
        parts = inner.items() if word in NAMED else enumerate(inner if isinstance(inner, list) else [inner])
        # What is applied to the same value may leave its type to what stands around it.
        above = kind if word in {*ONE, *MANY} else None
        for name, part in parts:
            yield from faults(part, above, f"{place}/{word}/{name}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_strict_validator_takes_the_schema(name: str) -> None:
    assert not list(faults(SCHEMAS[name]))


def parts_of(name: str) -> dict[str, Any]:
    """The schema and its definitions, by title."""
    schema: dict[str, Any] = SCHEMAS[name]
    definitions: dict[str, Any] = schema.get("$defs", {})
    assert all(key == part["title"] for key, part in definitions.items())
    assert schema["title"] not in definitions
    return {schema["title"]: schema, **definitions}


# A producer may write null for what it leaves out.
OF_PRODUCERS = {"AlarmLimits", "DesiredConfiguration", "DesiredPoint", "DeviceConfigurationUpdated", "RecipeReference"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_type_has_a_name_of_its_own_and_nothing_that_is_left_out_is_null(name: str) -> None:
    for title, part in parts_of(name).items():
        for key, said in part.get("properties", {}).items():
            is_nullable = {"type": "null"} in said.get("anyOf", [])
            is_required = key in part.get("required", [])
            assert not is_nullable or is_required or title in {*OF_PRODUCERS, "UpdateMetadata"}, f"{title}.{key}"
            assert said.get("default", ...) is not None, f"{title}.{key}"


def test_our_rules_would_notice() -> None:
    tuple_of_one = {"type": "array", "prefixItems": [{"type": "string"}], "maxItems": 1}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"type": ["string", "null"]}, "a list of types"),
        ({"type": "object", "discriminator": {}}, "discriminator is no keyword"),
        ({"pattern": "x"}, "pattern without its type"),
        ({"type": "string", "format": "ipv7"}, "an unknown format"),
        ({"type": "object", "then": {"required": ["x"]}}, "a required property that is not among the properties"),
        ({"type": "object", "properties": {"x": {"minimum": 1}}}, "minimum without its type"),
        (tuple_of_one, "a tuple of no certain length"),
    ]
    for schema, fault in wrong:
        assert [found.partition(": ")[2] for found in faults(schema)] == [fault]
