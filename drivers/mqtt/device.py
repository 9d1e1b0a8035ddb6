"""One device's messages: which topics they come on, and what each says. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain

from drivers.decoders.json_path import MISSING, ROOT, JsonPath, Missing, key_path, parse_path
from drivers.decoders.payload import JsonValue, PayloadMalformed, json_in, text_in
from drivers.decoders.values import Raw, ValueCodec, text_of
from drivers.mqtt.contents import Message, Part, PayloadReader
from drivers.mqtt.options import TOPIC_PLACE, AvailabilityTopic, MqttDeviceOptions, MqttPointOptions
from drivers.mqtt.topics import ALL_LEVELS, NAME_AT_ANY_DEPTH, ONE_LEVEL, matches, topic_pattern
from edge.domain.reading import SOURCE_KEY_LENGTH_MAX, Origin, Reading, Reason, Sample
from edge.domain.settings import DeviceSettings, PointSettings

__all__ = ["DeviceMessages", "Message", "PayloadMalformed", "device_mistakes", "device_on_topic"]

# Concrete topics whose points are remembered; a device with a wildcard may have any number.
_TOPICS_REMEMBERED_MAX = 64


@dataclass(frozen=True, slots=True)
class _Point:
    """One point, prepared: where it is, and how it becomes a reading."""

    id: str
    # Its own topic filter; empty = those of the device.
    filter: str
    path: JsonPath
    unit: str | None
    codec: ValueCodec

    def reading(self, body: JsonValue, units: Mapping[str, str], reason: Reason | None) -> Reading | None:
        """Return the reading of a message; None if it has none of this point."""
        raw = self.path.find(body)
        if raw is MISSING:
            return None
        unit = units.get(self.unit) if units and self.unit is not None else None
        return self.codec.reading(_scalar(raw), unit=unit, reason=reason)


def _scalar(raw: JsonValue) -> Raw:
    """A list or an object is no value: a sensor fault, like null."""
    return None if isinstance(raw, list | dict) else raw


class AvailabilityWords:
    """One availability topic of one device: which of its words mean that the device is there."""

    def __init__(self, topic: AvailabilityTopic, options: MqttDeviceOptions) -> None:
        # The topic filter, resolved.
        self.filter = options.resolved(topic.topic)
        self._is_plain = ONE_LEVEL not in self.filter and ALL_LEVELS not in self.filter
        self._path = parse_path(topic.path) if topic.path else ROOT
        self._words = {**dict.fromkeys(topic.online, True), **dict.fromkeys(topic.offline, False)}

    def read(self, topic: str, payload: bytes) -> bool | None:
        """Return what a message says; None if it is of another topic, empty, or none of the words."""
        if not payload or not self.covers(topic):
            return None
        try:
            return self._words.get(self._word(payload))
        except PayloadMalformed:
            return None

    def covers(self, topic: str) -> bool:
        """Whether a message of this topic is one of these words."""
        return topic == self.filter if self._is_plain else matches(self.filter, topic)

    def _word(self, payload: bytes) -> str:
        """Return the word: an older bridge writes it as text, a newer one as JSON."""
        text = text_in(payload)
        if self._path.steps and text.startswith(("{", "[")):
            value = self._path.find(json_in(payload))
            return "" if isinstance(value, Missing | list | dict) else text_of(value)
        return text


class DeviceMessages:
    """Knows the topics of one device, and decodes what comes on them."""

    def __init__(self, device: DeviceSettings, *, time_zone: str) -> None:
        options = device.options
        assert isinstance(options, MqttDeviceOptions)
        self.device_id = device.id
        self._reader = PayloadReader(options, time_zone=time_zone)
        self._points = tuple(_prepared(point, options) for point in device.points)
        self._subscribed = tuple(map(options.resolved, options.subscribe))
        self._words = tuple(AvailabilityWords(item, options) for item in options.availability)
        # The topics whose last word says that the device, or its bridge, is gone.
        self._absent: set[AvailabilityWords] = set()
        self._by_topic: dict[str, tuple[_Point, ...]] = {}
        own = (point.filter for point in self._points if point.filter)
        # What to subscribe to: `{topic}` resolved, those of points and of availability included; none twice.
        self.filters = tuple(dict.fromkeys(chain(self._subscribed, own, (words.filter for words in self._words))))

    def decode(self, message: Message) -> Sequence[Sample]:
        """Return what a message says of the device; nothing if it says nothing (another's topic, an empty payload).

        Several samples where the device sends what it had stored. What came retained is uncertain, `stale`; so is what
        was stored at a time that cannot be. Raises PayloadMalformed.
        """
        points = self._points_on(message.topic)
        if not points or not message.payload:
            return ()
        parts = enumerate(self._reader.parts(message))
        samples = (self._sample(part, points, message, index) for index, part in parts)
        return tuple(sample for sample in samples if sample is not None)

    def decode_frame(self, frame: bytes, *, received_at_ms: int) -> Sequence[Sample]:
        """Return what a device's own bytes say, out of any envelope: for LoRaWAN devices, by hand.

        Raises PayloadMalformed, also for a device that sends no bytes.
        """
        message = Message(topic="", payload=frame, received_at_ms=received_at_ms)
        parts = enumerate(self._reader.frame_parts(frame, received_at_ms=received_at_ms))
        samples = (self._sample(part, self._points, message, index) for index, part in parts)
        return tuple(sample for sample in samples if sample is not None)

    def availability(self, message: Message) -> bool | None:
        """Whether the device is there, after this word of one of its availability topics; None for any other message.

        It is there while none of these topics says otherwise: a bridge that is back does not bring all its devices.
        """
        is_word = False
        for words in self._words:
            said = words.read(message.topic, message.payload)
            if said is None:
                continue
            is_word = True
            if said:
                self._absent.discard(words)
            else:
                self._absent.add(words)
        return not self._absent if is_word else None

    def _points_on(self, topic: str) -> tuple[_Point, ...]:
        points = self._by_topic.get(topic)
        if points is None:
            if len(self._by_topic) >= _TOPICS_REMEMBERED_MAX:
                self._by_topic.clear()
            points = self._by_topic[topic] = tuple(point for point in self._points if self._speaks_of(point, topic))
        return points

    def _speaks_of(self, point: _Point, topic: str) -> bool:
        if point.filter:
            return matches(point.filter, topic)
        is_ours = any(matches(filter_, topic) for filter_ in self._subscribed)
        return is_ours and not any(words.covers(topic) for words in self._words)

    def _sample(self, part: Part, points: Sequence[_Point], message: Message, index: int) -> Sample | None:
        is_undated = part.is_history and part.measured_at_ms is None
        reason = Reason.STALE if message.is_retained or is_undated else None
        readings: dict[str, Reading] = {}
        for point in points:
            reading = point.reading(part.body, part.units, reason)
            if reading is not None:
                readings[point.id] = reading
        if not readings:
            return None
        return Sample(
            device_id=self.device_id,
            readings=readings,
            measured_at_ms=part.measured_at_ms,
            origin=Origin.HISTORY if part.is_history else Origin.RETAINED if message.is_retained else Origin.LIVE,
            source_key=self._source_key(part, message, index),
            may_repeat=part.identity is not None or part.measured_at_ms is not None,
            delivery=message.delivery,
            redelivery=message.redelivery,
        )

    def _source_key(self, part: Part, message: Message, index: int) -> bytes:
        """Return what is the same whenever this measurement arrives: its identity, or else its topic and payload.

        Without an identity, the first half of the key is that of the topic, as `Sample` wants it.
        """
        device = self.device_id.encode()
        place = f"{message.topic}\0{index}".encode()
        if part.identity is None:
            half = SOURCE_KEY_LENGTH_MAX // 2
            return _digest(device, place, length=half) + _digest(message.payload, length=half)
        # A device sends a stored record again in another message.
        return _digest(device, b"" if part.is_history else place, part.identity, length=SOURCE_KEY_LENGTH_MAX)


def _digest(*values: bytes, length: int) -> bytes:
    digest = blake2b(digest_size=length)
    for value in values:
        digest.update(len(value).to_bytes(4, "big"))
        digest.update(value)
    return digest.digest()


def _prepared(point: PointSettings, options: MqttDeviceOptions) -> _Point:
    own = point.options
    assert isinstance(own, MqttPointOptions)
    implied = ROOT if options.payload == "text" else key_path(point.id)
    path = parse_path(own.path) if own.path else implied
    return _Point(point.id, options.resolved(own.topic), path, point.unit, ValueCodec(point))


def device_mistakes(device: DeviceSettings) -> Iterator[str]:
    """Return mistakes of points that do not fit the options of their device."""
    options = device.options
    assert isinstance(options, MqttDeviceOptions)
    for point in device.points:
        own = point.options
        assert isinstance(own, MqttPointOptions)
        if own.path and options.payload == "text":
            yield f'payload is "text": the whole of it is the value, and point {point.id!r} has a path into it'
        if not own.topic and not options.subscribe:
            yield f"subscribe is empty, and point {point.id!r} has no topic of its own"
        if TOPIC_PLACE in own.topic and not options.topic:
            yield f"topic is missing: point {point.id!r} has the topic {own.topic!r}"


def device_on_topic(device: DeviceSettings, topic: str) -> DeviceSettings | None:
    """Return a device as one whose messages come on this concrete topic; None if none of its topics can be it.

    For decoding by hand, where a profile says `tele/{topic}/SENSOR` and a person `tele/bench3/SENSOR`.
    """
    options = device.options
    assert isinstance(options, MqttDeviceOptions)
    own = (point.options.topic for point in device.points if isinstance(point.options, MqttPointOptions))
    availability = (item.topic for item in options.availability)
    # The longest first: what is left for `{topic}` is then no more than the device's own part.
    patterns = sorted(filter(None, chain(options.subscribe, own, availability)), key=len, reverse=True)
    if any(matches(options.resolved(pattern), topic) for pattern in patterns):
        return device
    for text in (pattern for pattern in patterns if TOPIC_PLACE in pattern):
        place = topic_pattern(text.replace(TOPIC_PLACE, NAME_AT_ANY_DEPTH)).name_in(topic)
        if place is not None:
            return replace(device, options=replace(options, topic=place))
    return None
