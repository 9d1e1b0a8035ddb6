"""The options of MQTT devices in site files and profiles. Defaults live here; `mistakes` has the other rules."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from drivers.decoders.envelopes import EnvelopeName
from drivers.decoders.json_path import PathMalformed, parse_path
from drivers.decoders.milesight import MILESIGHT_MODELS, MilesightModel
from drivers.decoders.payload_time import FUTURE_MAX_S, PAST_MAX_S, TimeFormat, zone_of
from drivers.decoders.values import ValueOptions
from drivers.mqtt.topics import filter_mistake

Protocol: TypeAlias = Literal["auto", "5", "3.1.1"]
Payload: TypeAlias = Literal["json", "text", "milesight-tlv", "sensecap"]

# What the radio brings as bytes, and the envelopes that carry bytes ("none": the payload is the bytes).
BYTES_PAYLOADS: frozenset[Payload] = frozenset({"milesight-tlv", "sensecap"})
BYTES_ENVELOPES: frozenset[EnvelopeName] = frozenset({"none", "the-things-stack", "chirpstack"})

# Scheme -> the port where the url names none.
PORTS = {"mqtt": 1883, "mqtts": 8883}

TOPIC_PLACE = "{topic}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConnectionOptions:
    """One MQTT broker."""

    # mqtt://host:port or mqtts://host:port (TLS); without a port 1883 or 8883.
    url: str
    # The name of a credential, user:password.
    credential: str | None = None
    # Empty = greenhouse-edge-<gateway id>-<connection id>. The broker keeps what we missed under this name.
    client_id: str = ""
    # "auto": MQTT 5, and 3.1.1 where the broker refuses it.
    protocol: Protocol = "auto"
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    connect_timeout_ms: int = 5000
    keep_alive_s: int = 60
    # How long the broker keeps our session, and what we missed, while we are away.
    session_expiry_s: int = 604_800
    # Messages that may wait here for the disk; the broker is told (MQTT 5), and the socket is not read beyond it.
    inflight_max: int = 512

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return [*self._broker_mistakes(), *self._number_mistakes()]

    def _broker_mistakes(self) -> Iterator[str]:
        url = _split(self.url)
        if url is None or url.scheme not in PORTS or not url.hostname or url.path not in {"", "/"} or url.query:
            yield f"url is {self.url!r}; write it like 'mqtt://broker.local:1883', or mqtts:// for TLS"
            return
        if url.username is not None or url.password is not None:
            yield "url must not hold user and password; name a credential instead"
        for name in ("ca_file", "client_certificate", "client_key"):
            if url.scheme == "mqtt" and getattr(self, name) is not None:
                yield f"{name} is for TLS, and the url says mqtt://; with TLS it starts with mqtts://"
        if (self.client_certificate is None) != (self.client_key is None):
            yield "client_certificate and client_key go together"

    def _number_mistakes(self) -> Iterator[str]:
        for name, low, high in (
            ("connect_timeout_ms", 100, 60_000),
            # MQTT has two bytes for it; with less than 5 s a slow commit looks like a dead line.
            ("keep_alive_s", 5, 65_535),
            # MQTT 5's four bytes; 0 would lose what comes while we are away.
            ("session_expiry_s", 1, 0xFFFF_FFFF),
            ("inflight_max", 1, 65_535),
        ):
            if not low <= getattr(self, name) <= high:
                yield f"{name} is {getattr(self, name)}; it must be from {low} to {high}"


def _split(url: str) -> SplitResult | None:
    """Take an address apart; None if it has no such shape, or a port that cannot be."""
    try:
        parts = urlsplit(url)
        is_port = parts.port != 0
    except ValueError:
        return None
    return parts if is_port else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadTime:
    """Where a payload says when it was measured."""

    # Empty = nowhere: the time of arrival is taken, whatever the envelope says.
    path: str
    format: TimeFormat = "iso"
    # The zone of times without one; empty = the site's.
    time_zone: str = ""
    # A time further in the past, or in the future, is that of a wrong clock: the time of arrival is taken instead. What
    # a device had stored, and what the broker retained, may be up to a year old.
    past_max_s: float = PAST_MAX_S
    future_max_s: float = FUTURE_MAX_S

    def sentences(self) -> Iterator[str]:
        """Say what is wrong beyond types."""
        if self.path:
            yield from _path_mistakes("time.path", self.path)
        if self.time_zone and zone_of(self.time_zone) is None:
            yield f"time.time_zone is {self.time_zone!r}; write it like 'Europe/Amsterdam'"
        for name in ("past_max_s", "future_max_s"):
            if getattr(self, name) < 0:
                yield f"time.{name} is {getattr(self, name):g}; it must be 0 or more"


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityTopic:
    """A topic (with {topic}) that says whether the device, or its bridge, is there."""

    topic: str
    # Where in a JSON payload; empty = the payload is the text. A payload that is no JSON is taken as text anyway.
    path: str = ""
    # As the device writes them: capital and small letters differ.
    online: tuple[str, ...] = ("online", "Online", "true", "Connected")
    offline: tuple[str, ...] = ("offline", "Offline", "false", "Connection Lost")

    def sentences(self) -> Iterator[str]:
        """Say what is wrong beyond types."""
        if self.path:
            yield from _path_mistakes("availability path", self.path)
        if both := sorted(set(self.online) & set(self.offline)):
            yield f"availability has {both[0]!r} under online and under offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttDeviceOptions:
    """One device behind a broker."""

    # The device's own part of its topics, or the whole topic; in a group a pattern with {name} or {name:any_depth}.
    topic: str = ""
    # What is subscribed to: {topic} stands for the above, + and # as in MQTT. Empty where each point has its own topic.
    subscribe: tuple[str, ...] = (TOPIC_PLACE,)
    envelope: EnvelopeName = "none"
    payload: Payload = "json"
    # Which table decodes payload = "milesight-tlv".
    model: MilesightModel | None = None
    # None = as the envelope says; without either, the time of arrival.
    time: PayloadTime | None = None
    # Paths whose values together name a message (a session and its frame counter): the same again is a duplicate. The
    # first must be there; a later one may be left out by the sender where it is 0.
    identity: tuple[str, ...] = ()
    availability: tuple[AvailabilityTopic, ...] = field(default_factory=tuple)

    def for_member(self, name: str) -> "MqttDeviceOptions":
        """Return the options of the one device that has this name."""
        return replace(self, topic=self.topic.replace("{name:any_depth}", name).replace("{name}", name))

    def is_same_device(self, other: object) -> bool:
        """Whether a device with these other options has the same topic."""
        return isinstance(other, MqttDeviceOptions) and bool(self.topic) and other.topic == self.topic

    def resolved(self, topic: str) -> str:
        """Return a topic filter with the device's topic in its place."""
        return topic.replace(TOPIC_PLACE, self.topic)

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types. What does not go together with the points, `device_mistakes` says."""
        return [*self._topic_mistakes(), *self._payload_mistakes()]

    def _topic_mistakes(self) -> Iterator[str]:
        availability = tuple(item.topic for item in self.availability)
        if not self.topic and any(TOPIC_PLACE in topic for topic in chain(self.subscribe, availability)):
            yield "topic is missing: the device's part of its topics, or the whole topic"
        for key, topics in (("subscribe", self.subscribe), ("availability", availability)):
            yield from _topic_mistakes(key, (self.resolved(topic) for topic in topics if self.topic))

    def _payload_mistakes(self) -> Iterator[str]:
        if (self.payload == "milesight-tlv") != (self.model is not None):
            yield f'model goes with payload "milesight-tlv"; one of {", ".join(MILESIGHT_MODELS)}'
        if self.payload in BYTES_PAYLOADS and self.envelope not in BYTES_ENVELOPES:
            yield f'envelope "{self.envelope}" carries no bytes; payload "{self.payload}" needs some'
        if self.payload == "text" and self.envelope != "none":
            yield f'envelope "{self.envelope}" is JSON; payload "text" is not'
        if self.payload != "json" and self.envelope == "none" and (self.identity or self.time):
            yield f'payload "{self.payload}" without an envelope has no place for time and identity'
        for path in self.identity:
            yield from _path_mistakes("identity", path)
        for item in (self.time, *self.availability):
            yield from () if item is None else item.sentences()


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttPointOptions(ValueOptions):
    """Where in the device's messages a point is, and how it becomes a value."""

    # Where in the payload: `SI7021.Temperature`, `"temperature:0".tC`, `Distance[0]`, `metrics[name="Supply"].value`.
    # Empty = the whole payload (text), or the point's id (the others).
    path: str = ""
    # Only messages of this topic (with {topic}); empty = of each that `subscribe` names.
    topic: str = ""

    def mistakes(self) -> list[str]:
        """Say what is wrong beyond types."""
        return list(self._mistakes())

    def _mistakes(self) -> Iterator[str]:
        yield from self._value_mistakes()
        if self.path:
            yield from _path_mistakes("path", self.path)
        yield from _topic_mistakes("topic", [self.topic.replace(TOPIC_PLACE, "topic")] if self.topic else [])


def _path_mistakes(key: str, path: str) -> Iterator[str]:
    try:
        parse_path(path)
    except PathMalformed as error:
        yield f"{key} is {path!r}: {error}"


def _topic_mistakes(key: str, topics: Iterable[str]) -> Iterator[str]:
    for topic in topics:
        mistake = filter_mistake(topic)
        if mistake is not None:
            yield f"{key} has the topic {topic!r}; it {mistake}"
