import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jsonschema  # its stubs would be one more dependency for one file
import pytest
from pydantic import ValidationError

import edge.contract
from edge.contract.model import read_written
from edge.contract.published import FOLDER, generated
from edge.contract.registry import EVENT, METADATA, MODELS, quantities, schemas
from edge.domain.configuration import Change
from edge.domain.event import EventType
from edge.domain.facts import DeviceConfigurationApplied, DeviceConfigurationRejected
from edge.domain.json_form import json_of

EXAMPLE_FOLDER = Path(edge.contract.__file__).parent / "examples"
EXAMPLES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(EXAMPLE_FOLDER.glob("*.json"))
}
SCHEMAS = schemas()


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        SCHEMAS[f"{name}.v1.json"], format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def test_every_type_has_a_model_a_schema_and_an_example() -> None:
    types = {event_type.value for event_type in EventType}
    assert {event_type.value for event_type in MODELS} == types
    assert set(EXAMPLES) == types
    assert set(SCHEMAS) == {f"{name}.v1.json" for name in [*types, "Metadata", "Event"]}


def test_the_generated_files_are_what_the_models_and_the_catalogue_say() -> None:
    names = [*FOLDER.glob("*.json"), *FOLDER.glob("schemas/*.json")]
    found = {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in names}
    assert found == generated(), "run: python -m edge.contract"


def test_the_published_quantities_are_the_catalogue() -> None:
    assert json.loads(generated()["quantities.json"]) == quantities()
    assert quantities()["ph"] == {"unit": "[pH]", "symbol": "pH", "title": "pH", "range": [0, 14], "kind": "gauge"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    # Words that pydantic leaves in when it does not know how to say them in JSON Schema.
    assert not {'"ge"', '"le"', '"gt"'} & set(json.dumps(SCHEMAS[name]).replace(":", " ").split())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_keeps_its_schema(name: str) -> None:
    example = EXAMPLES[name]
    assert set(example) == {"stream", "type", "data", "metadata"}
    assert example["type"] == name
    validator(name).validate(example["data"])
    if name != EventType.DEVICE_CONFIGURATION_UPDATED:
        validator("Metadata").validate(example["metadata"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_comes_back_from_its_model_as_it_was(name: str) -> None:
    example = EXAMPLES[name]
    assert MODELS[EventType(name)].model_validate(example["data"]).as_json() == example["data"]
    if name != EventType.DEVICE_CONFIGURATION_UPDATED:
        assert METADATA.model_validate(example["metadata"]).as_json() == example["metadata"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_readers_ignore_what_they_do_not_know(name: str) -> None:
    data = {**EXAMPLES[name]["data"], "addedLater": {"x": 1}}
    validator(name).validate(data)
    MODELS[EventType(name)].model_validate(data)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_schema_and_its_model_miss_the_same_fields(name: str) -> None:
    """Leaving out any one field is refused by both or by none."""
    data = EXAMPLES[name]["data"]
    for key in data:
        without = {other: value for other, value in data.items() if other != key}
        try:
            MODELS[EventType(name)].model_validate(without)
            is_refused = False
        except ValidationError:
            is_refused = True
        assert bool(list(validator(name).iter_errors(without))) == is_refused, key


GOOD: dict[str, Any] = {"value": 1.5, "unit": "Cel", "quality": "good"}


@pytest.mark.parametrize(
    "changes",
    [
        {"value": None},
        {"reason": "stale"},
        {"quality": "bad"},
        {"quality": "bad", "value": None},
        {"quality": "bad", "value": None, "reason": "stale"},
        {"quality": "bad", "reason": "comm_error"},
        {"quality": "uncertain"},
        {"quality": "uncertain", "reason": "comm_error"},
        {"quality": "uncertain", "reason": "stale", "value": None},
        {"quality": "excellent"},
        {"value": [1]},
    ],
)
def test_a_reading_that_contradicts_itself_is_refused_by_both(changes: dict[str, Any]) -> None:
    data = {**EXAMPLES["SensorReadingReceived"]["data"], "readings": {"t": {**GOOD, **changes}}}
    assert list(validator("SensorReadingReceived").iter_errors(data))
    with pytest.raises(ValidationError):
        MODELS[EventType.SENSOR_READING_RECEIVED].model_validate(data)


@pytest.mark.parametrize(
    ("origin", "repeat_of", "is_refused"),
    [
        ("redelivered", "01936e00-1111-7222-8333-444455556666", False),
        ("redelivered", None, True),
        ("live", "01936e00-1111-7222-8333-444455556666", True),
        ("live", None, False),
    ],
)
def test_a_redelivered_sample_names_the_event_that_it_may_repeat(
    origin: str, repeat_of: str | None, *, is_refused: bool
) -> None:
    data = {**EXAMPLES["SensorReadingReceived"]["data"], "origin": origin}
    if repeat_of is not None:
        data["repeatOf"] = repeat_of
    assert bool(list(validator("SensorReadingReceived").iter_errors(data))) == is_refused
    with pytest.raises(ValidationError) if is_refused else nullcontext():
        MODELS[EventType.SENSOR_READING_RECEIVED].model_validate(data)


def test_an_unsynchronized_clock_comes_with_the_uptime() -> None:
    data = {**EXAMPLES["GatewayStopped"]["data"], "clock": "unsynchronized"}
    assert list(validator("GatewayStopped").iter_errors(data))
    validator("GatewayStopped").validate({**data, "uptimeMs": 5})


def test_what_may_be_left_out_is_never_null() -> None:
    data = {**EXAMPLES["GatewayStopped"]["data"], "uptimeMs": None}
    assert list(validator("GatewayStopped").iter_errors(data))
    with pytest.raises(ValidationError):
        MODELS[EventType.GATEWAY_STOPPED].model_validate(data)


@pytest.mark.parametrize("time", ["2026-11-23T10:15:00Z", "2026-11-23T10:15:00.120+01:00", "2026-11-23 10:15:00.120Z"])
def test_a_time_is_written_in_utc_with_milliseconds(time: str) -> None:
    data = {**EXAMPLES["GatewayStopped"]["data"], "occurredAt": time}
    assert list(validator("GatewayStopped").iter_errors(data))
    with pytest.raises(ValidationError):
        MODELS[EventType.GATEWAY_STOPPED].model_validate(data)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_event_is_told_from_all_others_by_its_type(name: str) -> None:
    example = EXAMPLES[name]
    validator("Event").validate(example)
    assert type(EVENT.model_validate(example).root).__name__ == f"{name}Event"  # type: ignore[attr-defined]
    assert list(validator("Event").iter_errors({**example, "type": "OfALaterRelease"}))
    assert list(validator("Event").iter_errors({**example, "data": {}}))


def test_a_boolean_is_never_taken_for_a_number() -> None:
    data = {**EXAMPLES["DeviceDescribed"]["data"], "expectedIntervalS": True}
    assert list(validator("DeviceDescribed").iter_errors(data))
    with pytest.raises(ValidationError):
        MODELS[EventType.DEVICE_DESCRIBED].model_validate(data)


def test_words_of_open_lists_that_a_later_release_may_know_are_read() -> None:
    data = {**EXAMPLES["DeviceConfigurationRejected"]["data"], "errors": [{"path": "", "code": "new", "message": "m"}]}
    validator("DeviceConfigurationRejected").validate(data)
    assert read_written(DeviceConfigurationRejected, data).errors[0].code == "new"


def test_what_is_read_back_is_what_was_written() -> None:
    data = EXAMPLES["DeviceConfigurationApplied"]["data"]
    applied = read_written(DeviceConfigurationApplied, data)
    assert applied.changes[0] == Change(path="points.air_temperature.offset", before=0.0, after=-0.3)
    assert {**data, **json_of(applied)} == data


def test_a_fact_that_contradicts_itself_is_none() -> None:
    data = EXAMPLES["DeviceConfigurationRejected"]["data"]
    with pytest.raises(ValidationError, match="has its ids"):
        read_written(DeviceConfigurationRejected, {**data, "deviceId": None})
    with pytest.raises(ValidationError, match="at least 1 item"):
        read_written(DeviceConfigurationRejected, {**data, "errors": []})
