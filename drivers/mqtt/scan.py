"""Lists the topics of a broker and their devices: what `scan` does on an MQTT connection."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from drivers.mqtt.device import DeviceMessages, Message
from drivers.mqtt.listen import overhear, steps_of
from drivers.mqtt.newcomers import group_patterns
from drivers.mqtt.options import MqttConnectionOptions
from drivers.mqtt.topics import FilterTree, matches
from edge.domain.commissioning import Found, Search, Wishes
from edge.domain.device_group import member_id
from edge.domain.driver import DriverContext
from edge.domain.settings import ConnectionSettings, DeviceGroup

# Enough to see what it is.
PAYLOAD_SHOWN_MAX = 60
# The availability of a bridge concerns all devices behind it.
OWNERS_SHOWN_MAX = 3


def scan(connection: ConnectionSettings, wishes: Wishes) -> Search:
    """Return the search for topics: the broker is listened to, as a client of its own."""
    return Search(
        rows_are="topics",
        effort=f"listened for {wishes.seconds:g} s",
        steps=steps_of(wishes.seconds),
        run=lambda context: _topics(connection, context, wishes.seconds),
    )


async def _topics(
    connection: ConnectionSettings, context: DriverContext, seconds: float
) -> AsyncGenerator[Sequence[Found], None]:
    """Give each topic once, with the first message that came on it. Raises ConnectionLost, DriverMisconfigured."""
    assert isinstance(connection.options, MqttConnectionOptions)
    owners = _owners(connection, context)
    known: set[str] = set()
    async with aclosing(overhear(connection.options, context, seconds)) as steps:
        async for messages in steps:
            first = {message.topic: message for message in reversed(messages) if message.topic not in known}
            known |= first.keys()
            yield [
                Found(name=topic, answer=shown(first[topic]), device_id=_owner(topic, owners, connection.groups))
                for topic in sorted(first)
            ]


def shown(message: Message) -> str:
    """Return a payload on one line, shortened; what is no text in hexadecimal."""
    if not message.payload:
        return "(empty)"
    try:
        text = " ".join(message.payload.decode().split())
    except UnicodeDecodeError:
        text = message.payload[:PAYLOAD_SHOWN_MAX].hex(" ")
    if not text.isprintable():
        text = ascii(text)[1:-1]
    text = text if len(text) <= PAYLOAD_SHOWN_MAX else f"{text[: PAYLOAD_SHOWN_MAX - 1]}…"
    return f"{text} (retained)" if message.is_retained else text


def _owners(connection: ConnectionSettings, context: DriverContext) -> FilterTree[str]:
    tree = FilterTree[str]()
    for device in connection.devices:
        for topic_filter in DeviceMessages(device, time_zone=context.time_zone).filters:
            tree.add(topic_filter, device.id)
    return tree


def _owner(topic: str, owners: FilterTree[str], groups: Sequence[DeviceGroup]) -> str:
    """Return the devices of a topic; of a name that a group does not list, the id that it would have."""
    if ids := list(dict.fromkeys(owners.matching(topic))):
        more = f" and {len(ids) - OWNERS_SHOWN_MAX} more" if len(ids) > OWNERS_SHOWN_MAX else ""
        return ", ".join(ids[:OWNERS_SHOWN_MAX]) + more
    for group in groups:
        if any(matches(topic_filter, topic) for topic_filter in group.exclude):
            continue
        for name in (pattern.name_in(topic) for pattern in group_patterns(group)):
            if name is not None:
                return f"{member_id(group, name) or name} (not in the names of {group.id})"
    return ""
