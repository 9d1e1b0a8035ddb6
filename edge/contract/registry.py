"""Which model describes which type of event."""

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema

from edge.contract.configuration import (
    DeviceConfigurationApplied,
    DeviceConfigurationRejected,
    DeviceConfigurationRestored,
    DeviceConfigurationUpdated,
    DeviceDescribed,
)
from edge.contract.gateway import (
    AlarmCleared,
    AlarmRaised,
    DeviceConnectionLost,
    DeviceConnectionRestored,
    DeviceRetired,
    EventQuarantined,
    EventStoreRestored,
    GatewayStarted,
    GatewayStopped,
    OutboxCloneDetected,
    OutboxRestored,
    SiteFileLoaded,
)
from edge.contract.model import Metadata, Model
from edge.contract.readings import ReadingsDropped, SensorReadingReceived
from edge.domain.event import SCHEMA_VERSION, EventType
from edge.domain.quantity import QUANTITIES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MODELS: Mapping[EventType, type[Model]] = {
    EventType(model.__name__): model
    for model in (
        SensorReadingReceived,
        GatewayStarted,
        GatewayStopped,
        SiteFileLoaded,
        DeviceDescribed,
        DeviceRetired,
        DeviceConnectionLost,
        DeviceConnectionRestored,
        AlarmRaised,
        AlarmCleared,
        ReadingsDropped,
        EventQuarantined,
        OutboxRestored,
        OutboxCloneDetected,
        EventStoreRestored,
        DeviceConfigurationUpdated,
        DeviceConfigurationApplied,
        DeviceConfigurationRejected,
        DeviceConfigurationRestored,
    )
}


def schema_of(model: type[Model]) -> dict[str, JsonValue]:
    """Return a model's JSON Schema (2020-12)."""
    generated = cast("dict[str, JsonValue]", model.model_json_schema(schema_generator=_WithoutFieldTitles))
    return {"$schema": DIALECT, "$id": f"urn:greenhouse-edge:{model.__name__}:{SCHEMA_VERSION}", **generated}


def schemas() -> dict[str, dict[str, JsonValue]]:
    """Return every published schema by the name of its file."""
    named = {f"{event_type}.v{SCHEMA_VERSION}.json": schema_of(model) for event_type, model in MODELS.items()}
    return {**named, f"Metadata.v{SCHEMA_VERSION}.json": schema_of(Metadata)}


def quantities() -> dict[str, JsonValue]:
    """Return the catalogue of quantities as it is published: a point's `quantity` is one of these ids or begins with `x_`."""
    return {
        quantity.id: {
            "title": quantity.title,
            "unit": quantity.unit,
            "symbol": quantity.symbol,
            "range": [quantity.low, quantity.high],
        }
        for quantity in QUANTITIES.values()
    }


class _WithoutFieldTitles(GenerateJsonSchema):
    """A title that only repeats the field's name says nothing."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        return False
