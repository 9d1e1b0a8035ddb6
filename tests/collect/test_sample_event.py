import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.collect.sample_event import SampleTemplate
from edge.contract.model import read_written
from edge.domain.clock import ClockState
from edge.domain.configuration import EffectiveConfiguration, site_file_configuration
from edge.domain.envelope import Metadata
from edge.domain.event import Draft, EventType, Numbers
from edge.domain.facts import SensorReadingReceived
from edge.domain.json_form import json_of
from edge.domain.reading import Origin, Quality, Reading, Reason, bad
from edge.domain.settings import ValueType
from fakes.collect_site import RUN, author, device, point

MEASURED_AT_MS = 1_795_428_900_120


class FixedClock:
    def __init__(self, state: ClockState = ClockState.SYNCHRONIZED) -> None:
        self._state = state

    def unix_ms(self) -> int:
        return MEASURED_AT_MS

    def uptime_ms(self) -> int:
        return 812_345

    def monotonic_s(self) -> float:
        return 812.345

    def state(self) -> ClockState:
        return self._state


CLIMATE = device(
    "bench3-climate",
    point("air_temperature"),
    point("relative_humidity", unit="%"),
    point("vent", type=ValueType.TEXT, unit=None),
    point("meter_status", unit=None, publish=False),
)


def template(clock: FixedClock | None = None, configuration: EffectiveConfiguration | None = None) -> SampleTemplate:
    return SampleTemplate(author(clock or FixedClock()), CLIMATE, configuration or site_file_configuration(CLIMATE))


def draft(readings: dict[str, Reading], made: SampleTemplate | None = None) -> Draft:
    drafted = (made or template()).draft(readings, measured_at_ms=MEASURED_AT_MS, origin=Origin.LIVE)
    assert drafted is not None
    return drafted


def test_a_sample_is_written_byte_for_byte_as_the_design_shows_it() -> None:
    readings = {
        "air_temperature": Reading(value=21.4, unit="Cel"),
        "relative_humidity": bad(Reason.SENSOR_FAULT, "%"),
    }
    data, _ = draft(readings).encode(Numbers(position=120_344, sequence=8812))
    assert data.decode() == (
        '{"siteId":"north-1","gatewayId":"north-1","deviceId":"bench3-climate",'
        '"measuredAt":"2026-11-23T10:15:00.120Z","clock":"synchronized","origin":"live","sequence":8812,'
        '"readings":{"air_temperature":{"value":21.4,"unit":"Cel","quality":"good"},'
        '"relative_humidity":{"value":null,"unit":"%","quality":"bad","reason":"sensor_fault"}}}'
    )


def test_it_goes_to_the_devices_stream_as_telemetry_of_the_device() -> None:
    drafted = draft({"air_temperature": Reading(value=21.4, unit="Cel")})
    assert drafted.stream == "sensorReadings-north-1.bench3-climate"
    assert drafted.type is EventType.SENSOR_READING_RECEIVED
    assert drafted.is_telemetry
    assert drafted.device_id == "bench3-climate"


def test_the_first_sample_of_a_run_names_the_last_of_the_earlier_one() -> None:
    earlier = UUID("018f0000-0000-7000-8000-0000000000aa")
    numbers = Numbers(position=1, sequence=1, previous=(earlier, 99))
    data, _ = draft({"air_temperature": Reading(value=21.4, unit="Cel")}).encode(numbers)
    assert list(json.loads(data))[-3:] == ["sequence", "previous", "readings"]
    assert json.loads(data)["previous"] == {"run": str(earlier), "sequence": 99}


def test_an_unsynchronized_clock_says_so_and_gives_the_uptime() -> None:
    made = template(FixedClock(ClockState.UNSYNCHRONIZED))
    data, _ = draft({"air_temperature": Reading(value=21.4, unit="Cel")}, made).encode(Numbers(position=1, sequence=1))
    fields = json.loads(data)
    assert list(fields)[3:7] == ["measuredAt", "clock", "uptimeMs", "origin"]
    assert (fields["clock"], fields["uptimeMs"]) == ("unsynchronized", 812_345)


def test_the_payloads_own_time_is_said_to_be_the_devices() -> None:
    readings = {"air_temperature": Reading(value=21.4, unit="Cel")}
    drafted = template().draft(readings, measured_at_ms=MEASURED_AT_MS, origin=Origin.LIVE, is_device_time=True)
    assert drafted is not None
    fields = json.loads(drafted.encode(Numbers(position=1, sequence=1))[0])
    assert list(fields)[3:6] == ["measuredAt", "timeSource", "clock"]
    assert (fields["timeSource"], fields["clock"]) == ("device", "synchronized")


@pytest.mark.parametrize("state", list(ClockState))
@pytest.mark.parametrize("previous", [None, (UUID(int=3), 99)])
@pytest.mark.parametrize("repeat_of", [None, UUID(int=4)])
@pytest.mark.parametrize("is_device_time", [False, True])
def test_what_is_put_together_by_hand_is_what_the_contract_says(
    state: ClockState, previous: tuple[UUID, int] | None, repeat_of: UUID | None, *, is_device_time: bool
) -> None:
    readings = {
        "air_temperature": Reading(value=21.4, unit="Cel"),
        "relative_humidity": bad(Reason.SENSOR_FAULT, "%"),
        "vent": Reading(value="open", unit=None, quality=Quality.UNCERTAIN, reason=Reason.STALE),
    }
    drafted = template(FixedClock(state)).draft(
        readings,
        measured_at_ms=MEASURED_AT_MS,
        is_device_time=is_device_time,
        origin=Origin.LIVE if repeat_of is None else Origin.REDELIVERED,
        repeat_of=repeat_of,
    )
    assert drafted is not None
    data, metadata = drafted.encode(Numbers(position=1, sequence=7, previous=previous))
    assert json_of(read_written(SensorReadingReceived, json.loads(data))) == json.loads(data)
    assert json_of(read_written(Metadata, json.loads(metadata))) == json.loads(metadata)


def test_metadata_names_the_configuration_the_sample_was_decoded_with() -> None:
    update = UUID("018f0000-0000-7000-8000-0000000000bb")
    in_force = EffectiveConfiguration(
        device_id=CLIMATE.id,
        enabled=True,
        poll_interval_s=1.0,
        points=site_file_configuration(CLIMATE).points,
        version=7,
        update_event_id=update,
    )
    drafted = draft({"air_temperature": Reading(value=21.4, unit="Cel")}, template(configuration=in_force))
    _, metadata = drafted.encode(Numbers(position=120_344, sequence=1))
    assert json.loads(metadata) == {
        "schemaVersion": 1,
        "run": str(RUN),
        "configVersion": 7,
        "$causationId": str(update),
        "position": 120_344,
    }


def test_encoding_is_repeatable() -> None:
    drafted = draft({"air_temperature": Reading(value=21.4, unit="Cel")})
    numbers = Numbers(position=5, sequence=2)
    assert drafted.encode(numbers) == drafted.encode(numbers)


def test_points_that_are_not_published_are_left_out() -> None:
    readings = {"meter_status": Reading(value=3, unit=None), "air_temperature": Reading(value=21.4, unit="Cel")}
    data, _ = draft(readings).encode(Numbers(position=1, sequence=1))
    assert list(json.loads(data)["readings"]) == ["air_temperature"]


def test_a_sample_without_anything_to_publish_is_no_event() -> None:
    readings = {"meter_status": Reading(value=3, unit=None)}
    assert template().draft(readings, measured_at_ms=MEASURED_AT_MS, origin=Origin.LIVE) is None


@pytest.mark.parametrize("origin", list(Origin))
def test_the_origin_is_said(origin: Origin) -> None:
    drafted = template().draft(
        {"air_temperature": Reading(value=21.4, unit="Cel")},
        measured_at_ms=MEASURED_AT_MS,
        origin=origin,
        source_key=b"key",
    )
    assert drafted is not None
    assert drafted.source_key == b"key"
    assert json.loads(drafted.encode(Numbers(position=1, sequence=1))[0])["origin"] == origin.value


numbers_and_texts = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@given(value=numbers_and_texts, reason=st.sampled_from([None, Reason.STALE, Reason.OUT_OF_RANGE]))
def test_any_value_is_written_as_the_json_encoder_writes_it(value: float | bool | str, reason: Reason | None) -> None:
    quality = Quality.GOOD if reason is None else Quality.UNCERTAIN
    reading = Reading(value=value, unit=None, quality=quality, reason=reason)
    data, _ = draft({"vent": reading}).encode(Numbers(position=1, sequence=1))
    expected = {"value": value, "unit": None, "quality": quality.value} | ({"reason": reason.value} if reason else {})
    text = json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
    assert data.decode().endswith(f'"readings":{{"vent":{text}}}}}')


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_any_time_is_written_to_the_millisecond(unix_ms: int) -> None:
    drafted = template().draft(
        {"air_temperature": Reading(value=1.0, unit="Cel")}, measured_at_ms=unix_ms, origin=Origin.LIVE
    )
    assert drafted is not None
    text = json.loads(drafted.encode(Numbers(position=1, sequence=1))[0])["measuredAt"]
    assert text.endswith(f".{unix_ms % 1000:03d}Z")
    assert len(text) == len("2026-11-23T10:15:00.120Z")


def test_a_text_that_utf8_cannot_hold_is_refused_before_it_reaches_the_writer() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        draft({"vent": Reading(value="\udc80", unit=None)})
