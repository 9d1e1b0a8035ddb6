"""Names that the patterns of device groups captured and that are no devices: listed as seen, or adopted."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from drivers.mqtt.device import Message
from drivers.mqtt.options import MqttDeviceOptions, MqttPointOptions
from drivers.mqtt.topics import FilterTree, TopicPattern, names_a_device, topic_pattern
from edge.domain.device_group import member, member_id
from edge.domain.driver import SeenName
from edge.domain.settings import ConnectionSettings, DeviceGroup, DeviceSettings

# More than anyone looks through; the newest are kept.
SEEN_MAX = 1000

# The collector knows the devices of all connections, and says more.
_DECLINED = "was not taken on"

# Whether a message says anything of what a device's profile asks for.
SaysSomething = Callable[[DeviceSettings, Message], bool]


def group_patterns(group: DeviceGroup) -> tuple[TopicPattern, ...]:
    """Return the patterns of the topics on which a group's devices report: not those of their availability."""
    options = group.template.options
    assert isinstance(options, MqttDeviceOptions)
    own = [point.options.topic for point in group.template.points if isinstance(point.options, MqttPointOptions)]
    texts = dict.fromkeys(options.resolved(text) for text in (*options.subscribe, *own) if text)
    return tuple(topic_pattern(text) for text in texts if names_a_device(text))


@dataclass(slots=True)
class _Group:
    """A group, prepared, and its devices."""

    settings: DeviceGroup
    patterns: tuple[TopicPattern, ...]
    excluded: FilterTree[bool]
    # Device ids.
    members: set[str] = field(default_factory=set)

    def name_in(self, topic: str) -> str | None:
        """Return the name in a topic; None if the topic is none of this group."""
        if self.excluded.matching(topic):
            return None
        names = (pattern.name_in(topic) for pattern in self.patterns)
        return next((name for name in names if name is not None), None)


class Newcomers:
    """Decides on names that are seen for the first time, and remembers those that became no devices."""

    def __init__(self, connection: ConnectionSettings, says_something: SaysSomething) -> None:
        self._says_something = says_something
        self._groups = [_prepared(group) for group in connection.groups]
        self._device_ids = {device.id for device in connection.devices}
        self._seen: OrderedDict[tuple[str, str], SeenName] = OrderedDict()
        # Device id -> its group, name and first message; waiting to be reported, and waiting for the answer.
        self._appeared: dict[str, tuple[_Group, str, Message]] = {}
        self._reported: dict[str, tuple[_Group, str, Message]] = {}
        # Names that the collector did not adopt (yet: a disk may have failed it).
        self._declined: OrderedDict[str, tuple[_Group, str]] = OrderedDict()

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to, so that every name is seen."""
        return tuple(pattern.filter for group in self._groups for pattern in group.patterns)

    def look(self, message: Message) -> bool:
        """Look at a message of no known device. True: keep it until the collector has decided on its name."""
        for group in self._groups:
            name = group.name_in(message.topic)
            # Groups of several kinds may share a pattern: the first one that accepts the message has it.
            if name is not None and self._look_at(group, name, message):
                return True
        return False

    def _look_at(self, group: _Group, name: str, message: Message) -> bool:
        device_id = member_id(group.settings, name)
        if device_id is not None and self._is_coming(device_id, group, name):
            return True
        reason = self._obstacle(group, device_id) or self._silence(group, name, message)
        if reason:
            self._note(group, name, message, reason)
            return False
        assert device_id is not None
        self._appeared[device_id] = (group, name, message)
        return True

    def _is_coming(self, device_id: str, group: _Group, name: str) -> bool:
        coming = self._appeared.get(device_id) or self._reported.get(device_id)
        return coming is not None and coming[0] is group and coming[1] == name

    def _obstacle(self, group: _Group, device_id: str | None) -> str:
        """Say why a name cannot become a device."""
        settings = group.settings
        if device_id is None:
            return "gives no valid id"
        if device_id in self._device_ids or device_id in self._appeared or device_id in self._reported:
            return f"gives the id {device_id}, which another device has"
        if not settings.adopt:
            return "not in names"
        coming = sum(other is group for other, _, _ in (*self._appeared.values(), *self._reported.values()))
        if len(group.members) + coming >= settings.devices_max:
            return f"devices_max = {settings.devices_max} is reached"
        if device_id in self._declined:
            return _DECLINED
        return ""

    def _silence(self, group: _Group, name: str, message: Message) -> str:
        """Say why a message does not show that there is a device of this kind. It would open a stream for a ghost."""
        if message.is_retained:
            return "only what the broker had retained"
        if not self._says_something(member(group.settings, name), message):
            return "says nothing of what the profile asks for"
        return ""

    def _note(self, group: _Group, name: str, message: Message, reason: str) -> None:
        key = (group.settings.id, name)
        self._seen[key] = SeenName(
            group_id=key[0], name=name, topic=message.topic, last_seen_ms=message.received_at_ms, reason=reason
        )
        self._seen.move_to_end(key)
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)

    def seen(self) -> Sequence[SeenName]:
        """List the names that are no devices, the one that was seen last at the end."""
        return tuple(self._seen.values())

    def appeared(self) -> Sequence[tuple[DeviceGroup, str]]:
        """Return the names to adopt, each once."""
        self._reported |= self._appeared
        appeared = [(group.settings, name) for group, name, _ in self._appeared.values()]
        self._appeared.clear()
        return appeared

    def taken_on(self, device: DeviceSettings) -> None:
        """Learn that a name became a device."""
        self._device_ids.add(device.id)
        reported, declined = self._reported.pop(device.id, None), self._declined.pop(device.id, None)
        if (known := reported or declined) is not None:
            group, name = known[0], known[1]
            group.members.add(device.id)
            for other in self._groups:
                self._seen.pop((other.settings.id, name), None)

    def close_list(self) -> None:
        """Learn that the collector has decided: a reported name that it did not adopt is only listed as seen."""
        for device_id, (group, name, message) in self._reported.items():
            self._declined[device_id] = (group, name)
            self._note(group, name, message, _DECLINED)
        self._reported.clear()
        while len(self._declined) > SEEN_MAX:
            self._declined.popitem(last=False)

    def begin(self) -> None:
        """Forget reported names: the connection is new, and their messages come again."""
        self._appeared.clear()
        self._reported.clear()


def _prepared(group: DeviceGroup) -> _Group:
    excluded = FilterTree[bool]()
    for topic_filter in group.exclude:
        excluded.add(topic_filter, True)
    ids = (member_id(group, name) for name in group.names)
    members = {device_id for device_id in ids if device_id is not None}
    return _Group(group, group_patterns(group), excluded, members)
