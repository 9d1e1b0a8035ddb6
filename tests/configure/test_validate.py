import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.configure.validate import MISTAKES_MAX, resolve
from edge.domain.author import encode_json
from edge.domain.configuration import Code, site_file_configuration
from edge.domain.settable import Limits, PointConfiguration
from fakes.configure_world import make_device

DEVICE = make_device(poll_interval_min_s=3.0)
NEITHER = make_device(remote={})


def errors(document: dict[str, Any], device: Any = DEVICE) -> list[tuple[str, str, float | None]]:
    return [(mistake.path, mistake.code, mistake.limit) for mistake in resolve(document, device).mistakes]


def test_an_empty_document_is_the_site_file() -> None:
    resolved = resolve({}, DEVICE)
    assert resolved.mistakes == ()
    assert resolved.configuration == site_file_configuration(DEVICE)


def test_what_is_allowed_is_taken_and_the_rest_stays() -> None:
    document = {
        "enabled": False,
        "pollIntervalS": 5,
        "points": {"air_temperature": {"offset": 1, "gain": 1.1, "deadband": 0.2, "maxSilenceS": 60}},
        "setpoints": {},
        "recipe": None,
    }
    resolved = resolve(document, DEVICE)
    assert resolved.mistakes == ()
    configuration = resolved.configuration
    assert (configuration.enabled, configuration.poll_interval_s) == (False, 5.0)
    assert configuration.points == {
        "air_temperature": PointConfiguration(offset=1.0, gain=1.1, deadband=0.2, max_silence_s=60.0),
        "relative_humidity": PointConfiguration(),
    }


def point(**values: Any) -> dict[str, Any]:
    return {"points": {"air_temperature": values}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"pollIntervalS": 0.1}, ("pollIntervalS", "below_minimum", 3.0)),
        ({"pollIntervalS": 2.5}, ("pollIntervalS", "below_minimum", 3.0)),
        ({"pollIntervalS": 3601}, ("pollIntervalS", "above_maximum", 3600)),
        ({"pollIntervalS": 10**400}, ("pollIntervalS", "not_finite", None)),
        ({"pollIntervalS": float("nan")}, ("pollIntervalS", "not_finite", None)),
        ({"pollIntervalS": float("-inf")}, ("pollIntervalS", "not_finite", None)),
        ({"pollIntervalS": True}, ("pollIntervalS", "wrong_type", None)),
        ({"pollIntervalS": "5"}, ("pollIntervalS", "wrong_type", None)),
        ({"enabled": 1}, ("enabled", "wrong_type", None)),
        ({"points": []}, ("points", "wrong_type", None)),
        ({"points": {"air_temperature": 3}}, ("points.air_temperature", "wrong_type", None)),
        ({"points": {"co2": {}}}, ("points.co2", "unknown_point", None)),
        ({"points": {"relative_humidity": {"offset": 1}}}, ("points.relative_humidity.offset", "not_permitted", None)),
        (point(offset=2.01), ("points.air_temperature.offset", "above_maximum", 2)),
        (point(offset=-2.01), ("points.air_temperature.offset", "below_minimum", -2)),
        (point(gain=0), ("points.air_temperature.gain", "not_permitted", None)),
        (point(deadband=-0.5), ("points.air_temperature.deadband", "below_minimum", 0)),
        (point(maxSilenceS=0), ("points.air_temperature.maxSilenceS", "not_permitted", None)),
        (point(alarm={"low": 8}), ("points.air_temperature.alarm", "not_supported", None)),
        (point(scale=8), ("points.air_temperature.scale", "unknown_key", None)),
        ({"setpoints": {"co2_target": 900}}, ("setpoints", "not_supported", None)),
        ({"recipe": {"id": "tomato"}}, ("recipe", "not_supported", None)),
        ({"host": "evil"}, ("host", "unknown_key", None)),
    ],
)
def test_what_is_wrong_is_told_and_the_site_file_stands_in_its_place(
    document: dict[str, Any], expected: tuple[str, str, float | None]
) -> None:
    assert errors(document) == [expected]
    assert resolve(document, DEVICE).configuration == site_file_configuration(DEVICE)


def test_limits_themselves_are_allowed() -> None:
    assert errors({"pollIntervalS": 3600, **point(offset=-2, deadband=1)}) == []


def test_a_value_equal_to_the_site_files_is_always_allowed() -> None:
    same = {"enabled": True, "pollIntervalS": 10, "points": {"relative_humidity": {"offset": 0, "gain": 1.0}}}
    assert errors(same, NEITHER) == []
    assert [code for _, code, _ in errors({"enabled": False, "pollIntervalS": 11}, NEITHER)] == ["not_permitted"] * 2
    # Though the site file's own value lies outside of what may be set from far.
    odd = replace(DEVICE, poll_interval_s=1.0, poll_interval_min_s=0.0)
    assert errors({"pollIntervalS": 1}, odd) == []


def test_a_site_file_can_not_loosen_what_a_profile_knows() -> None:
    device = make_device(
        poll_interval_min_s=30.0,
        poll_interval_s=60.0,
        remote={"poll_interval_s": Limits(minimum=1, maximum=100)},
    )
    assert errors({"pollIntervalS": 10}, device) == [("pollIntervalS", "below_minimum", 30.0)]


def test_the_message_says_value_and_limit() -> None:
    [mistake] = resolve({"pollIntervalS": 0.1}, make_device()).mistakes
    assert mistake.message == "pollIntervalS is 0.1; this site allows 2 or more"


def test_many_mistakes_are_cut_and_the_cut_is_told() -> None:
    found = resolve({f"key{number}": 1 for number in range(1000)}, DEVICE).mistakes
    assert len(found) == MISTAKES_MAX
    assert (found[-1].code, found[-1].message) == (Code.FURTHER_ERRORS, "and 951 errors more")


values: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({})
)
keys = st.sampled_from(["offset", "gain", "deadband", "maxSilenceS", "alarm", "other"])
documents = st.dictionaries(
    st.sampled_from(["enabled", "pollIntervalS", "setpoints", "recipe", "host"]), values
) | st.fixed_dictionaries(
    {
        "points": values
        | st.dictionaries(
            st.sampled_from(["air_temperature", "relative_humidity", "co2"]) | st.text(),
            values | st.dictionaries(keys | st.text(), values, max_size=3),
            max_size=3,
        )
    }
)


@settings(deadline=None)
@given(documents)
def test_whatever_is_asked_what_comes_out_keeps_the_limits(document: dict[str, Any]) -> None:
    resolved = resolve(document, DEVICE)
    configuration = resolved.configuration
    assert 3 <= configuration.poll_interval_s <= 3600
    temperature = configuration.points["air_temperature"]
    assert -2 <= temperature.offset <= 2
    assert temperature.gain != 0
    assert 0 <= temperature.deadband <= 1
    assert 0 < temperature.max_silence_s <= 3600
    assert configuration.points["relative_humidity"] == PointConfiguration()
    encode_json([mistake.message for mistake in resolved.mistakes])
    # Asking again for what came out is no mistake.
    again = {"pollIntervalS": configuration.poll_interval_s, "enabled": configuration.enabled}
    assert resolve(json.loads(json.dumps(again)), DEVICE).mistakes == ()
