"""Which model describes which type of event."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any, Literal

from pydantic import BaseModel, Field, JsonValue, RootModel, create_model

from edge.contract.configuration import CORRELATION_ID_LENGTH_MAX, DeviceConfigurationUpdated
from edge.contract.model import Model, model_of
from edge.contract.schema import schema_of
from edge.domain import description, facts
from edge.domain.envelope import Metadata
from edge.domain.event import SCHEMA_VERSION, EventType
from edge.domain.quantity import QUANTITIES


def _model(event_type: EventType) -> type[Model]:
    """Return the model of a type; the class that it is made of has the type's name."""
    if event_type is EventType.DEVICE_CONFIGURATION_UPDATED:
        return DeviceConfigurationUpdated
    name = event_type.value
    return model_of(getattr(facts, name, None) or getattr(description, name))


MODELS: Mapping[EventType, type[Model]] = {event_type: _model(event_type) for event_type in EventType}
METADATA = model_of(Metadata)


class UpdateMetadata(Model):
    """What a producer may write beside an update; whatever else it writes is for itself."""

    schema_version: Literal[1] = Field(default=1, description="Of the update's data. Absent = 1.")
    correlation_id: str | None = Field(
        default=None,
        alias="$correlationId",
        description=f"Copied into the answer's metadata, if it has at most {CORRELATION_ID_LENGTH_MAX} characters.",
    )


def _envelope(event_type: EventType) -> type[Model]:
    """Return the model of a whole event."""
    name = event_type.value
    is_update = event_type is EventType.DEVICE_CONFIGURATION_UPDATED
    fields: dict[str, Any] = {
        "stream": (str, Field(description="Sites choose how streams are named: go by the data, not by this name.")),
        "type": (Literal[name], ...),
        "data": (MODELS[event_type], ...),
        "metadata": (UpdateMetadata if is_update else METADATA, ...),
    }
    return create_model(f"{name}Event", __base__=Model, __doc__=f"{name} as it stands in its stream.", **fields)


ENVELOPES: Mapping[EventType, type[Model]] = {event_type: _envelope(event_type) for event_type in EventType}

_ANY: Any = reduce(or_, ENVELOPES.values())
EVENT: type[BaseModel] = create_model(
    "Event",
    __base__=RootModel[_ANY],
    __doc__="An event of any type, told apart by `type`. One that is not here is of a later release: readers skip it.",
    root=(_ANY, Field(discriminator="type")),
)


def schemas() -> dict[str, dict[str, JsonValue]]:
    """Return every published schema by the name of its file."""
    models: dict[str, type[BaseModel]] = {event_type.value: model for event_type, model in MODELS.items()}
    models |= {"Metadata": METADATA, "Event": EVENT}
    return {f"{name}.v{SCHEMA_VERSION}.json": schema_of(model) for name, model in models.items()}


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
