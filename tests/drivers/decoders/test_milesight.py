import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.decoders.milesight import MILESIGHT_MODELS, MilesightModel, milesight_records
from drivers.decoders.payload import JsonValue, PayloadMalformed

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "lorawan_bytes.json").read_text(encoding="utf-8"))
MODELS: dict[str, MilesightModel] = {
    "em500-smtc": "em500-smtc",
    "em300-th-history": "em300-th",
    "em500-co2": "em500-co2",
    "em500-lgt": "em500-lgt",
    "em500-udl": "em500-udl",
}
# The vectors call the soil's moisture humidity, as an old README did.
NAMES = {"em500-smtc": {"humidity": "moisture"}}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_an_uplink_of_the_makers_documents_is_decoded(vector: dict[str, object]) -> None:
    name = str(vector["id"])
    (record,) = milesight_records(bytes.fromhex(str(vector["payload_hex"])), MODELS[name])
    expected = vector["expect"]
    assert isinstance(expected, list)
    assert record.fields == {NAMES.get(name, {}).get(item["name"], item["name"]): item["value"] for item in expected}


@pytest.mark.parametrize(
    ("model", "frame", "fields"),
    [
        ("em300-th", "01755C 0367CCFF 046865", {"battery": 92, "temperature": -5.2, "humidity": 50.5}),
        ("em300-mcs", "060001", {"magnet": 1}),
        ("em500-smtc", "04CA7300 057FF000", {"moisture": 1.15, "ec": 240}),
        ("em500-smtc", "0367FFFF 04CAFFFF 057FFDFF", {"temperature": None, "moisture": None, "ec": None}),
        ("em500-smtc", "0367FDFF 04CAFDFF", {"temperature": None, "moisture": None}),
        ("em500-co2", "057DFFFF 83D71901 0A00 02", {"co2": None, "temperature": 28.1}),
        ("em500-swl", "017564 03770200", {"battery": 100, "depth": 2}),
        ("em500-pt100", "03671901", {"temperature": 28.1}),
        ("em500-pp", "037B0A00", {"pressure": 10}),
        ("em500-udl", "03821E00 83E92C01640001", {"distance": 30}),
        ("em500-lgt", "0394FFFFFFFF", {"illumination": None}),
        ("uc501", "030001 04C870170000 0502983A000000000000", {"gpio_1": 1, "counter_2": 6000, "adc_1": 15.0}),
        ("uc501", "017564 FF0E092610270000 FF1507", {"battery": 100}),
        ("uc501", "06E2 0044 0000 0000 007C", {"adc_2": 4.0}),
        ("uc511", "01755C 030100 04C805000000", {"battery": 92, "valve_1": 0, "valve_1_pulse": 5}),
        ("uc511", "0501FF 070101 097B2C01", {"gpio_1": 1, "pressure": 300}),
        ("uc511", "B97B01", {"pressure": None}),
        # A reply to settings, and what every device tells of itself after a start.
        ("em500-lgt", "FF0B FF FF01 01 FF16 6123456789ABCDEF FF09 0110 FE02 5802 017564", {"battery": 100}),
    ],
)
def test_channels_have_their_meaning(model: MilesightModel, frame: str, fields: dict[str, JsonValue]) -> None:
    (record,) = milesight_records(bytes.fromhex(frame), model)
    assert record.fields == fields
    assert record.stored_at_s is None


def test_stored_records_have_their_own_times_and_come_after_the_present() -> None:
    stored = "20CE 9E744663 10015D00"
    later = "20CE F6764663 11015E00"
    present, first, second = milesight_records(bytes.fromhex(f"017564 {stored} {later}"), "em300-th")
    assert present.fields == {"battery": 100}
    assert (first.stored_at_s, first.fields) == (1665561758, {"temperature": 27.2, "humidity": 46.5})
    assert (second.stored_at_s, second.fields) == (1665562358, {"temperature": 27.3, "humidity": 47.0})
    assert first.data != second.data


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        ("17", {"valve_2": 1, "valve_2_pulse": 9}),
        ("15", {"valve_2": 1, "gpio_2": 1}),
        ("02", {"valve_1": 0, "valve_1_pulse": 9}),
    ],
)
def test_a_valves_stored_state_says_which_valve_and_what_it_counts(status: str, fields: dict[str, JsonValue]) -> None:
    (record,) = milesight_records(bytes.fromhex(f"20CE 3FA10964 {status} 09000000"), "uc511")
    assert record.fields == fields
    assert record.stored_at_s == 1678352703


@pytest.mark.parametrize(
    ("model", "frame", "said"),
    [
        ("em500-smtc", "01756403", "the payload is cut off in channel 03 at byte 4"),
        ("em500-smtc", "017564036719", "the payload is cut off in channel 03 at byte 4"),
        ("em300-th", "20CE9E744663100100", "the payload is cut off in channel 20 at byte 1"),
        ("em300-th", "017564 057D6704", "channel 05 type 7D at byte 4 is none of a Milesight em300-th"),
        ("em500-lgt", "FFEE00", "channel FF type EE at byte 1 is none of a Milesight em500-lgt"),
        ("uc501", "FF0E09", "the payload is cut off in channel FF at byte 1"),
    ],
)
def test_what_a_model_cannot_have_said_is_refused_whole(model: MilesightModel, frame: str, said: str) -> None:
    with pytest.raises(PayloadMalformed) as caught:
        milesight_records(bytes.fromhex(frame), model)
    assert str(caught.value) == said


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=24) | st.sampled_from([b"\x01\x75", b"\x03\x67", b"\x20\xce", b"\xff\x0e"])).map(
        b"".join
    ),
    st.sampled_from(MILESIGHT_MODELS),
)
def test_any_bytes_are_records_or_a_named_mistake(frame: bytes, model: MilesightModel) -> None:
    try:
        records = milesight_records(frame, model)
    except PayloadMalformed:
        return
    assert len(records) <= len(frame)
