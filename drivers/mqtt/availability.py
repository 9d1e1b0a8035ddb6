"""What an availability topic says: one of the words that the site file or profile lists. No I/O."""

from drivers.decoders.json_path import ROOT, Missing, parse_path
from drivers.decoders.payload import PayloadMalformed, json_in, text_in
from drivers.decoders.values import text_of
from drivers.mqtt.options import AvailabilityTopic, MqttDeviceOptions
from drivers.mqtt.topics import ALL_LEVELS, ONE_LEVEL, matches


class AvailabilityWords:
    """One availability topic of one device."""

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
        """Return the word: a bridge of another age writes it as text where a newer one writes JSON."""
        text = text_in(payload)
        if self._path.steps and text.startswith(("{", "[")):
            value = self._path.find(json_in(payload))
            return "" if isinstance(value, Missing | list | dict) else text_of(value)
        return text
