"""When a message was measured, whether that can be, and whether it came before."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from drivers.mqtt.device import DeviceMessages
from edge.domain.reading import Origin, Quality, Reason, Redelivery
from fakes.mqtt_site import (
    FLAT,
    NOON_MS,
    SWITCHES,
    VECTORS,
    LoadSite,
    messages_of,
    ms,
    only,
    profile_messages,
    said,
    uplink,
    values,
)

Messages = Callable[[str], DeviceMessages]


@pytest.fixture
def messages(load_site: LoadSite) -> Messages:
    return lambda text: messages_of(load_site, text)


def test_a_plausible_time_of_the_payload_is_that_of_the_sample(messages: Messages) -> None:
    device = messages(SWITCHES)
    sample = only(device, said("tele/demo-sensor/SENSOR", {"Time": "2024-05-01T13:59:30", "Switch1": "ON"}))
    assert sample.measured_at_ms == ms("2024-05-01T11:59:30Z")
    assert (sample.origin, sample.may_repeat) == (Origin.LIVE, True)


@pytest.mark.parametrize("time", ["1970-01-01T00:00:12", "2018-12-03T13:48:08", "2031-01-01T00:00:00", None, "soon"])
def test_the_time_of_a_wrong_clock_is_not_taken(time: str | None, messages: Messages) -> None:
    sample = only(messages(SWITCHES), said("tele/demo-sensor/SENSOR", {"Time": time, "Switch1": "ON"}))
    assert sample.measured_at_ms is None
    assert sample.readings["switch_1"].quality is Quality.GOOD
    assert not sample.may_repeat


def test_an_implausible_epoch_falls_back_to_the_arrival(messages: Messages) -> None:
    vector = VECTORS["owntracks-epoch"]
    device = messages("""\
topic = "owntracks/tablet/tablet"
time = { path = "tst", format = "epoch_s" }
[connection.device.point.battery_level]
path = "batt"
""")
    sample = only(device, said(vector["topic"], vector["payload"]))
    assert (sample.measured_at_ms, values(sample)) == (None, {"battery_level": 92})
    payload = json.loads(vector["payload"]) | {"tst": NOON_MS / 1000 - 5}
    assert only(device, said(vector["topic"], payload)).measured_at_ms == NOON_MS - 5000


def test_the_window_and_the_zone_can_be_set(messages: Messages) -> None:
    text = 'topic = "t"\ntime = { path = "at", time_zone = "UTC", past_max_s = 60 }\n[connection.device.point.ec]\n'
    device = messages(text)
    assert only(device, said("t", {"at": "2024-05-01T11:59:30", "ec": 1})).measured_at_ms == NOON_MS - 30_000
    assert only(device, said("t", {"at": "2024-05-01T11:58:30", "ec": 1})).measured_at_ms is None


def test_an_envelopes_time_can_be_left_alone(messages: Messages) -> None:
    device = messages('time = { path = "" }\n' + SWITCHES)
    sample = only(device, said("tele/demo-sensor/SENSOR", {"Time": "2024-05-01T13:59:30", "Switch1": "ON"}))
    assert sample.measured_at_ms is None


@pytest.mark.parametrize("last_seen", ["2024-05-01T11:59:30.000Z", "2024-05-01T13:59:30+02:00", NOON_MS - 30_000])
def test_zigbee_devices_may_say_when_they_were_last_seen(last_seen: object, load_site: LoadSite) -> None:
    device = profile_messages(load_site, "zigbee2mqtt-climate", "zigbee2mqtt/bench1")
    sample = only(device, said("zigbee2mqtt/bench1", {"last_seen": last_seen, "temperature": 21.5}))
    assert sample.measured_at_ms == NOON_MS - 30_000


# What the broker kept.


def test_what_was_retained_is_stale_and_keeps_its_own_time(messages: Messages) -> None:
    vector = VECTORS["neg-stale-retained"]
    message = said(vector["topic"], vector["payload"], received_at_ms=ms(vector["received_at"]), is_retained=True)
    sample = only(messages(SWITCHES), message)
    assert (sample.origin, sample.measured_at_ms) == (Origin.RETAINED, ms("2021-06-27T13:03:44Z"))
    for point, value in (("switch_1", False), ("switch_2", True)):
        reading = sample.readings[point]
        assert (reading.value, reading.quality, reading.reason) == (value, Quality.UNCERTAIN, Reason.STALE)


def test_what_was_retained_may_be_months_old_and_what_is_bad_stays_bad(messages: Messages) -> None:
    payload = {"Time": "2024-01-01T00:00:00", "Switch1": "broken"}
    sample = only(messages(SWITCHES), said("tele/demo-sensor/SENSOR", payload, is_retained=True))
    assert sample.measured_at_ms == ms("2023-12-31T23:00:00Z")
    assert sample.readings["switch_1"].reason is Reason.SENSOR_FAULT


# What had been stored.


def stored(at_ms: int) -> str:
    """Make a record that an EM300-TH had stored: 27.2 degrees, 46.5 %."""
    return f"20CE{(at_ms // 1000).to_bytes(4, 'little').hex()}10015D00"


def test_stored_records_become_samples_of_their_own_times(load_site: LoadSite) -> None:
    device = profile_messages(load_site, "milesight-em300-th", "up")
    earlier_ms = NOON_MS - round(timedelta(days=20) / timedelta(milliseconds=1))
    live, first, second = device.decode(
        said("up", uplink(f"0367FA00{stored(earlier_ms)}{stored(earlier_ms + 600_000)}"))
    )
    assert (live.origin, live.measured_at_ms) == (Origin.LIVE, NOON_MS - 1877)
    assert values(live) == {"air_temperature": 25.0}
    assert (first.origin, first.measured_at_ms) == (Origin.HISTORY, earlier_ms)
    assert (second.origin, second.measured_at_ms) == (Origin.HISTORY, earlier_ms + 600_000)
    assert first.readings["air_temperature"].quality is Quality.GOOD
    assert len({live.source_key, first.source_key, second.source_key}) == 3


def test_a_record_that_is_replayed_in_another_uplink_is_the_same(load_site: LoadSite) -> None:
    device = profile_messages(load_site, "milesight-em300-th", "up")
    record = stored(NOON_MS - 86_400_000)
    alone = only(device, said("up", uplink(record, session_key_id="AX", f_cnt=7)))
    _, again = device.decode(said("up", uplink(f"0367FA00{record}", session_key_id="AX", f_cnt=9)))
    assert alone.source_key == again.source_key
    assert alone.may_repeat
    assert again.may_repeat


def test_a_record_of_a_time_that_cannot_be_is_uncertain(load_site: LoadSite) -> None:
    device = profile_messages(load_site, "milesight-em300-th", "up")
    sample = only(device, said("up", uplink(stored(86_400_000))))
    assert (sample.origin, sample.measured_at_ms) == (Origin.HISTORY, None)
    assert sample.readings["air_temperature"].reason is Reason.STALE


# What came before.


def test_a_frame_counter_names_an_uplink_whatever_else_differs(load_site: LoadSite) -> None:
    device = profile_messages(load_site, "milesight-em300-th", "up")
    first = only(device, said("up", uplink("0367FA00", session_key_id="AX", f_cnt=7)))
    second_server = uplink("0367FA00", session_key_id="AX", f_cnt=7, rx_metadata=[{"rssi": -110}])
    again = only(device, said("up", second_server))
    following = only(device, said("up", uplink("0367FA00", session_key_id="AX", f_cnt=8)))
    assert first.may_repeat
    assert first.source_key == again.source_key != following.source_key


def test_a_frame_counter_of_zero_is_left_out_and_still_counts(load_site: LoadSite) -> None:
    device = profile_messages(load_site, "milesight-em300-th", "up")
    zero = only(device, said("up", uplink("0367FA00", session_key_id="AX")))
    assert zero.may_repeat
    assert zero.source_key != only(device, said("up", uplink("0367FA00", session_key_id="AX", f_cnt=1))).source_key


def test_an_equal_text_is_an_equal_value_and_says_by_which_delivery_it_came(messages: Messages) -> None:
    device = messages(FLAT)
    message = said("bench1", {"ec": 2.1})
    redelivery = Redelivery(of=b"the one ", is_certain=False)
    first = only(device, message._replace(delivery=b"the one "))
    again = only(device, message._replace(delivery=b"another ", redelivery=redelivery))
    assert first.source_key == again.source_key
    assert (first.may_repeat, again.may_repeat) == (False, False)
    assert (first.delivery, first.redelivery) == (b"the one ", None)
    assert (again.delivery, again.redelivery) == (b"another ", redelivery)


def test_what_is_said_in_one_place_shares_the_first_half_of_its_key(messages: Messages) -> None:
    device = messages('topic = "farm/#"\n[connection.device.point.ec]\n')
    one, other = (only(device, said("farm/a", {"ec": ec})).source_key for ec in (1, 2))
    assert one[:8] == other[:8]
    assert one[:8] != only(device, said("farm/b", {"ec": 1})).source_key[:8]
    retained = only(device, said("farm/a", {"ec": 1}, is_retained=True))
    assert retained.source_key == one


def test_the_key_tells_devices_topics_and_payloads_apart(messages: Messages) -> None:
    device = messages('topic = "farm/#"\n[connection.device.point.ec]\n')
    other = messages('topic = "farm/#"\n[connection.device.point.ec]\n')
    other.device_id = "other"
    keys = {
        only(device, said("farm/a", {"ec": 1})).source_key,
        only(device, said("farm/b", {"ec": 1})).source_key,
        only(device, said("farm/a", {"ec": 2})).source_key,
        only(other, said("farm/a", {"ec": 1})).source_key,
    }
    assert len(keys) == 4
    assert all(len(key) == 16 for key in keys)


def test_an_own_identity_is_looked_for_in_the_message(messages: Messages) -> None:
    device = messages('topic = "t"\nidentity = ["boot", "seq"]\n[connection.device.point.ec]\n')
    first = only(device, said("t", {"boot": 3, "seq": 0, "ec": 1}))
    assert first.may_repeat
    assert first.source_key == only(device, said("t", {"boot": 3, "seq": 0, "ec": 1.0})).source_key
    assert not only(device, said("t", {"seq": 0, "ec": 1})).may_repeat
