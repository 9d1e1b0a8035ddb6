import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.configure.judge import resolve
from edge.configure.reading import UPDATE_BYTES_MAX, Unreadable, Update, read_update
from edge.domain.author import encode_json
from edge.domain.configuration import Code
from edge.domain.event import EventType, RecordedEvent
from fakes.configure_world import make_device, update


def update_bytes(**changes: Any) -> bytes:
    return json.dumps({**update(1), **changes}).encode()


def read(data: bytes | dict[str, Any], metadata: bytes | dict[str, Any] = b"") -> Update | Unreadable:
    def encoded(value: bytes | dict[str, Any]) -> bytes:
        return value if isinstance(value, bytes) else json.dumps(value).encode()

    return read_update(
        RecordedEvent(
            event_id=uuid4(),
            type=EventType.DEVICE_CONFIGURATION_UPDATED,
            data=encoded(data),
            metadata=encoded(metadata),
            stream="deviceConfiguration-g",
            revision=3,
        )
    )


def mistake(data: bytes | dict[str, Any], metadata: bytes | dict[str, Any] = b"") -> tuple[str, Code, str | None]:
    found = read(data, metadata)
    assert isinstance(found, Unreadable)
    return found.mistakes[0].path, found.mistakes[0].code, found.device_id


def test_a_whole_update_is_read() -> None:
    found = read(
        update(
            7,
            {"enabled": True},
            basedOn=6,
            validUntil="2026-11-23T12:00:00+01:00",
            changedBy="agronomy@grower.example",
            reason="because",
            somethingNew=1,
        ),
        {"schemaVersion": 1, "$correlationId": "c-1", "$causationId": "x"},
    )
    assert isinstance(found, Update)
    assert (found.device_id, found.config_version, found.based_on, found.revision) == ("bench", 7, 6, 3)
    assert found.valid_until_ms == 1_795_431_600_000
    assert (found.changed_by, found.reason, found.correlation_id) == ("agronomy@grower.example", "because", "c-1")
    assert found.document == {"enabled": True}


@pytest.mark.parametrize("metadata", [b"", b"null", b"{}", b'{"schemaVersion": 1.0}'])
def test_a_missing_schema_version_is_the_first(metadata: bytes) -> None:
    assert isinstance(read(update(1), metadata), Update)


def test_a_version_written_with_a_decimal_point_is_read() -> None:
    found = read(b'{"deviceId": "bench", "configVersion": 7.0, "configuration": {}}')
    assert isinstance(found, Update)
    assert found.config_version == 7


@pytest.mark.parametrize(
    ("data", "path", "code", "device_id"),
    [
        (b"", "data", Code.NOT_JSON, None),
        (b"\xff\xfe", "data", Code.NOT_JSON, None),
        ('{"deviceId": "bench"}'.encode("utf-16"), "data", Code.NOT_JSON, None),
        (b"[" * 60_000, "data", Code.TOO_DEEP, None),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, "data", Code.TOO_DEEP, None),
        (b"[]", "data", Code.WRONG_TYPE, None),
        (b"null", "data", Code.WRONG_TYPE, None),
        (b'{"deviceId": "\\ud800"}', "data", Code.NOT_JSON, None),
        (b'{"\\udfff": 1}', "data", Code.NOT_JSON, None),
        (b'{"deviceId": ' + b"9" * 5000 + b"}", "deviceId", Code.WRONG_TYPE, None),
        (b'{"deviceId": "a", "deviceId": "b"}', "data", Code.DUPLICATE_KEY, None),
        (b'{"deviceId": "bench", "configuration": {"a": 1, "a": 1}}', "data", Code.DUPLICATE_KEY, None),
        (b'{"a": {"\\ud800": 1, "\\ud800": 2}}', "data", Code.DUPLICATE_KEY, None),
        (b'{"deviceId": "bench", "configVersion": ' + b"9" * 5000 + b"}", "configVersion", Code.NOT_FINITE, "bench"),
        (update(1, basedOn=-1), "basedOn", Code.MALFORMED, "bench"),
        (update(1, basedOn=True), "basedOn", Code.WRONG_TYPE, "bench"),
        (json.dumps(update(1, {"a": "x" * UPDATE_BYTES_MAX})).encode(), "data", Code.TOO_LARGE, None),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "data", Code.TOO_DEEP, None),
        (update(1, device_id="Bench 3"), "deviceId", Code.MALFORMED, "Bench 3"),
        (update(1, device_id="x" * 65), "deviceId", Code.MALFORMED, None),
        ({"deviceId": "bench", "configuration": {}}, "configVersion", Code.MISSING, "bench"),
        ({"deviceId": "bench", "configVersion": 1}, "configuration", Code.MISSING, "bench"),
        ({"deviceId": 3, "configVersion": 1, "configuration": {}}, "deviceId", Code.WRONG_TYPE, None),
        (update(0), "configVersion", Code.MALFORMED, "bench"),
        (update(2**53), "configVersion", Code.MALFORMED, "bench"),
        (update(10**300), "configVersion", Code.MALFORMED, "bench"),
        (update(1) | {"configVersion": True}, "configVersion", Code.WRONG_TYPE, "bench"),
        (update(1) | {"configVersion": 1.5}, "configVersion", Code.WRONG_TYPE, "bench"),
        (update(1) | {"configVersion": float("nan")}, "configVersion", Code.NOT_FINITE, "bench"),
        (update(1) | {"configVersion": "1"}, "configVersion", Code.WRONG_TYPE, "bench"),
        (update(1) | {"configuration": []}, "configuration", Code.WRONG_TYPE, "bench"),
        (update(1, basedOn="x"), "basedOn", Code.WRONG_TYPE, "bench"),
        (update(1, validUntil="tomorrow"), "validUntil", Code.MALFORMED, "bench"),
        (update(1, validUntil="2026-11-23T12:00:00"), "validUntil", Code.MALFORMED, "bench"),
        (update(1, reason=3), "reason", Code.WRONG_TYPE, "bench"),
        (update(1, gatewayId=7), "gatewayId", Code.WRONG_TYPE, "bench"),
        (update(1, gatewayId="North 1"), "gatewayId", Code.MALFORMED, "bench"),
    ],
)
def test_what_cannot_be_read_says_why(
    data: bytes | dict[str, Any], path: str, code: Code, device_id: str | None
) -> None:
    assert mistake(data) == (path, code, device_id)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (b"\xff", Code.NOT_JSON),
        (b"7", Code.WRONG_TYPE),
        (b'{"schemaVersion": 1, "schemaVersion": 2}', Code.DUPLICATE_KEY),
        (b"[" * 3000 + b"]" * 3000, Code.TOO_DEEP),
        (b" " * (UPDATE_BYTES_MAX + 1), Code.TOO_LARGE),
    ],
)
def test_metadata_that_cannot_be_read_may_hide_another_schema_version(metadata: bytes, code: Code) -> None:
    assert mistake(update(1), metadata) == ("metadata", code, None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"pollIntervalS": 99999, "pollIntervalS": 5}', "data has the key 'pollIntervalS' twice in one object"),
        (b"[" * 3000 + b"]" * 3000, "data is nested deeper than 16"),
        (b"{'a': 1}", "data is not JSON in UTF-8"),
        (b'{"a": "\\udc00"}', "data holds half of a surrogate pair"),
        (b'{"deviceId": "b", "configVersion": 1}', "configuration is missing"),
        (update_bytes(configVersion=9**400), "configVersion must be a whole number from 1 to 9007199254740991"),
        (update_bytes(configVersion=1.5), "configVersion must be a whole number from 1 to 9007199254740991"),
        (update_bytes(validUntil="tomorrow"), "validUntil must be a time with its offset, written as 2026-11-24T00:00:00+01:00"),
        (update_bytes(reason=5), "reason must be a text"),
        (update_bytes(deviceId="Bench 3"), "deviceId must be a small letter or digit, then small letters, digits, - and _; 64 characters at most"),
        (update_bytes(deviceId="_bench"), "deviceId must be a small letter or digit, then small letters, digits, - and _; 64 characters at most"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_told_in_a_true_sentence(data: bytes, message: str) -> None:
    found = read(data)
    assert isinstance(found, Unreadable)
    assert found.mistakes[0].message == message


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_of_any_length_is_judged_where_it_stands(digits: int) -> None:
    data = b'{"deviceId": "bench", "configVersion": 1, "configuration": {"pollIntervalS": ' + b"9" * digits + b"}}"
    found = read(data)
    assert isinstance(found, Update)
    assert [(m.path, m.code) for m in resolve(found.document, make_device()).mistakes] == [
        ("pollIntervalS", Code.NOT_FINITE)
    ]


@pytest.mark.parametrize("version", [2, 0, True, "1", None, [], {}, 1.5])
def test_an_unknown_schema_version_is_refused_with_the_ids_that_can_be_read(version: object) -> None:
    found = read(update(1), {"schemaVersion": version, "$correlationId": "c"})
    assert isinstance(found, Unreadable)
    assert found.mistakes[0].code is Code.UNKNOWN_SCHEMA_VERSION
    assert (found.device_id, found.config_version, found.correlation_id) == ("bench", 1, "c")


@pytest.mark.parametrize("correlation_id", [7, "", "x" * 300, None])
def test_a_correlation_id_that_is_none_is_left_out(correlation_id: object) -> None:
    assert read(update(1), {"$correlationId": correlation_id}).correlation_id is None


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999-23:59", "0001-01-01T00:00:00Z"])
def test_the_ends_of_the_calendar_are_times(time: str) -> None:
    assert isinstance(read(update(1, validUntil=time)), Update)


@pytest.mark.parametrize(
    "time",
    [
        "2027-W01-1T00:00:00Z",
        "20270101T000000Z",
        "2027-01-01 00:00:00Z",
        "2027-01-01T00Z",
        "2027-01-01T00:00Z",
        "2027-01-01T00:00:00,5Z",
        "2027-01-01T00:00:00+0100",
        "2027-12-31t23:59:00z",
        "2027-12-31T23:59:60Z",
    ],
)
def test_a_time_that_other_readers_may_not_read_is_none(time: str) -> None:
    assert isinstance(read(update(1, validUntil=time)), Unreadable)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
near_updates = st.fixed_dictionaries(
    {},
    optional={
        "deviceId": st.just("bench") | json_values,
        "configVersion": st.integers(-1, 5) | json_values,
        "basedOn": json_values,
        "validUntil": st.datetimes().map(str) | json_values,
        "changedBy": json_values,
        "configuration": json_values,
    },
)


@settings(deadline=None)
@given(
    st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=10) | json_values.map(lambda value: json.dumps(value).encode()),
)
def test_any_bytes_are_read_or_said_to_be_unreadable(data: bytes, metadata: bytes) -> None:
    found = read(data, metadata)
    if isinstance(found, Unreadable):
        assert found.mistakes
        encode_json([m.message for m in found.mistakes] + [found.device_id, found.correlation_id]).encode()


@settings(deadline=None)
@given(near_updates)
def test_anything_like_an_update_is_read_or_said_to_be_unreadable(data: dict[str, Any]) -> None:
    found = read(data)
    encode_json([found.device_id, found.config_version]).encode()
