"""Mistakes and warnings of a whole connection to a broker."""

from collections.abc import Iterator
from itertools import combinations

from drivers.mqtt.broker import address
from drivers.mqtt.device import DeviceMessages, device_mistakes
from drivers.mqtt.newcomers import group_patterns
from drivers.mqtt.options import MqttConnectionOptions, MqttDeviceOptions
from drivers.mqtt.topics import ALL_LEVELS, NAME, ONE_LEVEL, filter_mistake, names_a_device, overlap, widest
from edge.domain.device_group import member_id
from edge.domain.settings import ConnectionSettings, DeviceGroup

# Comparing some thousand filters in pairs takes a second; no person writes so many wildcards.
WILDCARDS_COMPARED_MAX = 500


def mistakes(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    """Say what is wrong: of each device, and of each group once."""
    members = {member_id(group, name) for group in connection.groups for name in group.names}
    for device in connection.devices:
        if device.id in members:
            continue
        yield from ((device.id, sentence) for sentence in device_mistakes(device))
        assert isinstance(device.options, MqttDeviceOptions)
        if names_a_device(device.options.topic):
            yield device.id, f"topic is {device.options.topic!r}; only a device_group has a place for names"
    for group in connection.groups:
        yield from ((group.id, sentence) for sentence in device_mistakes(group.template))
        yield from ((group.id, sentence) for sentence in _group_mistakes(group))


def _group_mistakes(group: DeviceGroup) -> Iterator[str]:
    options = group.template.options
    assert isinstance(options, MqttDeviceOptions)
    if not names_a_device(options.topic):
        yield f"topic is {options.topic!r}; in a device_group it holds {NAME} where the name of each device stands"
    elif not group_patterns(group):
        yield "subscribe has no topic with {topic}: no message could say whose it is"
    for topic_filter in group.exclude:
        if (mistake := filter_mistake(topic_filter)) is not None:
            yield f"except has {topic_filter!r}; it {mistake}"
    for name in group.names:
        if ONE_LEVEL in name or ALL_LEVELS in name:
            yield f"names has {name!r}; no topic holds {ONE_LEVEL} or {ALL_LEVELS}"


def _listed_twice(connection: ConnectionSettings, group: DeviceGroup) -> Iterator[str]:
    """Say which names are devices of the connection by other ids."""
    own = {member_id(group, name) for name in group.names}
    others = [device for device in connection.devices if device.id not in own]
    options = group.template.options
    assert isinstance(options, MqttDeviceOptions)
    for name in group.names:
        listed = options.for_member(name)
        for device in others:
            if listed.is_same_device(device.options):
                yield f"names has {name!r}, and the device {device.id} has its topic: two samples of each message"


def cautions(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    """Say what is allowed and yet fails in the field."""
    options = connection.options
    assert isinstance(options, MqttConnectionOptions)
    broker = address(options)
    if options.credential is not None and not broker.is_encrypted and not broker.is_this_machine:
        yield "", "url says mqtt://: the password of the credential crosses the network readable; mqtts:// hides it"
    for group in connection.groups:
        yield from ((group.id, sentence) for sentence in _listed_twice(connection, group))
    if options.protocol != "3.1.1":
        for one, other in _partly_overlapping(connection):
            both = f"the topics {one} and {other} overlap in part: what comes under both is delivered twice by MQTT 5. "
            yield "", f"{both}A broker without subscription identifiers makes that two readings"


def _partly_overlapping(connection: ConnectionSettings) -> Iterator[tuple[str, str]]:
    filters = [each for device in connection.devices for each in DeviceMessages(device, time_zone="UTC").filters]
    patterns = [pattern.filter for group in connection.groups for pattern in group_patterns(group)]
    wide = [each for each in widest([*filters, *patterns]) if ONE_LEVEL in each or ALL_LEVELS in each]
    yield from (pair for pair in combinations(wide[:WILDCARDS_COMPARED_MAX], 2) if overlap(*pair))
