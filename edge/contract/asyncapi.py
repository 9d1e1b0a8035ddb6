"""The AsyncAPI 3 document: which events stand in which stream, who writes them, and what answers what.

It holds all schemas itself, so that one file is enough for a code generator. AsyncAPI reads a schema as JSON Schema draft 7;
`_draft_7` says in its words what the schemas say in those of 2020-12.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel, JsonValue

from edge.contract.registry import METADATA, MODELS, UpdateMetadata
from edge.contract.schema import schema_of
from edge.domain.author import STATUS_TYPES
from edge.domain.event import SCHEMA_VERSION, EventType
from edge.domain.settings import StreamTemplates

JsonObject = dict[str, JsonValue]

_INFO = """\
A gateway reads the sensors of a greenhouse and writes what it measured, and what happened to it, into streams of an event
store of the EventStoreDB family. It follows one stream in which others ask for configurations. CONTRACT.md says all of it in
words.

A channel is a stream. Its address is the name that the stream has unless a site file names it otherwise ([streams]): take
gateway and device from the payload, not from the name.

A message is an event: the message's name is the event's type, its headers are the event's metadata, its payload is the
event's data, both JSON in UTF-8. The event's id is neither in the headers nor in the payload: it stands beside them.

Order holds within one channel and nowhere else. Every event stands in its channel once. An event that the event store lost is
sent again with the same id, so a consumer keeps the ids that it has seen.

Readers ignore fields and types that they do not know. A change that would break a reader gets a new type."""

_CHANNELS: Mapping[str, str] = {
    "sensorReadings": "What one device measured, in the order in which the gateway accepted it. Where a site file's name for"
    " it has no device in it, all devices of the gateway share one stream.",
    "gateway": "What happens to the gateway and its devices.",
    "deviceConfigurationStatus": "What became of each DeviceConfigurationUpdated: exactly one answer.",
    "deviceConfiguration": "What others ask of the gateway. Append with the exact revision of the event before.",
}
_PARAMETERS: Mapping[str, str] = {
    "gatewayId": "The gateway; the site's id unless two boxes share a site.",
    "deviceId": "The device.",
}
_SENDING: Mapping[str, tuple[str, str]] = {
    "sensorReadings": ("sendReadings", "The gateway records a sample."),
    "gateway": ("sendGatewayFacts", "The gateway records what happened."),
    "deviceConfigurationStatus": ("sendAnswers", "The gateway answers an update, once."),
}
_ANSWERED = (
    "The gateway follows the updates and answers each with exactly one DeviceConfigurationApplied or"
    " DeviceConfigurationRejected, whose updateEventId is the id of the update's event. No answer yet means that the gateway is"
    " offline: it answers when it is back."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One kind of stream, and the types of events in it."""

    name: str
    address: str
    types: tuple[EventType, ...]


def channels() -> tuple[Channel, ...]:
    """Return every kind of stream that there are types for."""
    names = StreamTemplates()
    templates = {
        "sensorReadings": names.sensor_readings,
        "gateway": names.gateway,
        "deviceConfigurationStatus": names.configuration_status,
        "deviceConfiguration": names.configuration,
    }
    return tuple(
        Channel(
            name=name,
            address=re.sub(r"{(\w+)}", r"{\1Id}", template),
            types=tuple(event_type for event_type in EventType if _channel_of(event_type) == name),
        )
        for name, template in templates.items()
    )


def _channel_of(event_type: EventType) -> str:
    if event_type is EventType.SENSOR_READING_RECEIVED:
        return "sensorReadings"
    if event_type is EventType.DEVICE_CONFIGURATION_UPDATED:
        return "deviceConfiguration"
    return "deviceConfigurationStatus" if event_type in STATUS_TYPES else "gateway"


def asyncapi() -> JsonObject:
    """Return the document."""
    found = channels()
    return {
        "asyncapi": "3.0.0",
        "id": f"urn:greenhouse-edge:contract:{SCHEMA_VERSION}",
        "info": {
            "title": "greenhouse-edge",
            "version": f"{SCHEMA_VERSION}.0.0",
            "description": _INFO,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in found},
        "operations": {
            **{_SENDING[channel.name][0]: _sent(channel) for channel in found if channel.name in _SENDING},
            "receiveUpdates": _received(),
        },
        "components": {
            "messages": {event_type.value: _message(event_type) for event_type in EventType},
            "correlationIds": {
                "updateEventId": {
                    "description": "The id of the event that is answered.",
                    "location": "$message.payload#/updateEventId",
                }
            },
            "parameters": {name: {"description": text} for name, text in _PARAMETERS.items()},
            "schemas": cast("JsonValue", _schemas()),
        },
    }


def _channel(channel: Channel) -> JsonObject:
    parameters = re.findall(r"{(\w+)}", channel.address)
    return {
        "address": channel.address,
        "description": _CHANNELS[channel.name],
        "messages": {each.value: _ref("components", "messages", each.value) for each in channel.types},
        "parameters": {name: _ref("components", "parameters", name) for name in parameters},
    }


def _sent(channel: Channel) -> JsonObject:
    return {
        "action": "send",
        "channel": _ref("channels", channel.name),
        "summary": _SENDING[channel.name][1],
        "messages": _messages(channel.name, channel.types),
    }


def _received() -> JsonObject:
    answers = [event_type for event_type in EventType if event_type in STATUS_TYPES]
    return {
        "action": "receive",
        "channel": _ref("channels", "deviceConfiguration"),
        "summary": "The gateway takes what it is asked for.",
        "description": _ANSWERED,
        "messages": _messages("deviceConfiguration", [EventType.DEVICE_CONFIGURATION_UPDATED]),
        "reply": {
            "channel": _ref("channels", "deviceConfigurationStatus"),
            "messages": _messages("deviceConfigurationStatus", answers),
        },
    }


def _messages(channel: str, types: Sequence[EventType]) -> list[JsonValue]:
    return [_ref("channels", channel, "messages", event_type.value) for event_type in types]


def _message(event_type: EventType) -> JsonObject:
    is_update, is_answer = event_type is EventType.DEVICE_CONFIGURATION_UPDATED, event_type in STATUS_TYPES
    description = MODELS[event_type].__doc__ or ""
    return {
        "name": event_type.value,
        "summary": description.split("\n\n", maxsplit=1)[0],
        "payload": _ref("components", "schemas", event_type.value),
        "headers": _ref("components", "schemas", "UpdateMetadata" if is_update else "Metadata"),
        **({"correlationId": _ref("components", "correlationIds", "updateEventId")} if is_answer else {}),
    }


def _ref(*path: str) -> JsonObject:
    return {"$ref": "#/" + "/".join(path)}


def _schemas() -> dict[str, JsonObject]:
    """Return the schema of each type and of what these name, each once."""
    found: dict[str, JsonObject] = {}
    models: dict[str, type[BaseModel]] = {each.value: MODELS[each] for each in EventType}
    models |= {"Metadata": METADATA, "UpdateMetadata": UpdateMetadata}
    for name, model in models.items():
        schema = schema_of(model)
        named = cast("dict[str, JsonValue]", schema.pop("$defs", {}))
        for key in ("$schema", "$id"):
            del schema[key]
        for each, part in {name: schema, **named}.items():
            said = cast("JsonObject", _draft_7(part))
            assert found.setdefault(each, said) == said, f"two schemas are called {each}"
    return dict(sorted(found.items()))


def _draft_7(schema: JsonValue) -> JsonValue:
    if isinstance(schema, list):
        return [_draft_7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    said = {"items" if key == "prefixItems" else key: _draft_7(value) for key, value in schema.items()}
    name = said.get("$ref")
    if isinstance(name, str):
        referred = _ref("components", "schemas", name.removeprefix("#/$defs/"))
        beside = {key: value for key, value in said.items() if key != "$ref"}
        # Draft 7 does not look at what stands beside a reference.
        return {**beside, "allOf": [referred]} if beside else referred
    return said
