"""A first look at a broker: which devices speak there, and what a first site file says of them."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from drivers.mqtt.device import Message
from drivers.mqtt.grouping import Kin, group_id, kinships
from drivers.mqtt.listen import overhear
from drivers.mqtt.options import MqttConnectionOptions, MqttDeviceOptions
from drivers.mqtt.speakers import Speaker, speakers
from edge.domain.commissioning import DraftConnection, DraftDevice, Look, TomlValue
from edge.domain.device_group import identifier_part
from edge.domain.fit import guessed
from edge.domain.settings import DeviceSettings

# The bridge itself speaks below the same topic as its devices.
ZIGBEE2MQTT = "zigbee2mqtt"


async def look_at_topics(
    draft: DraftConnection, options: MqttConnectionOptions, seconds: float, look: Look
) -> DraftConnection:
    """Listen at a broker. Raises ConnectionLost, DriverMisconfigured."""
    messages: list[Message] = []
    async with aclosing(overhear(options, look.context, seconds)) as steps:
        async for heard in steps:
            messages += heard
            look.tick()
    return with_speakers(draft, messages, look) if messages else draft


def with_speakers(draft: DraftConnection, messages: Sequence[Message], look: Look) -> DraftConnection:
    """Add the devices that were heard; those of one kind as a group."""
    models = look.models()
    found = speakers(messages, models, time_zone=look.context.time_zone)
    by_profile = {model.id: model for model in models}
    devices = [
        _group(item, by_profile[item.profile], look) if isinstance(item, Kin) else _speaker(item, look)
        for item in kinships(found, models)
    ]
    unknown = {message.topic for message in messages} - {topic for speaker in found for topic in speaker.topics}
    comments = [f"Topics that no profile of the package understands: {len(unknown)}."] if unknown else []
    return replace(draft, devices=devices, comments=comments)


def _speaker(speaker: Speaker, look: Look) -> DraftDevice:
    name = speaker.topic.removesuffix("/up").rpartition("/")[2]
    keys = {"id": look.new_id(name or speaker.profile), "profile": speaker.profile, "topic": speaker.topic}
    return DraftDevice(keys=keys, comments=[guessed(speaker.fit, [speaker.fit])])


def _group(kin: Kin, model: DeviceSettings, look: Look) -> DraftDevice:
    template = group_id(kin)
    for name in kin.names:
        look.new_id(template.replace("{name}", identifier_part(name)))
    keys: dict[str, TomlValue] = {"id": template, "profile": kin.profile, "topic": kin.topic}
    root = kin.topic.partition("/{name")[0]
    assert isinstance(model.options, MqttDeviceOptions)
    if model.options.envelope == ZIGBEE2MQTT and root != kin.topic:
        keys["except"] = [f"{root}/bridge/#", f"{root}/+/availability"]
    keys["names"] = kin.names
    comment = f"guessed: {len(kin.names)} devices of one kind. What else comes on such topics is listed as seen."
    return DraftDevice(keys=keys, comments=[comment], is_group=True)
