"""How fields go together, as JSON Schema says it. In Python, `__post_init__` of each class says the same."""

from collections.abc import Iterator

from pydantic import JsonValue

from edge.domain.envelope import Source
from edge.domain.facts import SensorReadingReceived
from edge.domain.reading import BAD_REASONS, Origin, Quality, Reading, Reason

JsonObject = dict[str, JsonValue]

_CLOCK: JsonObject = {
    "if": {"properties": {"clock": {"const": "unsynchronized"}}},
    "then": {"required": ["uptimeMs"]},
}

# An object with a rule, not a union of three models: consumers' code generators cope better with one type.
_READING: list[JsonObject] = [
    {
        "if": {"properties": {"quality": {"const": Quality.GOOD.value}}},
        "then": {"properties": {"value": {"not": {"type": "null"}}, "reason": {"type": "null"}}},
    },
    {
        "if": {"properties": {"quality": {"const": Quality.UNCERTAIN.value}}},
        "then": {
            "required": ["reason"],
            "properties": {
                "value": {"not": {"type": "null"}},
                "reason": {"enum": [reason.value for reason in Reason if reason not in BAD_REASONS]},
            },
        },
    },
    {
        "if": {"properties": {"quality": {"const": Quality.BAD.value}}},
        "then": {
            "required": ["reason"],
            "properties": {
                "value": {"type": "null"},
                "reason": {"enum": [reason.value for reason in Reason if reason in BAD_REASONS]},
            },
        },
    },
]

_REDELIVERY: JsonObject = {
    "if": {"properties": {"origin": {"const": Origin.REDELIVERED.value}}},
    "then": {"required": ["repeatOf"], "properties": {"repeatOf": {"type": "string"}}},
    "else": {"properties": {"repeatOf": {"type": "null"}}},
}


def rules_of(*parts: type) -> JsonObject:
    """Return what a schema says beside the fields of classes."""
    rules = [rule for part in parts for rule in _rules(part)]
    return {"allOf": list(rules)} if rules else {}


def _rules(part: type) -> Iterator[JsonObject]:
    if issubclass(part, Source):
        yield _CLOCK
    if issubclass(part, SensorReadingReceived):
        yield _REDELIVERY
    if issubclass(part, Reading):
        yield from _READING
