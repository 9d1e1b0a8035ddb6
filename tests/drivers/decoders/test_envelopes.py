import pytest

from drivers.decoders.envelopes import ENVELOPES, EnvelopeName, open_envelope
from drivers.decoders.payload import JsonValue, PayloadMalformed

SENSOR: dict[str, JsonValue] = {"Time": "2018-12-03T13:48:08", "SI7021": {"Temperature": 17.7}, "TempUnit": "C"}


@pytest.mark.parametrize("document", [SENSOR, {"StatusSNS": SENSOR}, {"StatusSTS": SENSOR}])
def test_tasmotas_replies_hold_what_it_sends_by_itself(document: dict[str, JsonValue]) -> None:
    opened = open_envelope("tasmota", document, "SENSOR")
    assert opened is not None
    assert opened.body == opened.head == SENSOR
    assert opened.units == {"Cel": "Cel"}


def test_tasmota_says_in_which_units_it_speaks() -> None:
    opened = open_envelope("tasmota", {"TempUnit": "F", "PressureUnit": "mmHg", "SpeedUnit": "x"}, "SENSOR")
    assert opened is not None
    assert opened.units == {"Cel": "[degF]", "hPa": "mm[Hg]"}


@pytest.mark.parametrize(("name", "unit"), [("K", "{K}"), (5, "{a number}")])
def test_a_unit_that_tasmota_does_not_have_is_no_unit_of_ours(name: JsonValue, unit: str) -> None:
    opened = open_envelope("tasmota", {"TempUnit": name}, "SENSOR")
    assert opened is not None
    assert opened.units == {"Cel": unit}


def test_a_zigbee_device_says_nothing_with_null() -> None:
    opened = open_envelope("zigbee2mqtt", {"temperature": None, "humidity": 44.7}, "bench1")
    assert opened is not None
    assert opened.body == {"humidity": 44.7}


def test_an_uplink_holds_bytes_and_what_the_server_made_of_them() -> None:
    uplink: JsonValue = {"frm_payload": "AXVk", "decoded_payload": {"battery": 100}}
    opened = open_envelope("the-things-stack", {"uplink_message": uplink}, "up")
    assert opened is not None
    assert opened.frame == b"\x01\x75\x64"
    assert opened.body == {"battery": 100}
    assert opened.head == {"uplink_message": uplink}


def test_chirpstacks_uplink_is_opened_too() -> None:
    opened = open_envelope("chirpstack", {"data": "AXVk", "object": {"battery": 100}}, "up")
    assert opened is not None
    assert (opened.frame, opened.body) == (b"\x01\x75\x64", {"battery": 100})


@pytest.mark.parametrize("text", ["AXV", "A XVk", 7, "é"])
def test_bytes_that_are_no_base64_are_refused(text: JsonValue) -> None:
    with pytest.raises(PayloadMalformed, match=r"uplink_message\.frm_payload is .*base64"):
        open_envelope("the-things-stack", {"uplink_message": {"frm_payload": text}}, "up")


@pytest.mark.parametrize(
    ("envelope", "document", "level"),
    [
        ("the-things-stack", {"join_accept": {"session_key_id": "AX"}}, "join"),
        ("the-things-stack", {"uplink_message": []}, "up"),
        ("shelly-rpc", {"method": "NotifyEvent", "params": {"ts": 1.0, "events": []}}, "rpc"),
        ("shelly-rpc", {"id": 1, "src": "shelly", "result": {}}, "rpc"),
    ],
)
def test_a_message_of_another_kind_says_nothing(
    envelope: EnvelopeName, document: dict[str, JsonValue], level: str
) -> None:
    assert open_envelope(envelope, document, level) is None


def test_a_shelly_says_the_same_in_a_notification_and_in_a_status() -> None:
    component: JsonValue = {"id": 0, "output": False}
    notified = open_envelope(
        "shelly-rpc", {"method": "NotifyStatus", "params": {"ts": 1.5, "switch:0": component}}, "rpc"
    )
    status = open_envelope("shelly-rpc", {"id": 0, "output": False}, "switch:0")
    assert notified is not None
    assert status is not None
    assert notified.body == {"ts": 1.5, "switch:0": component}
    assert status.body == {"switch:0": component}


def test_a_battery_that_is_none_says_nothing() -> None:
    on_cable: dict[str, JsonValue] = {"battery": {"V": 0.43, "percent": 0}, "external": {"present": True}}
    opened = open_envelope("shelly-rpc", on_cable, "devicepower:0")
    assert opened is not None
    assert opened.body == {"devicepower:0": {"external": {"present": True}}}


@pytest.mark.parametrize("envelope", sorted(ENVELOPES))
@pytest.mark.parametrize(
    ("document", "kind"), [(5, "a number"), ("on", "a text"), (True, "true or false"), (None, "null")]
)
def test_a_payload_that_is_no_object_is_refused(envelope: EnvelopeName, document: JsonValue, kind: str) -> None:
    with pytest.raises(PayloadMalformed, match=f"the payload is {kind}, not a JSON object"):
        open_envelope(envelope, document, "x")


def test_only_a_plain_payload_may_be_a_list() -> None:
    opened = open_envelope("none", [{"value": 1}], "x")
    assert opened is not None
    assert opened.body == [{"value": 1}]
    with pytest.raises(PayloadMalformed, match="a list"):
        open_envelope("tasmota", [], "x")
