"""Site files with one MQTT device, messages for it, and what it makes of them."""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from drivers.mqtt.device import DeviceMessages, Message
from edge.domain.reading import Sample
from edge.domain.settings import DeviceSettings, Settings

SITE = """\
[site]
id = "test"
time_zone = "Europe/Amsterdam"
[event_store]
uri = "esdb://127.0.0.1:2113?tls=false"
[[connection]]
id = "broker"
driver = "mqtt"
url = "mqtt://127.0.0.1"
[[connection.device]]
id = "probe"
"""

# Two points of a device that writes flat JSON.
EC_AND_PH = """\
[connection.device.point.ec]
[connection.device.point.ph]
"""
FLAT = f'topic = "bench1"\n{EC_AND_PH}'
# A Tasmota node with two contacts.
SWITCHES = """\
topic = "demo-sensor"
envelope = "tasmota"
subscribe = ["tele/{topic}/SENSOR"]
[connection.device.point.switch_1]
path = "Switch1"
type = "boolean"
[connection.device.point.switch_2]
path = "Switch2"
type = "boolean"
"""

VECTORS = {
    vector["id"]: vector
    for vector in json.loads(
        (Path(__file__).parents[1] / "drivers" / "vectors" / "mqtt.json").read_text(encoding="utf-8")
    )
}

LoadSite = Callable[[str], Settings]


def mqtt_device(load_site: LoadSite, text: str) -> DeviceSettings:
    """Return the one device of a site; `text` is the rest of its table, and its points."""
    return load_site(SITE + text).devices()[0]


def messages_of(load_site: LoadSite, text: str) -> DeviceMessages:
    """Return what decodes the messages of the one device of a site."""
    return DeviceMessages(mqtt_device(load_site, text), time_zone="Europe/Amsterdam")


def profile_messages(load_site: LoadSite, profile: str, topic: str) -> DeviceMessages:
    """Return what decodes the messages of a device that uses this profile as it is."""
    return messages_of(load_site, f'profile = "{profile}"\ntopic = "{topic}"\n')


def ms(text: str) -> int:
    """Return a moment, written with its zone, in milliseconds since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


NOON_MS = ms("2024-05-01T12:00:00Z")


def said(topic: str, payload: object, *, received_at_ms: int = NOON_MS, is_retained: bool = False) -> Message:
    """Make a message; what is no text is written as JSON."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return Message(
        topic=topic,
        payload=text.encode(),
        received_at_ms=received_at_ms,
        is_retained=is_retained,
    )


def uplink(frame: str, **more: object) -> dict[str, object]:
    """Make an uplink of The Things Stack around a device's bytes (hexadecimal)."""
    return {
        "uplink_message": {
            "frm_payload": base64.b64encode(bytes.fromhex(frame)).decode(),
            "received_at": "2024-05-01T11:59:58.123456789Z",
            **more,
        }
    }


def only(device: DeviceMessages, message: Message) -> Sample:
    """Return the one sample of a message."""
    (sample,) = device.decode(message)
    return sample


def values(sample: Sample) -> dict[str, object]:
    """Return a sample's values by point."""
    return {point: reading.value for point, reading in sample.readings.items()}
