import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import edge.contract
from edge.contract.asyncapi import asyncapi, channels
from edge.domain.event import EventType
from edge.domain.settings import StreamTemplates

DOCUMENT: dict[str, Any] = json.loads(json.dumps(asyncapi()))
EXAMPLES = [
    json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(edge.contract.__file__).parent / "examples").glob("*.json"))
]


def inside(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from inside(value)
    elif isinstance(node, list):
        for item in node:
            yield from inside(item)


def referred(path: str) -> Any:
    """What a reference leads to."""
    assert path.startswith("#/"), path
    found: Any = DOCUMENT
    for step in path.removeprefix("#/").split("/"):
        found = found[step]
    return found


def messages_of(channel: str) -> set[str]:
    return set(DOCUMENT["channels"][channel]["messages"])


def test_every_reference_leads_somewhere() -> None:
    references = [node["$ref"] for node in inside(DOCUMENT) if "$ref" in node]
    assert len(references) > 100
    for reference in references:
        referred(reference)


def test_nothing_stands_beside_a_reference_and_no_word_is_newer_than_draft_7() -> None:
    for node in inside(DOCUMENT):
        assert "$ref" not in node or len(node) == 1
        assert not {"$defs", "$id", "$schema", "prefixItems", "dependentRequired", "unevaluatedProperties"} & set(node)


def test_every_type_is_a_message_of_exactly_one_channel() -> None:
    found = [name for channel in DOCUMENT["channels"].values() for name in channel["messages"]]
    assert sorted(found) == sorted(event_type.value for event_type in EventType)
    for name, message in DOCUMENT["components"]["messages"].items():
        assert message["name"] == name
        assert message["payload"]["$ref"].endswith(f"/{name}")


def test_a_channels_address_has_its_parameters_and_no_others() -> None:
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel["parameters"])


def test_an_address_filled_in_is_the_name_that_the_code_gives_the_stream() -> None:
    names = StreamTemplates()
    templates = [names.sensor_readings, names.gateway, names.configuration_status, names.configuration]
    filled = {channel.address.format(gatewayId="g-1", deviceId="d") for channel in channels()}
    assert filled == {template.format(site="x", gateway="g-1", device="d") for template in templates}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["type"]))
def test_the_stream_of_an_example_is_its_types_channel(example: dict[str, Any]) -> None:
    (channel,) = [channel for channel in channels() if example["type"] in channel.types]
    pattern = re.sub(r"\\{\w+\\}", "[a-z0-9_-]+", re.escape(channel.address))
    assert re.fullmatch(pattern, example["stream"])


def test_an_operation_names_a_channel_and_messages_of_it() -> None:
    operations = DOCUMENT["operations"].values()
    for operation in [*operations, *(each["reply"] for each in operations if "reply" in each)]:
        channel = operation["channel"]["$ref"].removeprefix("#/channels/")
        assert operation["messages"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"#/channels/{channel}/messages/")


def test_the_gateway_sends_all_that_it_does_not_receive() -> None:
    actions = {name: operation["action"] for name, operation in DOCUMENT["operations"].items()}
    sent = {
        message["$ref"].rsplit("/", 1)[1]
        for name, action in actions.items()
        if action == "send"
        for message in DOCUMENT["operations"][name]["messages"]
    }
    assert [name for name, action in actions.items() if action == "receive"] == ["receiveUpdates"]
    assert sent == {event_type.value for event_type in EventType} - messages_of("deviceConfiguration")


def test_an_update_is_replied_to_by_the_two_answers_which_name_it() -> None:
    reply = DOCUMENT["operations"]["receiveUpdates"]["reply"]
    answers = {message["$ref"].rsplit("/", 1)[1] for message in reply["messages"]}
    assert answers == {"DeviceConfigurationApplied", "DeviceConfigurationRejected"}
    for name, message in DOCUMENT["components"]["messages"].items():
        assert ("correlationId" in message) == (name in answers)
        assert "updateEventId" in DOCUMENT["components"]["schemas"][name]["properties"] or name not in answers


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["type"]))
def test_an_example_keeps_the_schemas_of_the_document(example: dict[str, Any]) -> None:
    message = DOCUMENT["components"]["messages"][example["type"]]
    for part, said in (("payload", example["data"]), ("headers", example["metadata"])):
        if part in message:
            schema = {**message[part], "components": DOCUMENT["components"]}
            jsonschema.Draft7Validator.check_schema(schema)
            jsonschema.Draft7Validator(schema).validate(said)
    without = {key: value for key, value in example["data"].items() if key not in {"deviceId", "gatewayId"}}
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    assert list(jsonschema.Draft7Validator(schema).iter_errors(without))
