"""Decodes an MQTT message or a LoRaWAN frame without a broker: what `decode` does."""

import time
from collections.abc import Sequence
from dataclasses import replace

from drivers.mqtt.device import DeviceMessages, Message, PayloadMalformed, device_on_topic
from drivers.mqtt.options import MqttDeviceOptions, PayloadTime
from edge.domain.by_hand import Given, Undecodable, bytes_of
from edge.domain.reading import Sample
from edge.domain.settings import DeviceSettings

# LoRaWAN sensors were not sold before 2015: an older time comes from a clock that was never set.
OLDEST_RECORD_S = 1_420_070_400


def decode(device: DeviceSettings, given: Given) -> Sequence[Sample]:
    """Decode a message with its topic, or a LoRaWAN frame. Raises Undecodable."""
    try:
        samples = _samples(device, given)
    except PayloadMalformed as error:
        raise Undecodable(str(error)) from error
    if not samples:
        raise Undecodable(f"this says nothing of {device.id}")
    return samples


def _samples(device: DeviceSettings, given: Given) -> Sequence[Sample]:
    received_at_ms = time.time_ns() // 1_000_000 if given.received_at_ms is None else given.received_at_ms
    if given.frame is not None:
        source = device if given.received_at_ms is not None else _with_any_past(device, received_at_ms)
        messages = DeviceMessages(source, time_zone=given.time_zone)
        return messages.decode_frame(bytes_of(given.frame), received_at_ms=received_at_ms)
    if given.payload is None:
        raise Undecodable("an MQTT device's values come in a --payload with its --topic (or in a LoRaWAN --frame)")
    own = device if given.topic is None else device_on_topic(device, given.topic)
    if own is None:
        raise Undecodable(f"no message of {device.id} comes on {given.topic!r}")
    messages = DeviceMessages(own, time_zone=given.time_zone)
    message = Message(
        topic=_own_topic(own) if given.topic is None else given.topic,
        payload=given.payload,
        is_retained=given.is_retained,
        received_at_ms=received_at_ms,
    )
    if (is_there := messages.availability(message)) is not None:
        raise Undecodable(f"this says that the device is {'there' if is_there else 'gone'}; it holds no readings")
    return messages.decode(message)


def _with_any_past(device: DeviceSettings, now_ms: int) -> DeviceSettings:
    """Return a device whose stored records may be years old: a frame in hand may have lain in a drawer."""
    assert isinstance(device.options, MqttDeviceOptions)
    own = device.options.time or PayloadTime(path="")
    return replace(
        device, options=replace(device.options, time=replace(own, past_max_s=now_ms / 1000 - OLDEST_RECORD_S))
    )


def _own_topic(device: DeviceSettings) -> str:
    """Return a topic for a payload that came without one: where the device's only one has no wildcard."""
    assert isinstance(device.options, MqttDeviceOptions)
    topics = [device.options.resolved(pattern) for pattern in device.options.subscribe]
    if len(topics) != 1 or any(character in topics[0] for character in "+#"):
        raise Undecodable(f"{device.id} has several topics; name the payload's --topic")
    return topics[0]
