"""Which model describes which type of event."""

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema

from edge.contract.configuration import DeviceConfigurationUpdated
from edge.contract.model import Model, model_of
from edge.domain import description, facts
from edge.domain.envelope import Metadata
from edge.domain.event import SCHEMA_VERSION, EventType
from edge.domain.quantity import QUANTITIES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _model(event_type: EventType) -> type[Model]:
    """Return the model of a type; the class that it is made of has the type's name."""
    if event_type is EventType.DEVICE_CONFIGURATION_UPDATED:
        return DeviceConfigurationUpdated
    name = event_type.value
    return model_of(getattr(facts, name, None) or getattr(description, name))


MODELS: Mapping[EventType, type[Model]] = {event_type: _model(event_type) for event_type in EventType}
METADATA = model_of(Metadata)


def schema_of(model: type[Model]) -> dict[str, JsonValue]:
    """Return a model's JSON Schema (2020-12)."""
    generated = cast("dict[str, JsonValue]", model.model_json_schema(schema_generator=_WithoutFieldTitles))
    return {"$schema": DIALECT, "$id": f"urn:greenhouse-edge:{model.__name__}:{SCHEMA_VERSION}", **generated}


def schemas() -> dict[str, dict[str, JsonValue]]:
    """Return every published schema by the name of its file."""
    named = {f"{event_type}.v{SCHEMA_VERSION}.json": schema_of(model) for event_type, model in MODELS.items()}
    return {**named, f"Metadata.v{SCHEMA_VERSION}.json": schema_of(METADATA)}


def quantities() -> dict[str, JsonValue]:
    """Return the catalogue of quantities as it is published: a point's `quantity` is one of these ids or begins with `x_`."""
    return {
        quantity.id: {
            "title": quantity.title,
            "unit": quantity.unit,
            "symbol": quantity.symbol,
            "range": [quantity.low, quantity.high],
            "kind": quantity.kind.value,
        }
        for quantity in QUANTITIES.values()
    }


class _WithoutFieldTitles(GenerateJsonSchema):
    """A title that only repeats the field's name says nothing."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        return False
