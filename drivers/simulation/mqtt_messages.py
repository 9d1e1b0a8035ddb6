"""What simulated MQTT devices publish: the inverse of the decoders of envelopes and payloads. Pure.

Values are put where the profile looks for them; around them stands what the firmware or network server would write.
"""

import base64
import json
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from drivers.decoders.json_path import JsonPath, key_path, parse_path
from drivers.decoders.payload import JsonValue
from drivers.decoders.values import Raw
from drivers.simulation.faults import Fault
from drivers.simulation.lorawan_frames import SERVED_MODELS, milesight_frame, sensecap_frame
from drivers.simulation.raw_values import invalid_value, raw_value, written
from drivers.simulation.sensors import SimulatedDevice
from drivers.simulation.site import Shown
from edge.domain.settings import PointSettings

JsonObject = dict[str, JsonValue]
# In the place of a wild card in a topic.
ANY_LEVEL = "sim"
# Clocks that were never set, as seen: the beginning of time, and the firmware's own date.
WRONG_CLOCKS_MS = (0, 1_514_764_800_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """A topic that says whether a device is there, and the words for it."""

    topic: str
    path: str
    online: str
    offline: str
    # Not the device's own: the bridge stays when the device goes.
    is_shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttDevice:
    """What the site file and profile say of a device behind a broker; topics resolved, else names as there."""

    device: SimulatedDevice
    topic: str
    subscribe: tuple[str, ...]
    envelope: str = "none"
    payload: str = "json"
    model: str = ""
    # Where and how the payload says its time; empty = as the envelope has it.
    time_path: str = ""
    time_format: str = "iso"
    availability: tuple[Availability, ...] = ()
    # Point id -> where its value stands; and the topic, if it has one of its own.
    paths: Mapping[str, str]
    topics: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a device publishes, and which of its messages this is."""

    # Milliseconds since 1970.
    now_ms: int
    time_zone: str = "UTC"
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message on its way to the broker."""

    topic: str
    payload: bytes
    is_retained: bool = False


def is_served(device: MqttDevice) -> bool:
    """Whether we can write what a device would."""
    return device.payload != "milesight-tlv" or device.model in SERVED_MODELS


def availability(device: MqttDevice, *, is_there: bool) -> Iterable[Outgoing]:
    """Say that a device is there or gone; brokers keep it."""
    for item in device.availability:
        word = item.online if is_there or item.is_shared else item.offline
        text = json.dumps(_placed(parse_path(item.path), word, None)) if item.path else word
        yield Outgoing(topic=_concrete(item.topic), payload=text.encode(), is_retained=True)


def messages(device: MqttDevice, shown: Shown, moment: Moment) -> Iterator[Outgoing]:
    """Say what a device measures: one message, or one for each topic that its points have."""
    is_retained = shown.fault is Fault.RETAINED
    for topic, points in _by_topic(device).items():
        if device.payload == "text":
            texts = [written(raw) if (raw := _raw(point, shown)) is not None else "nan" for point in points]
            yield from (Outgoing(topic=topic, payload=text.encode(), is_retained=is_retained) for text in texts)
            continue
        payload = _document(device, points, shown, moment)
        yield Outgoing(topic=topic, payload=payload, is_retained=is_retained)


def _by_topic(device: MqttDevice) -> Mapping[str, list[PointSettings]]:
    plain = [topic for topic in device.subscribe if not {"+", "#"} & set(topic)]
    usual = next(iter([*plain, *device.subscribe]), device.topic)
    grouped: dict[str, list[PointSettings]] = {}
    for point in device.device.points:
        grouped.setdefault(_concrete(device.topics.get(point.id) or usual), []).append(point)
    return grouped


def _concrete(topic: str) -> str:
    return topic.replace("/#", "").replace("+", ANY_LEVEL)


def _raw(point: PointSettings, shown: Shown) -> Raw:
    return invalid_value(point) if shown.fault is Fault.NOT_A_NUMBER else raw_value(point, shown.values[point.id])


def _document(device: MqttDevice, points: Iterable[PointSettings], shown: Shown, moment: Moment) -> bytes:
    inner: JsonObject = {}
    if device.payload == "json":
        for point in points:
            _placed(_path(device, point), _json_value(device, point, shown), inner)
    else:
        values = {device.paths[point.id] or point.id: _raw(point, shown) for point in points}
        is_milesight = device.payload == "milesight-tlv"
        frame = milesight_frame(values, device.model) if is_milesight else sensecap_frame(values)
        if device.envelope == "none":
            return frame
        inner["frame"] = base64.b64encode(frame).decode()
    return json.dumps(_ENVELOPES[device.envelope](inner, _Clock(device, shown, moment), device)).encode()


def _path(device: MqttDevice, point: PointSettings) -> JsonPath:
    return parse_path(device.paths[point.id]) if device.paths[point.id] else key_path(point.id)


def _json_value(device: MqttDevice, point: PointSettings, shown: Shown) -> JsonValue:
    if shown.fault is Fault.OTHER_UNIT and device.envelope == "tasmota" and point.unit == "Cel":
        return raw_value(point, shown.values[point.id], unit="[degF]")
    return _raw(point, shown)


def _placed(path: JsonPath, value: JsonValue, document: JsonObject | None) -> JsonValue:
    """Put a value where a path leads to, making what is missing on the way; the inverse of JsonPath.find."""
    root: JsonObject = {} if document is None else document
    place: JsonValue = root
    steps = [*path.steps]
    for number, step in enumerate(steps):
        following = steps[number + 1] if number + 1 < len(steps) else None
        new: JsonValue = value if following is None else {} if isinstance(following, str) else []
        place = _stepped(place, step, new, is_last=following is None)
    return root


def _stepped(place: JsonValue, step: object, new: JsonValue, *, is_last: bool) -> JsonValue:
    """Go one step into a document; `new` is put there if nothing is, or if it is the value itself."""
    if isinstance(place, dict) and isinstance(step, str):
        if is_last or step not in place:
            place[step] = new
        return place[step]
    if isinstance(place, list) and isinstance(step, int):
        place.extend({} for _ in range(len(place), step + 1))
        if is_last or not place[step]:
            place[step] = new
        return place[step]
    return _selected(place, step)


def _selected(place: JsonValue, step: object) -> JsonValue:
    """Return the member that a selection means, made if it is not there."""
    key, value = getattr(step, "key", ""), getattr(step, "value", None)
    members = [*place.values()] if isinstance(place, dict) else place if isinstance(place, list) else []
    for member in members:
        if isinstance(member, dict) and member.get(key) == value:
            return member
    member = {key: value}
    if isinstance(place, dict):
        place[f"item-{len(place)}"] = member
    elif isinstance(place, list):
        place.append(member)
    return member


class _Clock:
    """A device's own clock, which may be wrong, and how it writes the time."""

    def __init__(self, device: MqttDevice, shown: Shown, moment: Moment) -> None:
        is_wrong = shown.fault is Fault.WRONG_CLOCK
        self.moment = moment
        self.fault = shown.fault
        self.now_ms = WRONG_CLOCKS_MS[len(device.device.device_id) % 2] if is_wrong else moment.now_ms

    def iso(self, zone: tzinfo = UTC) -> str:
        return datetime.fromtimestamp(self.now_ms / 1000, zone).isoformat(timespec="milliseconds")

    def local(self) -> str:
        """Write the site's time without a zone, as Tasmota does."""
        return self.iso(_zone(self.moment.time_zone)).partition(".")[0]

    def written(self, form: str) -> JsonValue:
        """Write the time in the format that a profile names."""
        numbers: Mapping[str, JsonValue] = {
            "epoch_s": self.now_ms / 1000,
            "epoch_ms": self.now_ms,
            "epoch_ns": self.now_ms * 1_000_000,
        }
        return numbers[form] if form in numbers else self.iso()


def _zone(name: str) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _bare(inner: JsonObject, clock: _Clock, device: MqttDevice) -> JsonObject:
    if device.time_path:
        _placed(parse_path(device.time_path), clock.written(device.time_format), inner)
    return inner


def _tasmota(inner: JsonObject, clock: _Clock, device: MqttDevice) -> JsonObject:
    unit = "F" if clock.fault is Fault.OTHER_UNIT else "C"
    return _bare({"Time": clock.local(), **inner, "TempUnit": unit}, clock, device)


def _zigbee2mqtt(inner: JsonObject, clock: _Clock, device: MqttDevice) -> JsonObject:
    return _bare({**inner, "linkquality": 120, "last_seen": clock.iso()}, clock, device)


def _the_things_stack(inner: JsonObject, clock: _Clock, device: MqttDevice) -> JsonObject:
    # The network server leaves out what is zero, false or empty.
    decoded: JsonObject = {key: value for key, value in inner.items() if value not in (0, False, "", None)}
    content: JsonObject = {"frm_payload": inner["frame"]} if "frame" in inner else {"decoded_payload": decoded}
    # The session's key: one session for as long as we run.
    uplink: JsonObject = {
        "session_key_id": base64.b64encode(device.device.device_id.encode()).decode(),
        "f_port": 85,
        "f_cnt": clock.moment.number,
        **content,
        "received_at": clock.iso().replace("+00:00", "Z"),
    }
    head: JsonObject = {"end_device_ids": {"device_id": device.device.device_id}}
    return _bare({**head, "uplink_message": uplink}, clock, device)


def _chirpstack(inner: JsonObject, clock: _Clock, device: MqttDevice) -> JsonObject:
    content: JsonObject = {"data": inner["frame"]} if "frame" in inner else {"object": inner}
    identity = f"{device.device.device_id}-{clock.moment.number}"
    return _bare({"deduplicationId": identity, "time": clock.iso(), **content}, clock, device)


def _shelly_rpc(inner: JsonObject, clock: _Clock, device: MqttDevice) -> JsonObject:
    parameters: JsonObject = {"ts": clock.now_ms / 1000, **inner}
    head: JsonObject = {"src": device.topic, "dst": f"{device.topic}/events", "method": "NotifyStatus"}
    return _bare({**head, "params": parameters}, clock, device)


_ENVELOPES: Mapping[str, Callable[[JsonObject, _Clock, MqttDevice], JsonObject]] = {
    "none": _bare,
    "tasmota": _tasmota,
    "zigbee2mqtt": _zigbee2mqtt,
    "the-things-stack": _the_things_stack,
    "chirpstack": _chirpstack,
    "shelly-rpc": _shelly_rpc,
}
