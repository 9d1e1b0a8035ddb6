"""Which devices speak on the topics of a broker, by the packaged profiles. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from drivers.mqtt.device import DeviceMessages, Message, PayloadMalformed, device_on_topic
from drivers.mqtt.options import TOPIC_PLACE, MqttDeviceOptions
from edge.domain.fit import Fit, best_first, fit_of
from edge.domain.reading import Reading
from edge.domain.settings import DeviceSettings


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A device that was heard: the profile that understands it best, and its part of the topics."""

    profile: str
    topic: str
    fit: Fit
    topics: frozenset[str]


def speakers(messages: Sequence[Message], models: Sequence[DeviceSettings], *, time_zone: str) -> list[Speaker]:
    """Return the devices that send; each topic belongs to the one that gets the most from it."""
    heard = [each for model in models for each in _heard_by(model, messages, time_zone)]
    order = {id(fit): rank for rank, fit in enumerate(best_first(speaker.fit for speaker in heard))}
    taken: set[str] = set()
    found = []
    for speaker in sorted(heard, key=lambda speaker: order[id(speaker.fit)]):
        if taken.isdisjoint(speaker.topics):
            taken |= speaker.topics
            found.append(speaker)
    return sorted(found, key=lambda speaker: (speaker.profile, speaker.topic))


def _heard_by(model: DeviceSettings, messages: Sequence[Message], time_zone: str) -> Iterable[Speaker]:
    """Return the devices if all messages are decoded as this model's."""
    parts: dict[str, list[Message]] = {}
    for message in messages:
        own = device_on_topic(model, message.topic)
        if own is not None and message.payload:
            parts.setdefault(_options(own).topic, []).append(message)
    for topic, said in parts.items():
        readings, topics = _readings(model, topic, said, time_zone)
        fit = fit_of(model, readings, bonus=_bonus(model, topic))
        if fit is not None:
            yield Speaker(profile=model.id, topic=topic, fit=fit, topics=topics)


def _readings(
    model: DeviceSettings, topic: str, said: Sequence[Message], time_zone: str
) -> tuple[Mapping[str, Reading], frozenset[str]]:
    """Return what the messages say of a device, and which topics say it. What is retained counts like news."""
    device = _at(model, topic)
    reader = DeviceMessages(device, time_zone=time_zone)
    readings: dict[str, Reading] = {}
    topics = set()
    for message in said:
        fresh = Message(topic=message.topic, payload=message.payload, received_at_ms=message.received_at_ms)
        try:
            samples = () if reader.availability(fresh) is not None else reader.decode(fresh)
        except PayloadMalformed:
            continue
        for sample in samples:
            readings |= sample.readings
            topics.add(message.topic)
    return readings, frozenset(topics)


def _bonus(model: DeviceSettings, topic: str) -> int:
    """A topic or envelope of one maker makes that maker's profile more likely."""
    options = _options(model)
    has_own_topic = any(pattern.replace(TOPIC_PLACE, "").strip("/+#") for pattern in options.subscribe)
    return int(has_own_topic) + int(topic.startswith(f"{options.envelope}/"))


def _at(model: DeviceSettings, topic: str) -> DeviceSettings:
    return replace(model, options=replace(_options(model), topic=topic))


def _options(model: DeviceSettings) -> MqttDeviceOptions:
    assert isinstance(model.options, MqttDeviceOptions)
    return model.options
