"""Whatever comes on a device's topics: samples, or one named error."""

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.mqtt.device import DeviceMessages, Message, PayloadMalformed
from fakes.mqtt_site import LoadSite, messages_of, profile_messages

PROFILE_FOLDER = Path(__file__).parents[3] / "drivers" / "profiles"
PROFILES = sorted(
    file.stem for file in PROFILE_FOLDER.glob("*.toml") if 'driver = "mqtt"' in file.read_text(encoding="utf-8")
)
# Keys and words that lead somewhere in one envelope or another.
KEYS = [
    *("Time", "StatusSNS", "SI7021", "Temperature", "Humidity", "TempUnit", "temperature", "humidity", "last_seen"),
    *("uplink_message", "decoded_payload", "frm_payload", "received_at", "session_key_id", "f_cnt", "state"),
    *("method", "params", "ts", "switch:0", "temperature:0", "tC", "output", "devicepower:0", "external", "present"),
]
WORDS = ["NotifyStatus", "F", "ON", "nan", "", "-1e999", "2023-01-15T00:00:00", "AXVkA2cZAQ==", "9" * 400, "\ud800"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(WORDS)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner),
    max_leaves=12,
)
UPLINKS = st.binary(max_size=60).map(
    lambda frame: json.dumps({"uplink_message": {"frm_payload": base64.b64encode(frame).decode()}})
)
PAYLOADS = st.binary(max_size=300) | DOCUMENTS.map(json.dumps).map(str.encode) | UPLINKS.map(str.encode)


def examine(messages: DeviceMessages, message: Message) -> None:
    try:
        samples = messages.decode(message)
    except PayloadMalformed:
        return
    for sample in samples:
        assert sample.device_id == "probe"
        assert len(sample.source_key) == 16
        for reading in sample.readings.values():
            assert not isinstance(reading.value, float) or math.isfinite(reading.value)


@pytest.fixture
def of_profile(load_site: LoadSite) -> Callable[[str], DeviceMessages]:
    return lambda profile: profile_messages(load_site, profile, "a/b")


@pytest.mark.parametrize("profile", PROFILES)
def test_any_payload_gives_samples_or_a_named_error(profile: str, of_profile: Callable[[str], DeviceMessages]) -> None:
    messages = of_profile(profile)
    topics = [name.replace("+", "switch:0") for name in messages.filters]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(PAYLOADS, st.sampled_from(topics), st.booleans(), st.booleans())
    def examined(payload: bytes, topic: str, is_retained: bool, is_repeated: bool) -> None:
        message = Message(
            topic=topic,
            payload=payload,
            is_retained=is_retained,
            is_repeated=is_repeated,
            received_at_ms=1_673_740_800_000,
        )
        examine(messages, message)
        messages.availability(message)

    examined()


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b'{"a":' + b"9" * 60_000 + b"}",
        b'{"a":1e999999}',
        b'{"a":-1e-999999}',
        b'{"a":0.' + b"3" * 60_000 + b"}",
        b'{"a":"' + b"9" * 60_000 + b'"}',
        b"x" * 10_000_000,
    ],
    ids=lambda payload: payload[:8],
)
def test_the_worst_payloads_are_answered(payload: bytes, load_site: LoadSite) -> None:
    messages = messages_of(load_site, 'topic = "t"\n[connection.device.point.ec]\npath = "a"\n')
    examine(messages, Message(topic="t", payload=payload, received_at_ms=0))
