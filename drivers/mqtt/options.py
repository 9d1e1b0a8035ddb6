"""What a site file and a profile may say about MQTT devices. Defaults live here; `mistakes` says what types cannot."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from drivers.decoders.values import ValueOptions

Protocol: TypeAlias = Literal["auto", "5", "3.1.1"]
Envelope: TypeAlias = Literal["none", "tasmota", "zigbee2mqtt", "the-things-stack", "shelly-rpc"]
Payload: TypeAlias = Literal["json", "text", "milesight-tlv", "sensecap"]
TimeFormat: TypeAlias = Literal["iso", "epoch_s", "epoch_ms", "epoch_ns"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadTime:
    """Where a payload says when it was measured."""

    path: str
    format: TimeFormat = "iso"
    # A time further in the past, or in the future, is that of a wrong clock: the time of arrival is taken instead.
    past_max_s: float = 86_400.0
    future_max_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityTopic:
    """A topic (with {topic}) that says whether the device, or its bridge, is there."""

    topic: str
    # Where in a JSON payload; empty = the payload is the text. A payload that is no JSON is taken as text anyway.
    path: str = ""
    online: tuple[str, ...] = ("online", "Online", "true", "Connected")
    offline: tuple[str, ...] = ("offline", "Offline", "false", "Connection Lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttDeviceOptions:
    """One device behind a broker."""

    # The device's own part of its topics, or the whole topic; in a group a pattern with {name} or {name:any_depth}.
    topic: str = ""
    # What is subscribed to: {topic} stands for the above, + and # as in MQTT.
    subscribe: tuple[str, ...] = ("{topic}",)
    envelope: Envelope = "none"
    payload: Payload = "json"
    # None = as the envelope says; without either, the time of arrival.
    time: PayloadTime | None = None
    # Paths whose values together name a message (a frame counter with its session): the same again is a duplicate.
    identity: tuple[str, ...] = ()
    availability: tuple[AvailabilityTopic, ...] = field(default_factory=tuple)

    def for_member(self, name: str) -> "MqttDeviceOptions":
        """Return the options of the one device that has this name."""
        return replace(self, topic=self.topic.replace("{name:any_depth}", name).replace("{name}", name))


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttPointOptions(ValueOptions):
    """Where in the device's messages a point is, and how it becomes a value."""

    # Where in the payload: `SI7021.Temperature`, `"temperature:0".tC`, `Distance[0]`, `metrics[name="Supply"].value`.
    # Empty = the whole payload (text), or the point's id (the others).
    path: str = ""
    # Only messages of this topic (with {topic}); empty = of each.
    topic: str = ""
