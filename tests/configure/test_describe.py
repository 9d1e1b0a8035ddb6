from dataclasses import replace

from edge.configure.describe import as_kept, describe
from edge.domain.configuration import site_file_configuration
from edge.domain.json_form import json_of
from fakes.configure_world import DIGEST, make_device


def test_a_description_says_all_that_may_be_set() -> None:
    device = make_device(poll_interval_min_s=3.0)
    assert json_of(describe(device, site_file_configuration(device), connection_id="line")) == {
        "deviceId": "bench",
        "name": "Bench 3",
        "location": "north",
        "connectionId": "line",
        "profile": {"id": "xy-md02", "digest": DIGEST},
        "enabled": True,
        "expectedIntervalS": 10.0,
        "maxSilenceS": 60.0,
        "configVersion": 0,
        "settable": {"enabled": True, "pollIntervalS": {"min": 3.0, "max": 3600}},
        "points": {
            "air_temperature": {
                "quantity": "air_temperature",
                "type": "number",
                "unit": "Cel",
                "range": [-40, 80],
                "writable": False,
                "settable": {
                    "offset": {"min": -2, "max": 2},
                    "gain": {"min": -1, "max": 2},
                    "deadband": {"min": 0, "max": 1},
                    "maxSilenceS": {"min": 0, "max": 3600},
                },
            },
            "relative_humidity": {
                "quantity": "relative_humidity",
                "type": "number",
                "unit": "%",
                "writable": False,
                "settable": {},
            },
        },
    }


def test_a_point_that_is_never_in_an_event_is_described_only_if_something_of_it_can_be_set() -> None:
    device = make_device()
    temperature, humidity = (replace(point, publish=False) for point in device.points)
    hidden = replace(device, points=(temperature, humidity), remote={}, profile=None)
    body = json_of(describe(hidden, site_file_configuration(hidden), connection_id="line"))
    assert (body["settable"], body["profile"]) == ({}, None)
    assert isinstance(body["points"], dict)
    assert {key: point["published"] for key, point in body["points"].items()} == {"air_temperature": False}


def test_a_device_that_speaks_when_it_likes_is_expected_at_no_interval() -> None:
    device = make_device(is_polled=False)
    body = json_of(describe(device, site_file_configuration(device), connection_id="line"))
    assert (body["expectedIntervalS"], body["maxSilenceS"]) == (None, 60.0)
    assert body["settable"] == {"enabled": True}


def test_the_digest_is_that_of_the_content() -> None:
    device = make_device()
    described = describe(device, site_file_configuration(device), connection_id="line")
    assert as_kept(described).digest == as_kept(replace(described)).digest
    assert as_kept(described).digest != as_kept(replace(described, name="other")).digest
